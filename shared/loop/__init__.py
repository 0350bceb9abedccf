"""The one consumer loop, the two kinds of work it drives, and the outbox relay."""
