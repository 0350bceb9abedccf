"""The auditor on made-up evidence: what balances passes, every planted error is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.auditor.__main__ import main
from deploy.auditor.evidence import FINALS
from deploy.auditor.findings import MEANING
from tests.unit.auditor.scene import NINE_MS, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A send that balances, with somebody in every final state."""
    made = Scene(tmp_path)
    made.person("ada")
    made.person("ben")
    for state in FINALS[1:]:
        left = {"reason": "left by an operator"} if state == "unconfirmed" else {}
        made.person(f"{state}-one", state, **left)
    made.request("unconfirmed-one", outcome="refused", answer=None)
    return made


@pytest.fixture
def audit(scene: Scene, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the auditor on the scene: its status, and what it says as JSON."""

    def run(*options: str, frozen: bool = True) -> tuple[int, dict[str, Any]]:
        status = main([*scene.arguments(*options, frozen=frozen), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


def kinds(said: dict[str, Any]) -> dict[str, list[str]]:
    """Every kind that was found, with the messages named."""
    found: dict[str, list[str]] = {}
    for finding in said["findings"]:
        found.setdefault(finding["kind"], []).append(finding["message_id"])
    return found


def test_evidence_that_balances_passes(audit: Any) -> None:
    status, said = audit("--kills", "0")

    assert (status, said["balanced"], said["findings"]) == (0, True, [])
    assert said["books"]["spring"] == {
        "frozen": 9, "accepted": 2, "open": 0, **dict.fromkeys(FINALS[1:], 1)
    }  # fmt: skip
    assert (said["unconfirmed"], said["unconfirmed_allowed"]) == (1, 1)


def test_people_who_ended_before_release_need_no_ledger_row(scene: Scene, audit: Any) -> None:
    for state in ("suppressed", "excluded", "failed", "expired", "cancelled"):
        scene.freeze(f"early-{state}", state, released=0)

    status, said = audit()

    assert status == 0
    assert said["books"]["spring"]["frozen"] == 14
    assert said["books"]["spring"]["suppressed"] == 2


def test_without_frozen_sets_the_ledger_is_the_audience(scene: Scene, audit: Any) -> None:
    scene.frozen.clear()

    status, said = audit(frozen=False)

    assert (status, said["books"]["spring"]["frozen"]) == (0, 9)


def test_a_message_mailed_twice_is_doubled(scene: Scene, audit: Any) -> None:
    scene.mail("ada")

    status, said = audit("--policy", "resend")

    assert (status, kinds(said)) == (1, {"doubled": ["ada"]})


def test_a_double_cannot_hide_by_losing_its_file(scene: Scene, audit: Any) -> None:
    scene.mail("ada").unlink()

    _, said = audit("--policy", "resend")

    assert kinds(said) == {"doubled": ["ada"], "mail file lost": ["ada"]}


def test_two_messages_of_a_send_in_one_inbox_are_doubled(scene: Scene, audit: Any) -> None:
    scene.person("home-1", to_address="home@example.org")
    scene.person("home-2", to_address="Home@example.org")

    status, said = audit()

    assert (status, kinds(said)) == (1, {"doubled inbox": ["home-1"]})


def test_a_send_that_is_one_per_person_may_fill_an_inbox_twice(scene: Scene, audit: Any) -> None:
    for name in ("home-1", "home-2"):
        scene.person(name, to_address="home@example.org", per_inbox=0)

    assert audit()[0] == 0


def test_whoever_was_erased_has_no_address_to_compare(scene: Scene, audit: Any) -> None:
    scene.book("erased", "accepted", to_address="")
    scene.freeze("erased", "accepted")
    scene.mail("erased")

    assert audit()[0] == 0


def test_accepted_without_a_mail_is_missed(scene: Scene, audit: Any) -> None:
    scene.book("eve", "accepted")
    scene.freeze("eve", "accepted")

    status, said = audit()

    assert (status, kinds(said)) == (1, {"missed": ["eve"]})


@pytest.mark.parametrize(
    "reason",
    [
        None,
        "SES reported nothing within the settle window",
        "not resent: its deadline has passed",
        "not resent: its deadline came first",
    ],
)
def test_who_was_owed_a_resend_and_never_got_it_is_missed(
    scene: Scene, audit: Any, reason: str | None
) -> None:
    """A ledger that names a deadline must have one."""
    scene.person("eve", "unconfirmed", reason=reason)

    assert audit("--policy", "leave")[0] == 0
    status, said = audit("--policy", "resend")

    assert (status, kinds(said)) == (1, {"missed": ["eve"]})
    assert said["resent"] == 0


@pytest.mark.parametrize(
    "row",
    [
        {"attempt": 2, "reason": "in doubt again after it was resent once"},
        {"reason": "left by an operator"},
        {"reason": "not resent: its deadline has passed", "deadline_ms": NINE_MS},
        {"reason": "not resent: the send was cancelled"},
        {"reason": "not resent: unsubscribed"},
        {
            "reason": "not resent: nothing proves that SES's events came then; an operator may"
            " decide"
        },
    ],
)
def test_what_was_resent_or_stopped_may_stay_in_doubt(
    scene: Scene, audit: Any, row: dict[str, Any]
) -> None:
    scene.person("eve", "unconfirmed", **row)

    status, said = audit("--policy", "resend")

    assert status == 0
    assert said["resent"] == row.get("attempt", 1) - 1


def test_a_mail_of_somebody_left_in_doubt_is_a_wrong_book_not_a_miss(
    scene: Scene, audit: Any
) -> None:
    scene.person("eve", "unconfirmed")
    scene.mail("eve")

    _, said = audit("--policy", "resend")

    assert kinds(said) == {"not booked as accepted": ["eve"]}


@pytest.mark.parametrize(
    ("state", "settled"), [("ready", 1), ("attempting", 1), ("unconfirmed", 0)]
)
def test_what_is_open_in_the_ledger_is_named(
    scene: Scene, audit: Any, state: str, settled: int
) -> None:
    scene.book("eve", state, settled=settled)
    scene.freeze("eve", None)

    status, said = audit()

    assert (status, kinds(said)) == (1, {"without a final state": ["eve"]})
    assert said["books"]["spring"]["open"] == 1


@pytest.mark.parametrize("released", [0, 1])
def test_who_never_reached_the_ledger_is_named(scene: Scene, audit: Any, released: int) -> None:
    scene.freeze("eve", None, released=released)

    status, said = audit()

    assert (status, kinds(said)) == (1, {"without a final state": ["eve"]})


@pytest.mark.parametrize("state", ["unconfirmed", "failed", "expired", "capped"])
def test_a_mail_whose_row_is_not_accepted_is_named(scene: Scene, audit: Any, state: str) -> None:
    scene.person("eve", state)
    scene.mail("eve")

    status, said = audit()

    assert (status, kinds(said)) == (1, {"not booked as accepted": ["eve"]})


def test_a_mail_for_somebody_outside_the_audience_is_named(scene: Scene, audit: Any) -> None:
    scene.mail("stranger")
    scene.book("mallory", "accepted")
    scene.mail("mallory")

    status, said = audit()

    assert status == 1
    assert kinds(said) == {
        "nobody's mail": ["stranger"],
        "outside the frozen set": ["mallory", "stranger"],
    }
    assert said["books"]["spring"]["open"] == -1


@pytest.mark.parametrize(("books", "set_says"), [("failed", "expired"), ("accepted", None)])
def test_ledger_and_frozen_set_must_tell_the_same_end(
    scene: Scene, audit: Any, books: str, set_says: str | None
) -> None:
    scene.person("eve", books)
    scene.frozen[-1]["state"] = set_says

    status, said = audit()

    assert (status, kinds(said)) == (1, {"books disagree": ["eve"]})


def test_a_frozen_set_cannot_claim_acceptance_alone(scene: Scene, audit: Any) -> None:
    scene.freeze("eve", "accepted")

    _, said = audit()

    assert kinds(said) == {"missed": ["eve"], "books disagree": ["eve"]}


def test_a_mail_after_its_deadline_is_named(scene: Scene, audit: Any) -> None:
    scene.person("early", deadline_ms=NINE_MS)
    scene.book("late", "accepted", deadline_ms=NINE_MS)
    scene.freeze("late", "accepted")
    scene.mail("late", at="09:00:00.001")

    status, said = audit()

    assert (status, kinds(said)) == (1, {"after the deadline": ["late"]})


def test_a_mail_to_another_address_is_named(scene: Scene, audit: Any) -> None:
    scene.book("eve", "accepted")
    scene.freeze("eve", "accepted")
    scene.mail("eve", to="mallory@example.org")

    status, said = audit()

    assert (status, kinds(said)) == (1, {"wrong address": ["eve"]})


@pytest.mark.parametrize(("policy", "doubts"), [("leave", 1), ("resend", 2)])
def test_asking_again_beyond_the_policy_is_named(
    scene: Scene, audit: Any, policy: str, doubts: int
) -> None:
    scene.request("ben", outcome="refused", answer=429)
    for _ in range(doubts):
        scene.request("ben", outcome="refused", answer=503)

    status, said = audit("--policy", policy)

    assert (status, kinds(said)) == (1, {"asked again": ["ben"]})


def test_one_resend_is_within_the_policy_that_asks_for_it(scene: Scene, audit: Any) -> None:
    scene.request("ben", outcome="refused", answer=None)

    assert audit("--policy", "resend")[0] == 0


def test_more_unconfirmed_than_kills_explain_are_too_many(scene: Scene, audit: Any) -> None:
    for number in range(8):
        scene.person(f"lost-{number}", "unconfirmed")

    assert audit()[0] == 0, "without --kills there is no bound"
    assert audit("--kills", "2", "--window", "4")[0] == 0, "8 of two windows, 1 of an answer"
    status, said = audit("--kills", "2", "--window", "4", "--ambiguous", "0")

    assert (status, list(kinds(said))) == (1, ["too many unconfirmed"])
    assert (said["unconfirmed"], said["unconfirmed_allowed"]) == (9, 8)


def test_one_send_can_be_looked_at_alone(scene: Scene, audit: Any) -> None:
    scene.book("eve", "ready", "autumn")
    scene.freeze("eve", None, "autumn")
    scene.mail("stranger", "winter")

    assert audit("--send", "spring")[0] == 0
    assert list(kinds(audit("--send", "autumn")[1])) == ["without a final state"]
    assert list(audit("--send", "spring", "--send", "autumn")[1]["books"]) == ["autumn", "spring"]


def test_a_line_that_a_kill_tore_is_not_counted(scene: Scene) -> None:
    arguments = scene.arguments()
    with (scene.directory / "requests.jsonl").open("a") as journal:
        journal.write('{"outcome": "acce')

    assert main(arguments) == 0


def test_people_read_a_short_report_without_addresses(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        scene.book(f"open-{number:02}", "ready")
        scene.freeze(f"open-{number:02}", None)

    assert main(scene.arguments("--kills", "1")) == 1

    said = capsys.readouterr().out
    assert "21 messages, 2 mails: IT DOES NOT BALANCE." in said
    assert "without a final state: 12" in said
    assert "open-09 spring: ready in the ledger" in said
    assert "and 2 more; --json names all" in said
    assert "(at most 1 kills x 16 in flight + 1 ambiguous answers = 17)" in said
    assert all(f"{kind}: " in said for kind in MEANING)
    assert "@" not in said


@pytest.mark.parametrize("missing", ["ledger.db", "requests.jsonl", "mail/new", "store.db"])
def test_missing_evidence_is_not_a_verdict(
    scene: Scene, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    arguments = scene.arguments()
    (scene.directory / missing).rename(scene.directory / "elsewhere")

    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("auditor: ")
    assert missing.partition("/")[0] in said.err


def test_the_auditor_shares_no_code_with_what_it_audits(scene: Scene) -> None:
    program = (
        "import sys; sys.argv[1:] = sys.argv[1:]\n"
        "from deploy.auditor.__main__ import main\n"
        "status = main(sys.argv[1:])\n"
        "ours = ('services', 'shared', 'deploy.ses_sandbox')\n"
        "foreign = ('apsw', 'pydantic', 'boto3')\n"
        "assert not [m for m in sys.modules if m.startswith(ours + foreign)]\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *scene.arguments()],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
