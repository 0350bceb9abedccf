"""Lint, previews and tests of a send, with every service real and SES played by the sandbox."""

from __future__ import annotations

import email
import email.policy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.log.topics import EVENTS
from tests.integration.console.programme_files import FILES, write_programme
from tests.integration.console.stage import Stage, until

ROOT = Path(__file__).resolve().parents[3]
PEOPLE = """email,first_name,tags,consent_wording,consent_source,consent_at,external_id
ada@example.org,Ada,member,Yes,web form,2026-05-01T10:00:00Z,1
bob@example.org,,member,Yes,web form,2026-05-01T10:00:00Z,2
cat@example.org,Cat,member,,,,3
"""
PARTS = {
    "campaign.yaml": FILES["campaign.yaml"] + "seeds: [editor@example.org, phone@example.org]\n",
    "templates/letter/template.yaml": "subject: Hello\npreheader: Good news\n",
    "templates/letter/mail.html.j2": (
        '<html><head><meta name="color-scheme" content="light dark"></head><body>\n'
        '<p>Dear {{ supporter.first_name or "friend" }}, <a href="https://nobody.invalid/x">go</a>'
        "</p><p><a href='{{ unsubscribe_url }}'>No more</a></p>{{ disclaimer }}</body></html>\n"
    ),
    "templates/letter/mail.txt.j2": (
        'Dear {{ supporter.first_name or "friend" }}\nhttps://nobody.invalid/x\n'
        "{{ unsubscribe_url }}\n{{ disclaimer }}\n"
    ),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All services of a home with three people and the programme above."""
    folder = tmp_path_factory.mktemp("house")
    stage = Stage(folder / "home")
    stage.environment["DOORSTEP_TRACKING_URL"] = f"http://127.0.0.1:{stage.ports['tracker']}"
    environment = os.environ | {k: v for k, v in stage.environment.items() if v is not None}
    command = [sys.executable, "-m", "services.console", "--home", str(stage.home), "up"]
    process = subprocess.Popen([*command, "--rehearsal"], cwd=ROOT, env=environment)
    try:
        until(lambda: stage.doorstep("status").exit_code == 0 and ready(stage), "services", 90)
        (folder / "people.csv").write_text(PEOPLE)
        stage.said("import", "supporters", str(folder / "people.csv"), "--source", "t", "--wait")
        apply(stage, folder / "sound")
        yield stage
    finally:
        process.terminate()
        process.wait(timeout=60)


def ready(stage: Stage) -> bool:
    def answers(port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    return all(answers(port) for port in stage.ports.values())


def apply(stage: Stage, folder: Path, **changed: str) -> None:
    """The programme, with other sources of the letter: `html` or `text`."""
    names = {"html": "templates/letter/mail.html.j2", "text": "templates/letter/mail.txt.j2"}
    files = PARTS | {names[part]: source for part, source in changed.items()}
    stage.said("apply", str(write_programme(folder, files)), "--yes")


def mails(stage: Stage) -> list[Path]:
    return sorted((stage.home / "ses-sandbox" / "mail" / "new").glob("*"))


def lint(stage: Stage, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        stage.doorstep("send", "lint", "ask", "--json", *words).stdout
    )
    return found


def test_a_preview_is_the_persons_own_mail(house: Stage, tmp_path: Path) -> None:
    said = house.said("send", "preview", "ask", "--supporter", "ada@example.org")
    assert "Dear Ada" in said
    assert "Ada <ada@example.org>" in said
    assert "Good news" in said
    assert "its way out does nothing" in said
    unmailable = house.doorstep("send", "preview", "ask", "--supporter", "t:3", "--text")
    assert unmailable.stdout.startswith("Dear Cat\nhttps://nobody.invalid/x\n")
    files = [str(tmp_path / name) for name in ("mail.html", "mail.eml")]
    house.said("send", "preview", "ask", "--html", files[0], "--eml", files[1])
    assert "Dear Ailsa" in Path(files[0]).read_text()
    message = email.message_from_bytes(Path(files[1]).read_bytes(), policy=email.policy.default)
    assert message["Subject"] == "Hello"
    assert "somebody made up" in house.said("send", "preview", "ask")
    assert mails(house) == [], "a look sends nothing"


@pytest.mark.real("chromium")
def test_a_picture_of_it(house: Stage, tmp_path: Path) -> None:
    file = tmp_path / "mail.png"
    house.said("send", "preview", "ask", "--picture", str(file), "--phone", "--dark")
    assert file.read_bytes().startswith(b"\x89PNG")
    assert "say --picture FILE" in house.refused("send", "preview", "ask", "--dark")


def test_what_cannot_be_shown_is_said(house: Stage) -> None:
    assert "has no variant 'b': it has only" in house.refused(
        "send", "preview", "ask", "--variant", "b"
    )
    assert "nobody is known by this address" in house.refused(
        "send", "preview", "ask", "--supporter", "nobody@example.org"
    )
    assert "has no editions" in house.refused("send", "preview", "ask", "--edition", "W1")
    assert 'there is no send "as": did you mean "ask"?' in house.refused("send", "preview", "as")
    refused = house.refused("send", "preview", "ask", "--html", "/nowhere/x.html")
    assert "/nowhere/x.html cannot be written" in refused


def test_nothing_in_a_preview_acts_for_anybody(house: Stage) -> None:
    """All its links are followed, and its way out is posted to: nothing is heard of it."""
    shown = house.json("send", "preview", "ask", "--supporter", "ada@example.org")
    [way_out] = set(re.findall(r"http://127\.0\.0\.1:\d+/\S+?(?=[\s'\"]|$)", shown["text"]))
    before = house.records(EVENTS)
    for method in ("GET", "POST"):
        answer = httpx.request(method, way_out)
        assert answer.status_code == 200
        assert "This was a preview" in answer.text
    for other in ("u", "c", "o"):
        stray = way_out.replace("/preview/u/", f"/{other}/") + {"c": "/0", "o": ".gif"}.get(
            other, ""
        )
        assert httpx.post(stray).status_code in (404, 405), "nor does its token anywhere else"
    assert house.records(EVENTS) == before
    ada = house.json("why", "ask", "ada@example.org")
    assert ada["supporter"]["mailable"]


def test_a_sound_send_has_nothing_to_mend(house: Stage) -> None:
    said = house.said("send", "lint", "ask", "--no-links")
    assert "ask: nothing to mend" in said
    assert "every variant and edition renders" in said
    assert "of 2 people, supporter.first_name is lacked by 1, who read something else" in said
    found = lint(house)
    assert (found["stops"], found["lacking"]) == ([], {"supporter.first_name": 1})
    [dead] = found["warns"]
    assert dead["what"] == "none of 1 address can be reached"
    assert "there is no host nobody.invalid" in dead["hint"]
    assert found["links"] == {
        "addresses": 1, "asked": 1, "dead": ["https://nobody.invalid/x"], "unknown": [],
    }  # fmt: skip


@pytest.mark.real("spamassassin")
def test_spamassassin_is_asked(house: Stage) -> None:
    score = lint(house, "--no-links")["spam_scores"]["only"]
    assert score["required"] == 5
    assert score["score"] < score["required"]
    assert "HTML_MESSAGE" in score["tests"]


def test_what_stops_a_send_stops_its_launch(house: Stage, tmp_path: Path) -> None:
    words = "word " * 24_000
    html = PARTS["templates/letter/mail.html.j2"].replace("Dear", f"{words} Dear")
    text = PARTS["templates/letter/mail.txt.j2"].replace("Dear", f"{words} Dear")
    apply(house, tmp_path / "long", html=html, text=text)
    result = house.doorstep("send", "lint", "ask", "--no-links")
    assert result.exit_code == 64
    assert "1 finding stops it" in result.output
    assert "before the way out and the disclaimer" in result.output
    refused = house.refused("send", "launch", "ask", "--yes")
    assert "lint found 1 reason not to launch it" in refused
    assert "templates/letter/mail.html.j2" in refused
    gap = PARTS["templates/letter/mail.html.j2"].replace(' or "friend"', "")
    apply(house, tmp_path / "gap", html=gap)
    [warned] = lint(house, "--no-links")["warns"]
    assert warned["where"] == "templates/letter/mail.html.j2:2"
    assert "1 of 2 lack it, and would read a gap there" in warned["what"]
    launch = house.doorstep("send", "launch", "ask", "--count", "5")
    assert "1 thing to look at: doorstep send lint ask" in launch.output
    bare = gap.replace("supporter.first_name", "supporter.attributes.ward")
    apply(house, tmp_path / "bare", html=bare)
    stops = lint(house, "--no-links")["stops"]
    assert any("ward: 2 of 2 lack it, and would get no mail" in each["what"] for each in stops)
    apply(house, tmp_path / "sound")


def test_seeds_get_a_marked_mail_outside_of_the_books(house: Stage) -> None:
    refused = house.refused("send", "test", "ask", "--to", "ada@example.org")
    assert "ada@example.org is no seed of the campaign" in refused
    said = house.said("send", "test", "ask", "--supporter", "ada@example.org")
    assert "editor@example.org: [TEST] Hello" in said
    assert "phone@example.org: [TEST] Hello" in said
    house.said("send", "test", "ask", "--to", "Phone@example.org")
    read = [
        email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        for file in mails(house)
    ]
    assert sorted(str(mail["To"]) for mail in read) == [
        "Ada <editor@example.org>", "Ada <phone@example.org>", "Ailsa Muir <phone@example.org>",
    ]  # fmt: skip
    assert {str(mail["Subject"]) for mail in read} == {"[TEST] Hello"}
    for mail in read:
        part = mail.get_body(("plain",))  # type: ignore[attr-defined]
        assert "https://nobody.invalid/x" in part.get_content()
        assert "/preview/u/" in str(mail["List-Unsubscribe"])
    assert house.json("send", "status", "ask")["state"] == "draft"
    assert not [it for _, it in house.records(EVENTS) if "ask" in str(it.data)]


def test_without_seeds_there_are_no_tests(house: Stage, tmp_path: Path) -> None:
    folder = write_programme(tmp_path / "none", PARTS | {"campaign.yaml": FILES["campaign.yaml"]})
    house.said("apply", str(folder), "--yes")
    assert "the campaign names no seeds" in house.refused("send", "test", "ask")
    apply(house, tmp_path / "sound")
