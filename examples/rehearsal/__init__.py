"""What a rehearsal needs besides the product: made-up supporters and a crowd that reads its mail."""
