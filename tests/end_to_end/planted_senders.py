"""Senders with a fault planted in them, to prove that the runs find what they look for.

python -m tests.end_to_end.planted_senders outcome-first|default-retries|deaf
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime

import services.sender.__main__ as wiring
import services.sender.dispatch as dispatching
from services.sender.dispatch import Dispatcher
from services.sender.gateway import MailGateway, OutgoingMail
from services.sender.last_look import Candidate, Orders, Refusal, Suppressions, look
from services.sender.ledger import Ledger
from services.sender.outcomes import tell
from services.sender.ses_gateway import SesGateway
from services.sender.tables import SenderTables
from shared.clock import to_ms
from shared.loop.process import run_service
from shared.settings import SenderSettings
from shared.store.port import Unit

BOTO3_DEFAULT_ATTEMPTS = 5


class OutcomeFirst(Dispatcher):
    """Books everybody as accepted before the call, as one does who sees the call as certain."""

    def _choose(
        self, unit: Unit, ledger: Ledger, tables: SenderTables, granted: int, now: datetime
    ) -> list[tuple[Candidate, OutgoingMail]]:
        started = super()._choose(unit, ledger, tables, granted, now)
        booked = [(candidate.message_id, None) for candidate, _ in started]
        tell(unit, ledger.accept(booked, to_ms(now)), now, self._metrics)
        return started


def retrying(settings: SenderSettings) -> MailGateway:
    """Lets boto3 repeat a post by itself, as often as it does when nobody tells it otherwise."""
    return SesGateway(
        region=settings.region, endpoint=settings.ses_endpoint, connections=settings.window,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds, attempts=BOTO3_DEFAULT_ATTEMPTS,
    )  # fmt: skip


def look_deaf(
    candidate: Candidate, _: Suppressions, orders: Orders, now_ms: int, margin_ms: int
) -> tuple[Refusal, str] | None:
    """A last look that hears of no suppression."""
    return look(candidate, {}, orders, now_ms, margin_ms)


def outcome_first() -> None:
    wiring.Dispatcher = OutcomeFirst  # type: ignore[attr-defined]


def default_retries() -> None:
    wiring.open_gateway = retrying  # type: ignore[attr-defined]


def deaf() -> None:
    dispatching.look = look_deaf


FAULTS: dict[str, Callable[[], None]] = {
    "outcome-first": outcome_first,
    "default-retries": default_retries,
    "deaf": deaf,
}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(run_service(wiring.GROUP, wiring.Sender))
