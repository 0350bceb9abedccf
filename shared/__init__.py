"""What every service speaks: wire schemas, the programme language, the log port, the loop.

Nothing in here knows a service; services import this, never the other way round.
"""
