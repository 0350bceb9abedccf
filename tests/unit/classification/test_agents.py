"""Who did it: the words programs and people's browsers use of themselves."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from shared.classification.agents import FIRST, classify

DATA = Path(__file__).parents[4] / "shared" / "data" / "user-agents"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/132.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (CHROME, "person"),
        (f"{IPHONE} (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1", "person"),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.14931; Pro)", "person"),
        ("Mozilla/5.0 (X11) Gecko/20100101 Firefox/11.0 (via ggpht.com GoogleImageProxy)", "proxy"),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "proxy"),
        ("Mozilla/5.0", "prefetch"),
        (f"{IPHONE} (KHTML, like Gecko)", "prefetch"),
        (f"{IPHONE} (KHTML, like Gecko) Mobile/15E148", "prefetch"),
        (f"{CHROME} Edge/12.246 Mozilla/5.0", "prefetch"),
        ("curl/8.5.0", "scanner"),
        ("python-requests/2.32.0", "scanner"),
        ("Barracuda Sentinel (EE)", "scanner"),
        ("Mozilla/5.0 (compatible; SomethingNew)", "scanner"),
        (f"{CHROME} (+https://scanner.example/about)", "scanner"),
        (CHROME.replace("Chrome", "HeadlessChrome"), "scanner"),
        ("Frobnicator 12", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_open_is_classed_by_what_fetched_the_pixel(
    user_agent: str | None, expected: str
) -> None:
    assert classify(user_agent, "GET") == expected


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_a_link_checker_is_a_scanner_whatever_it_calls_itself(method: str) -> None:
    assert classify(CHROME, method, click=True) == "scanner"


def test_a_click_from_inside_an_app_is_a_persons_and_a_bare_one_says_nothing() -> None:
    in_app = f"{IPHONE} (KHTML, like Gecko) Mobile/15E148"
    assert classify(in_app, "GET", click=True) == "person"
    assert classify("Mozilla/5.0", "GET", click=True) == "unknown"


def agents(name: str) -> list[dict[str, str]]:
    path = DATA / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"user agents: {path.name} is not here")
    with path.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def test_machines_are_told_and_people_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """95 % of machines by their words, at most 1 % of people called machines; and how many
    machines say nothing by which they could be told: they need the other signals.
    """
    machines = Counter(classify(row["user_agent"], "GET") for row in agents("crawlers"))
    people = Counter(
        classify(row["user_agent"], "GET")
        for name in ("browsers", "email_clients")
        for row in agents(name)
    )
    caught = sum(machines[each] for each in ("scanner", "prefetch", "proxy"))
    wronged = people["scanner"] + people["prefetch"]
    with capsys.disabled():
        print(
            f"\nuser agents: {caught} of {machines.total()} machines told, "
            f"{machines['person']} look like a browser and {machines['unknown']} like nothing "
            f"known: cannot be told; {wronged} of {people.total()} people called machines, "
            f"{people['unknown']} cannot be told"
        )
    assert machines["scanner"] >= 0.95 * machines.total(), machines
    assert machines["person"] <= 0.015 * machines.total(), machines
    assert wronged <= 0.01 * people.total(), people
    assert people["person"] >= 0.98 * people.total(), people


def test_the_first_version_still_says_what_it_said() -> None:
    assert classify("Zapier", "GET", version=FIRST) == "unknown"
    assert classify("Zapier", "GET") == "scanner"


def test_what_fetches_mail_gets_the_class_of_its_role() -> None:
    expected = {
        "image_proxy": "proxy", "prefetch": "prefetch", "privacy_prefetch": "prefetch",
        "security_scanner": "scanner", "script": "scanner", "link_preview": "scanner",
        "mail_client": "person", "unknown": "unknown",
    }  # fmt: skip
    wrong = [
        (row["role"], row["user_agent"])
        for row in agents("mail_fetchers")
        if classify(row["user_agent"], "GET") != expected[row["role"]]
    ]
    assert wrong == []
