"""What a running service shows: logs, metrics, health, and the fail points of the crash tests."""
