"""What a rehearsal needs besides the product: made-up supporters, a crowd, a stage."""
