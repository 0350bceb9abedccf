"""When: due times, freezing, releasing, books. Who belongs is asked of `people`."""
