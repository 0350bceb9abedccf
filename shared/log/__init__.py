"""The log port and its bodies: topics, groups, positions, tables. Knows bytes, not meanings."""
