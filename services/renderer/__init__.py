"""What: a recipient and a template become one message. Keeps nothing, decides nothing about who."""
