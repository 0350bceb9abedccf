"""The mark of a test, and whose turn it is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from services.sender.gateway import Answer, OutgoingMail
from services.sender.last_look import Orders
from services.sender.seed_mails import Refused, SeedMail, SeedMails, marked
from services.sender.tables import SenderTables
from shared.clock import SystemClock
from shared.settings import SenderSettings

MAIL = "From: a@example.org\r\nSubject: Hello\r\n of the fold\r\nTo: x\r\n\r\nSubject: no\r\n"
SEED = SeedMail(
    send="ask", topic="campaign", to="ed@example.org", sender="a@example.org", mail=MAIL
)


class Tables:
    """As much of the sender's tables as is looked at."""

    def __init__(self, age: float = 0.0, **orders: Any) -> None:
        self.orders = Orders(seeds=frozenset({"ed@example.org"}), **orders)
        self.suppressions: dict[str, dict[str, str]] = {}
        self.age = age

    def ages(self) -> dict[str, float]:
        return {"programme": self.age, "suppressions": 0.0}


class Turns:
    """A pace of so many calls."""

    def __init__(self, left: int = 9) -> None:
        self.left, self.slowed = left, False

    def take(self, wanted: int) -> int:
        granted = min(wanted, self.left)
        self.left -= granted
        return granted

    def give_back(self, unused: int) -> None:
        self.left += unused

    def slow_down(self) -> None:
        self.slowed = True


class Gateway:
    """Keeps what it is given."""

    def __init__(self, verdict: Any = "accepted") -> None:
        self.sent: list[OutgoingMail] = []
        self.verdict = verdict

    def begin(self, mail: OutgoingMail, still_fresh: Any, answered: Any) -> None:
        assert still_fresh()
        self.sent.append(mail)
        answered(Answer(self.verdict))

    def close(self) -> None: ...


def seeds(gateway: Gateway) -> SeedMails:
    clock = SystemClock()
    return SeedMails(gateway, SenderSettings(), clock, lambda: b"k" * 32)  # type: ignore[arg-type]


def turn(
    mails: SeedMails, tables: Tables, *, may_call: bool = True, pace: Turns | None = None
) -> None:
    looked_at = SystemClock().boot_seconds()
    mails.go(cast("SenderTables", tables), pace or Turns(), looked_at, may_call=may_call)


def asked(mails: SeedMails, tables: Tables, patience: float = 30.0, **options: Any) -> Answer:
    """Ask in a thread while turns are taken in this one."""
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(mails.ask, SEED, patience)
        answer.add_done_callback(lambda _: over.set())
        while not over.wait(0.005):
            turn(mails, tables, **options)
        return answer.result()


def test_the_mark_is_before_the_subject_and_nowhere_else() -> None:
    assert marked(MAIL) == (
        "From: a@example.org\r\nSubject: [TEST] Hello\r\n of the fold\r\nTo: x\r\n"
        "X-Doorstep-Test: yes\r\n\r\nSubject: no\r\n"
    )
    assert "\r\nsubject: " not in marked(MAIL.replace("Subject: H", "subject: H"))
    for wrong in ("x", MAIL.replace("\r\n", "\n"), MAIL + "ä", "Subject: a\r\nSubject: b\r\n\r\nx"):
        with pytest.raises(ValueError, match=r"wanted|subjects"):
            marked(wrong)


def test_a_seed_is_mailed_without_a_tag_of_a_message() -> None:
    gateway = Gateway()
    assert asked(seeds(gateway), Tables()).verdict == "accepted"
    [mail] = gateway.sent
    assert (mail.to, mail.tags, mail.configuration_set) == (
        "ed@example.org", {"test": "ask"}, "doorstep",
    )  # fmt: skip
    assert mail.raw.startswith(b"From: a@example.org\r\nSubject: [TEST] Hello")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (Tables(halted=True), "everything is halted"),
        (Tables(cancelled={"ask"}), "the send was cancelled"),
    ],
)
def test_orders_stop_tests(tables: Tables, said: str) -> None:
    gateway = Gateway()
    with pytest.raises(Refused, match=said):
        asked(seeds(gateway), tables)
    assert gateway.sent == []


def test_held_back_or_not_yet_read_it_is_never_sent_later() -> None:
    for tables, may_call in ((Tables(), False), (Tables(age=60.0), True)):
        gateway = Gateway()
        mails = seeds(gateway)
        with pytest.raises(TimeoutError):
            asked(mails, tables, 0.1, may_call=may_call)
        turn(mails, Tables())
        assert gateway.sent == []


def test_a_test_takes_its_share_of_the_pace_and_slows_it_down_when_told() -> None:
    gateway, none_left = Gateway(), Turns(0)
    with pytest.raises(TimeoutError):
        asked(seeds(gateway), Tables(), 0.1, pace=none_left)
    assert gateway.sent == []
    pace, mails = Turns(3), seeds(Gateway("throttled"))
    assert asked(mails, Tables(), pace=pace).verdict == "throttled"
    turn(mails, Tables(), pace=pace)
    assert (pace.left, pace.slowed) == (2, True)
