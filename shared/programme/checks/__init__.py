"""Checks of each kind of definition, and of what definitions say about each other.

Pure: definitions in, findings out. `shared.programme.checking` runs them all.
"""
