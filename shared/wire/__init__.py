"""What travels on the topics: one module per kind of fact, and the envelope they travel in."""
