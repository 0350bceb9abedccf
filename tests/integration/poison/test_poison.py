"""Poison on every input, at the service that reads it: one dead letter each, and nobody waits."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.poison.house import House
from tests.integration.poison.inputs import (
    HERE,
    Input,
    audience,
    control,
    events_of_people,
    events_of_ses,
    messages,
    supporters,
)
from tests.integration.sender.processes import ServiceProcess, until


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(supporters, id="segmenter, supporters"),
        pytest.param(events_of_people, id="segmenter, events"),
        pytest.param(control, id="segmenter, control"),
        pytest.param(audience, id="renderer, audience"),
        pytest.param(messages, id="sender, messages"),
        pytest.param(events_of_ses, id="sender, events"),
    ],
)
def test_poison_is_a_dead_letter_each_and_its_neighbours_go_through(
    tmp_path: Path, make: Callable[[], Input]
) -> None:
    given = make()
    one, two, three, later = given.sound
    with House(tmp_path, given.service) as house:
        house.append(*given.before)
        service = house.start()
        wait(service, lambda: given.ready(house), "what must be there first")
        house.append(one, given.broken, two, given.refused, three)

        wait(service, lambda: set(given.marks[:3]) <= set(given.left(house)), "the neighbours")
        wait(service, lambda: len(house.letters()) >= 2, "two dead letters")
        assert service.stop() == 0

        house.append(later)
        service = house.start()
        wait(service, lambda: given.marks[3] in given.left(house), "what came later")
        assert service.stop() == 0

        assert sorted(given.left(house)) == sorted(given.marks), "each once, and nothing of poison"
        broken, refused = house.letters()
        assert (broken.error, refused.error) == ("Malformed", given.error)
        for letter, record, before in ((broken, given.broken, one), (refused, given.refused, two)):
            assert (letter.group, letter.topic, letter.partition) == (
                given.service, given.topic, HERE,
            )  # fmt: skip
            assert base64.b64decode(letter.value or "") == record.value
            assert house.on(given.topic)[letter.offset - 1].value == before.value


def wait(service: ServiceProcess, condition: Callable[[], bool], what: str) -> None:
    """Return once it holds; fail at once with its last words when the service ends."""

    def holds() -> bool:
        assert service.alive(), f"it ended: {service.said()[-2_000:]}"
        return condition()

    until(holds, what, seconds=30)
