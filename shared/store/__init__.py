"""The part of a service's store that every stateful service has: positions, epochs, outbox.

What a service keeps besides is its own affair; it is written in the same transactions.
"""
