"""What a profile asks of the suppressions topic, and what it takes back."""

from __future__ import annotations

from services.segmenter.people.profiles import (
    NOBODY_YET,
    Profile,
    fold,
    fold_bounce,
    fold_complaint,
    fold_unsubscribe,
)
from services.segmenter.people.withdrawals import (
    NOTHING_SAID,
    Withdrawn,
    freeing_record,
    saying,
    suppression_record,
)
from shared.clock import to_ms
from shared.ids import address_key
from shared.log.partitioner import partition_of
from tests.unit.people.stating import ADA, NOON, SECRET, at, consent, statement

KEY = address_key("ada@example.org", SECRET)
NEW_KEY = address_key("ada@example.com", SECRET)
LATER = 10**13


def ada() -> Profile:
    return fold(NOBODY_YET, statement(1, profile={"email": "ada@example.org"}, consent=consent()))


def said_of(profile: Profile, said: Withdrawn = NOTHING_SAID) -> set[tuple[str, str]]:
    return {(s.subject, s.reason) for s in saying(ADA, profile, said).suppressions}


def test_nothing_is_said_of_a_mailable_supporter() -> None:
    assert saying(ADA, ada(), NOTHING_SAID).withdrawn == NOTHING_SAID


def test_an_unsubscribe_suppresses_the_person_and_the_inbox_once() -> None:
    gone = fold_unsubscribe(ada(), LATER)
    assert said_of(gone) == {(ADA, "unsubscribed"), (KEY, "unsubscribed")}
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    assert said_of(fold_unsubscribe(gone, LATER + 5), said) == set()


def test_the_new_address_of_somebody_unsubscribed_is_suppressed_too() -> None:
    gone = fold_unsubscribe(ada(), LATER)
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    moved = fold(gone, statement(9, profile={"email": "ada@example.com"}))
    assert said_of(moved, said) == {(NEW_KEY, "unsubscribed")}


def test_somebody_unsubscribed_without_an_address_is_suppressed_as_a_person() -> None:
    assert said_of(fold_unsubscribe(NOBODY_YET, LATER)) == {(ADA, "unsubscribed")}


def test_a_bounce_is_left_to_who_hears_which_address_it_was() -> None:
    assert said_of(fold_bounce(ada(), LATER, LATER)) == set()


def test_who_comes_back_is_freed_with_every_inbox_of_theirs() -> None:
    gone = fold_unsubscribe(ada(), NOON_MS)
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    back = fold(gone, statement(9, subscription="subscribed", stated_by="supporter"))
    assert saying(ADA, back, said).freed == [ADA, KEY]
    moved = fold(back, statement(10, profile={"email": "ada@example.com"}))
    assert saying(ADA, moved, said).freed == [ADA, KEY, NEW_KEY]


def test_who_complained_is_not_freed_by_coming_back() -> None:
    gone = fold_complaint(fold_unsubscribe(ada(), NOON_MS), NOON_MS)
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    back = fold(gone, statement(9, subscription="subscribed", stated_by="supporter"))
    assert saying(ADA, back, said).freed == ()


def test_a_complaint_after_an_unsubscribe_says_the_harder_reason() -> None:
    gone = fold_unsubscribe(ada(), LATER)
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    spam = fold_complaint(gone, LATER)
    assert said_of(spam, said) == {(ADA, "complained"), (KEY, "complained")}


def test_what_was_said_survives_the_store() -> None:
    for withdrawn in (NOTHING_SAID, Withdrawn("unsubscribed", KEY)):
        assert Withdrawn.from_text(withdrawn.to_text()) == withdrawn


def test_a_suppression_and_its_tombstone_meet_under_one_key_in_one_partition() -> None:
    (first, _) = saying(ADA, fold_unsubscribe(ada(), LATER), NOTHING_SAID).suppressions
    record, tombstone = suppression_record(first, 24), freeing_record(ADA, 24, NOON)
    assert record.key == tombstone.key == f"{ADA}|everything".encode()
    assert record.partition == tombstone.partition == partition_of(f"{ADA}|everything", 24)
    assert tombstone.value is None


NOON_MS = int(NOON.timestamp() * 1000)


def chose(profile: Profile, minutes: float, **topics: bool) -> Profile:
    return fold(profile, statement(minutes, stated_by="supporter", topics=topics))


def scoped(profile: Profile, said: Withdrawn = NOTHING_SAID) -> set[tuple[str, str]]:
    return {(s.subject, s.scope) for s in saying(ADA, profile, said).suppressions}


def test_a_topic_that_was_left_is_stopped_for_the_person_and_the_inbox_once() -> None:
    gone = chose(ada(), 2, events=False, ask=True)
    assert scoped(gone) == {(ADA, "topic:events"), (KEY, "topic:events")}
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    assert Withdrawn.from_text(said.to_text()) == said
    assert not saying(ADA, gone, said).says()
    also = chose(gone, 3, ask=False)
    assert scoped(also, said) == {(ADA, "topic:ask"), (KEY, "topic:ask")}


def test_a_topic_that_is_joined_again_is_freed_also_under_the_new_address() -> None:
    said = saying(ADA, chose(ada(), 2, events=False), NOTHING_SAID).withdrawn
    back = chose(chose(ada(), 2, events=False), 3, events=True)
    freed = saying(ADA, back, said)
    assert freed.joined == [(ADA, "topic:events"), (KEY, "topic:events")]
    assert freed.withdrawn == NOTHING_SAID
    moved = fold(back, statement(9, profile={"email": "ada@example.com"}))
    assert (NEW_KEY, "topic:events") in saying(ADA, moved, said).joined


def test_the_new_address_of_who_left_a_topic_is_stopped_too() -> None:
    gone = chose(ada(), 2, events=False)
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    moved = fold(gone, statement(9, profile={"email": "ada@example.com"}))
    assert (NEW_KEY, "topic:events") in scoped(moved, said)


def test_an_import_wins_nobody_back_to_a_topic() -> None:
    gone = chose(ada(), 2, events=False)
    imported = fold(gone, statement(5, topics={"events": True}))
    assert imported.topics_left() == gone.topics_left()
    assert fold(ada(), statement(5, topics={"events": False})).topics_left().keys() == {"events"}


def test_leaving_everything_and_a_topic_are_told_apart() -> None:
    gone = fold_unsubscribe(chose(ada(), 2, events=False), to_ms(at(3)))
    assert scoped(gone) == {
        (ADA, "everything"), (KEY, "everything"), (ADA, "topic:events"), (KEY, "topic:events"),
    }  # fmt: skip
    said = saying(ADA, gone, NOTHING_SAID).withdrawn
    back = fold(gone, statement(1_500, stated_by="supporter", subscription="subscribed"))
    found = saying(ADA, back, said)
    assert (found.freed, found.joined) == ([ADA, KEY], [])
    assert found.withdrawn.topics == ("events",)


def test_what_an_older_store_kept_is_read() -> None:
    assert Withdrawn.from_text('["complained", "k"]') == Withdrawn("complained", "k")
