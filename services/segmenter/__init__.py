"""Decides who should hear what, and when: people and segments, sends and journeys."""
