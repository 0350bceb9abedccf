"""What people asked for is kept when a send is released: how often, and what we may see."""

from __future__ import annotations

from collections import Counter
from typing import Any

from shared.programme.definitions import Campaign, Disclaimer, Send
from shared.wire.batches import Recipient
from shared.wire.supporters import FREQUENCY, TrackingChoice
from tests.integration.segmenter.town import ASK, NOW, TOWN, Town, supporter

AGAIN = ASK.model_copy(update={"name": "again", "unless_done": ()})
URGENT = AGAIN.model_copy(update={"name": "urgent", "priority": "urgent"})
CAMPAIGN = Campaign(
    name="spring", organisation="Spring", from_name="Spring", from_address="a@example.org",
    reply_to="b@example.org", postal_address="1 High Street",
    disclaimer=Disclaimer(jurisdiction="us"),
)  # fmt: skip


def wants(town: Town, number: int, often: str) -> None:
    town.people(1, first=number, attributes={FREQUENCY: often})


def allows(town: Town, number: int, level: str) -> None:
    choice = {"allows": level, "wording": "see", "source": "form", "at": NOW}
    town.people(1, first=number, tracking=TrackingChoice.model_validate(choice))


def go(town: Town, *sends: Send, **order: Any) -> None:
    for send in sends:
        town.order(send, **order)


def got(town: Town, send: Send) -> set[str]:
    return {one.supporter_id for one in town.released() if one.send_id == send.name}


def over(town: Town, send: Send) -> bool:
    made = town.decision(send.name)
    return made is not None and made.state == "finished"


def test_at_most_one_a_week_and_only_the_important_are_kept(town: Town) -> None:
    town.people(2)
    wants(town, 10, "weekly")
    wants(town, 11, "important")
    town.apply(TOWN, ASK, AGAIN, URGENT)
    go(town, ASK)
    town.start()
    town.until(lambda: len(got(town, ASK)) == 3, "the first release")
    assert supporter(11) not in got(town, ASK)
    town.accept_all()
    town.until(lambda: over(town, ASK), "its end")
    go(town, AGAIN, URGENT)
    everyday = {supporter(0), supporter(1)}
    town.until(lambda: got(town, URGENT) >= everyday and got(town, AGAIN) >= everyday, "the rest")
    town.until(lambda: town.events("capped").total() == 4, "the others to be capped")
    assert got(town, AGAIN) == everyday
    assert got(town, URGENT) == {*everyday, supporter(11)}
    assert town.events("capped") == Counter({supporter(10): 2, supporter(11): 2})
    books = town.ask("/ask/books", send=AGAIN.name)
    assert books["states"]["capped"] == 2


def test_two_sends_of_one_minute_do_not_both_reach_who_wants_one_a_week(town: Town) -> None:
    for number in range(8):
        wants(town, number, "weekly")
    town.apply(TOWN, ASK, AGAIN)
    go(town, ASK, AGAIN)
    town.start()
    town.until(lambda: town.events("capped").total() == 8, "one of the two for each")
    found = Counter(one.supporter_id for one in town.released())
    assert found == {supporter(number): 1 for number in range(8)}


def test_a_mail_that_never_went_out_takes_nobodys_week(town: Town) -> None:
    wants(town, 0, "weekly")
    town.apply(TOWN, ASK, AGAIN)
    go(town, ASK)
    town.start()
    town.until(lambda: len(got(town, ASK)) == 1, "the release")
    (one,) = town.released()
    town.tell(
        "failed", one.supporter_id, message_id=one.message_id, send_id=one.send_id,
        variant=one.variant, reason="refused",
    )  # fmt: skip
    town.until(lambda: over(town, ASK), "its end")
    go(town, AGAIN)
    town.until(lambda: len(got(town, AGAIN)) == 1, "the second")


def test_what_may_be_seen_is_decided_for_each_mail(town: Town) -> None:
    town.people(1)
    for number, level in enumerate(("all", "links", "none"), start=1):
        allows(town, number, level)
    silent = AGAIN.model_copy(update={"tracking": False})
    town.apply(TOWN, ASK, silent)
    go(town, ASK, silent)
    town.start()
    town.until(lambda: len(town.released()) == 8, "both releases")

    def of(send: Send) -> dict[str, Recipient]:
        return {one.supporter_id: one for one in town.released() if one.send_id == send.name}

    asked = [of(ASK)[supporter(number)] for number in range(4)]
    assert [(one.tracked, one.pixel) for one in asked] == [
        (True, False), (True, True), (True, False), (False, False),
    ]  # fmt: skip
    assert {(one.tracked, one.pixel) for one in of(silent).values()} == {(False, False)}


def test_where_the_law_asks_no_consent_silence_allows_the_pixel(town: Town) -> None:
    town.people(1)
    allows(town, 1, "links")
    town.apply(TOWN, ASK, CAMPAIGN)
    go(town, ASK, pinned={"campaign/spring": CAMPAIGN.version()})
    town.start()
    town.until(lambda: len(town.released()) == 2, "the release")
    pixels = {one.supporter_id: one.pixel for one in town.released()}
    assert pixels == {supporter(0): True, supporter(1): False}
