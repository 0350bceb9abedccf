"""A segmenter that was stopped for so long that the log has forgotten it goes on where it was."""

from __future__ import annotations

import signal

from shared.errors import WrongStore
from tests.integration.loop.test_adopting import forget
from tests.integration.segmenter.test_sends import finished
from tests.integration.segmenter.town import ASK, TOWN, Town

PATIENCE_SECONDS = 60


def ended(town: Town, module: str = "services.segmenter") -> int:
    """Start it, and wait for it to end by itself."""
    return town.start(module=module).process.wait(PATIENCE_SECONDS)


def test_it_goes_on_once_it_is_adopted(town: Town) -> None:
    again = ASK.model_copy(update={"name": "again"})
    town.people(30)
    town.apply(TOWN, ASK, again)
    town.order(ASK)
    running = town.start()
    town.until(lambda: len(town.released()) == 30, "the release")
    town.accept_all()
    town.until(lambda: finished(town, "ask"), "the end")
    running.signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE_SECONDS) == 0
    forget(town.home, "segmenter")
    town.people(5, first=100)

    assert ended(town) == WrongStore.exit_code
    assert ended(town, "services.segmenter.adopting") == 0
    town.start()
    town.order(again)
    town.until(lambda: len(town.released()) >= 60, "another send")
    town.accept_all()
    town.until(lambda: finished(town, "again"), "its end")
    assert len(town.released()) in {60, 65}, "nobody twice; the five may have come too late"
