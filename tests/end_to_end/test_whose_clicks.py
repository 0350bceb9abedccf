"""Through all services: a scanner and a prefetch move no segment, a person's click does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from examples.rehearsal.crowd import DISGUISE, PHONE, PREFETCH, SCANNER, Mail, read_mail
from shared.ids import message_id
from shared.log.topics import EVENTS, MEMBERSHIPS
from shared.programme.definitions import Segment
from shared.programme.rules import Clicked, Opened
from tests.end_to_end.reading import whole_topic
from tests.end_to_end.whole_run import CAMPAIGN, EVERYBODY, TEMPLATE, Pipeline, statement
from tests.integration.sender.audience import people
from tests.integration.sender.processes import until

CLICKED = Segment(name="clicked", rule=Clicked(send="ask"))
OPENED = Segment(name="opened", rule=Opened(send="ask"))
SEND = "ask"
WAIT = {"segmenter__hit_seconds": 0.3, "segmenter__doubtful_hit_seconds": 3}


@pytest.mark.timeout(180)
def test_a_scanner_and_a_prefetch_move_no_segment_and_a_person_does(tmp_path: Path) -> None:
    found = people(5, "whose")
    names = ("prefetched", "scanned", "disguised", "reader", "reader_behind_a_gateway")
    who = {name: person.supporter_id for name, person in zip(names, found, strict=True)}
    here = Pipeline(tmp_path)
    here.settings |= WAIT
    with here, httpx.Client() as web:
        consent = {"attributes": {"pixel_consent": True}}
        here.tell(*(statement(person, "everybody", **consent) for person in found))
        here.apply(CAMPAIGN, TEMPLATE, EVERYBODY, CLICKED, OPENED)
        here.launch(SEND, EVERYBODY)
        until(lambda: len(list(mails(here))) == len(found), "five mails")
        until(lambda: kinds(here, "delivered") == len(found), "their deliveries to be told")
        mail = {name: mail_of(here, supporter) for name, supporter in who.items()}

        ask(web, here, "GET", [mail["prefetched"].pixel], PREFETCH)
        for method in ("HEAD", "GET"):
            ask(web, here, method, links(mail["scanned"]), SCANNER)
        for name in ("disguised", "reader_behind_a_gateway"):
            ask(web, here, "GET", [mail[name].pixel, *links(mail[name])], DISGUISE)
        for name in ("reader", "reader_behind_a_gateway"):
            ask(web, here, "GET", [mail[name].pixel, mail[name].links[0]], PHONE)

        readers = {who["reader"], who["reader_behind_a_gateway"]}
        until(lambda: moved(here, "clicked") >= readers, "the readers to enter")
        until(lambda: moved(here, "opened") >= readers, "the openers to enter")
        # Pixel and link of the two that were followed in disguise; the rest says it by itself.
        until(lambda: kinds(here, "judged") == 4, "the judgements")
        assert moved(here, "clicked") == readers
        assert moved(here, "opened") == readers


def mails(here: Pipeline) -> Iterable[Path]:
    folder = here.home / "ses" / "mail" / "new"
    return folder.iterdir() if folder.is_dir() else ()


def mail_of(here: Pipeline, supporter: str) -> Mail:
    wanted = message_id(SEND, supporter)
    return next(mail for mail in map(read_mail, mails(here)) if mail.message_id == wanted)


def links(mail: Mail) -> list[str | None]:
    assert mail.hidden is not None
    return [*mail.links, mail.hidden]


def ask(
    web: httpx.Client, here: Pipeline, method: str, urls: Iterable[str | None], agent: str
) -> None:
    for url in urls:
        assert url is not None
        address = f"http://127.0.0.1:{here.settings['tracker__port']}{urlsplit(url).path}"
        assert web.request(method, address, headers={"User-Agent": agent}).status_code < 400


def kinds(here: Pipeline, kind: str) -> int:
    return sum(
        stored.header("ce_type") == f"doorstep.{kind}".encode()
        for stored in whole_topic(here.log, EVENTS)
    )


def moved(here: Pipeline, segment: str) -> set[str]:
    """Who ever entered it."""
    told = [json.loads(stored.value or b"{}") for stored in whole_topic(here.log, MEMBERSHIPS)]
    return {each["supporter_id"] for each in told if each["segment"] == segment}
