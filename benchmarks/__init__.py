"""Where the README's figures come from. Each prints one JSON line last."""
