"""Doorstep in containers on one machine, for rehearsals and small programmes."""
