"""`python -m services.console`: the command line where the script `doorstep` is not installed."""

from __future__ import annotations

from services.console.main import main

if __name__ == "__main__":
    main()
