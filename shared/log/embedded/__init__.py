"""The embedded body of the log: one SQLite file, several processes, groups with fencing."""
