"""Who the supporters are, where they live, and which segments they are in."""
