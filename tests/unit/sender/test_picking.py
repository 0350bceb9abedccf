"""What is passed over for a full provider is seen again, in order, and once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.last_look import Candidate
from services.sender.picking import FORGET_SECONDS, MOST_PARKED, Parked
from services.sender.provider_pace import ProviderPace, row_of
from shared.programme.providers import Providers

PROVIDERS = Providers({"gmail": 5.0, "yahoo": 5.0}, {"gmail.com": "gmail", "yahoo.com": "yahoo"})


class Purse:
    """A pace with so many tokens."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def take(self, wanted: int) -> int:
        granted = min(wanted, self.tokens)
        self.tokens -= granted
        return granted

    def give_back(self, unused: int) -> None:
        self.tokens += unused

    def slow_down(self) -> None:
        raise AssertionError("a provider is never too slow for SES")


def row(number: int, partition: int = 0, send: str = "s") -> Candidate:
    return Candidate(number, str(number), send, 0, partition, "p", "a", "v", "", "t", None,
                     "n@example.org", "x@gmail.com", "b", 0, 0)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(["gmail", "yahoo"]), max_size=30), st.integers(1, 7))
def test_parked_rows_come_back_in_order_and_once(providers: list[str], limit: int) -> None:
    parked = Parked()
    for number, provider in enumerate(providers):
        assert parked.park(row(number, number % 2), provider)
    for provider in ("gmail", "yahoo"):
        found: list[int] = []
        while some := parked.recall("s", [provider], limit):
            assert len(some) <= limit
            found += some
        assert found == [n for n, each in enumerate(providers) if each == provider]
    assert parked.number == 0
    assert parked.providers() == set()


def test_what_is_parked_is_passed_by_send_and_partition_until_it_is_forgotten() -> None:
    parked = Parked()
    parked.begin(100.0)
    parked.park(row(7, 2), "gmail")
    assert [parked.passed("s", 2), parked.passed("s", 1), parked.passed("t", 2)] == [7, -1, -1]
    parked.begin(100.0 + FORGET_SECONDS)
    assert parked.passed("s", 2) == 7
    parked.begin(100.1 + FORGET_SECONDS)
    assert (parked.passed("s", 2), parked.number) == (-1, 0)


def test_there_is_room_for_so_many() -> None:
    parked = Parked()
    assert all(parked.park(row(number), "gmail") for number in range(MOST_PARKED))
    assert not parked.park(row(MOST_PARKED), "gmail")
    assert parked.passed("s", 0) == MOST_PARKED - 1


def test_tokens_are_leased_for_whom_there_is_mail_and_the_rest_is_given_back() -> None:
    purses: dict[int, Purse] = {}
    pace = ProviderPace(lambda number, _: purses.setdefault(number, Purse(3)))
    pace.lease(PROVIDERS, (), 16)
    assert purses == {}, "nobody asked"
    assert not pace.spend("gmail")
    pace.lease(PROVIDERS, (), 16)
    assert pace.open() == ["gmail"]
    assert [pace.spend("gmail") for _ in range(2)] == [True, True]
    pace.give_back()
    assert purses[row_of("gmail")].tokens == 1
    pace.lease(PROVIDERS, ["yahoo"], 2)
    assert sorted(pace.open()) == ["gmail", "yahoo"]
    assert purses[row_of("yahoo")].tokens == 1
    pace.lease(Providers(), ["yahoo"], 2)
    assert pace.of("a@gmail.com") is None, "the campaign names none any more"


def test_no_provider_has_the_row_of_the_account() -> None:
    rows = {row_of(f"provider{number}") for number in range(1_000)}
    assert len(rows) == 1_000
    assert min(rows) > 1
