"""What the sender says of the SES account, for whoever plans with it."""

from __future__ import annotations

from services.console.asking import NotRunning, WrongAnswer
from services.console.surroundings import Surroundings


def permitted_rate(around: Surroundings) -> float | None:
    """Messages a second that may go now; what is set where the sender does not say, or None."""
    try:
        return float(around.services.get("sender", "/ask/account")["permitted_rate"])
    except (NotRunning, WrongAnswer):
        return around.settings.sender.rate
