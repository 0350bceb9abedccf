"""A crowd: reads the mails that the SES sandbox delivered and behaves, over real HTTP.

People open and click, some volunteer, a few unsubscribe; a mail proxy fetches pixels in advance
and a security scanner follows every link, half of the time under the name of a browser. What it did
is written as JSON, now and at the end.

    python -m examples.rehearsal.crowd --mail DIR --tracker URL --action-key KEY --report FILE
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import quopri
import re
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from examples.rehearsal.behaviour import plan
from shared.programme.links import HIDDEN_LINK

PEOPLE_AT_ONCE = 8
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1"
)
PREFETCH = "Mozilla/5.0"
SCANNER = "Barracuda Sentinel (EE)"
DISGUISE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/132.0.0.0 Safari/537.36"
)
PIXEL = re.compile(r'src="([^"]+/o/[^"]+\.gif)"')
LINK = re.compile(r'href="([^"]+/c/[^"]+)"')
HEADER = re.compile(r"^(X-SES-Tag-[msv]|List-Unsubscribe): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mail:
    """What a reader needs of a delivered mail. `hidden`: the link that no person sees."""

    message_id: str
    send: str
    variant: str
    pixel: str | None
    links: tuple[str, ...]
    hidden: str | None
    unsubscribe: str


def read_mail(path: Path) -> Mail:
    """Parse a mail file of the sandbox."""
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    headers = dict(HEADER.findall(head.decode("ascii").replace("\r\n", "\n")))
    page = quopri.decodestring(body[body.rindex(b"Content-Type: text/html") :]).decode()
    pixel = PIXEL.search(page)
    links = list(dict.fromkeys(LINK.findall(page)))
    hidden = [link for link in links if link.endswith(f"/{HIDDEN_LINK}")]
    return Mail(
        message_id=headers["X-SES-Tag-m"],
        send=headers["X-SES-Tag-s"],
        variant=headers["X-SES-Tag-v"],
        pixel=pixel and pixel.group(1),
        links=tuple(link for link in links if link not in hidden),
        hidden=hidden[0] if hidden else None,
        unsubscribe=headers["List-Unsubscribe"].strip("<>"),
    )


class Crowd:
    """Watches a mail folder and lets each mail be dealt with once."""

    def __init__(self, folder: Path, tracker: str, action_key: str) -> None:
        self._folder, self._key = folder, action_key
        self._host = urlsplit(tracker).netloc
        self._seen: set[str] = set()
        self._own = threading.local()
        self._lock = threading.Lock()
        self._did: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(PEOPLE_AT_ONCE)

    def read_new(self) -> int:
        """Deal with all mails that came since; how many."""
        if not self._folder.is_dir():
            return 0
        fresh = [e.name for e in os.scandir(self._folder) if e.name not in self._seen]
        self._seen.update(fresh)
        for _ in self._pool.map(self._deal_with, fresh):
            pass
        return len(fresh)

    def did(self) -> dict[str, int]:
        """What it did so far."""
        with self._lock:
            return dict(self._did)

    def _deal_with(self, name: str) -> None:
        mail = read_mail(self._folder / name)
        told = f"{mail.send}/{mail.variant}"
        self._note(f"{told}/mails")
        try:
            self._behave(mail, told)
        except (OSError, http.client.HTTPException):
            self._own.__dict__.pop("connection", None)
            self._note("failed requests")

    def _behave(self, mail: Mail, told: str) -> None:
        wanted = plan(mail.message_id, mail.send, mail.variant)
        if wanted.prefetched and mail.pixel:
            self._ask("GET", mail.pixel, PREFETCH)
            self._note("prefetched")
        if wanted.scanned:
            self._scan(mail, disguised=wanted.disguised)
        if wanted.opens and mail.pixel:
            self._ask("GET", mail.pixel, PHONE)
            self._note(f"{told}/opened")
        if wanted.clicks and mail.links:
            landing = self._ask("GET", mail.links[0], PHONE)
            self._note(f"{told}/clicked")
            if wanted.acts:
                self._act(landing)
                self._note(f"{told}/acted")
        if wanted.unsubscribes:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            self._ask("POST", mail.unsubscribe, PHONE, form, b"List-Unsubscribe=One-Click")
            self._note("unsubscribed")

    def _scan(self, mail: Mail, *, disguised: bool) -> None:
        for link in filter(None, (*mail.links, mail.hidden)):
            if not disguised:
                self._ask("HEAD", link, SCANNER)
            self._ask("GET", link, DISGUISE if disguised else SCANNER)
        self._note("scanned in disguise" if disguised else "scanned")

    def _act(self, landing: str) -> None:
        """What the campaign's own site does when the form is filled in."""
        token = parse_qs(urlsplit(landing).query)["d"][0]
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Idempotency-Key": f"form-{token}",
            "Content-Type": "application/json",
        }
        body = json.dumps({"action": "volunteered", "token": token}).encode()
        self._ask("POST", "/actions", PHONE, headers, body)

    def _ask(
        self,
        method: str,
        url: str,
        agent: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> str:
        """One request over this thread's connection; where the answer points, if anywhere."""
        connection = self._own.__dict__.get("connection")
        if connection is None:
            connection = self._own.connection = http.client.HTTPConnection(self._host, timeout=30)
        path = urlsplit(url).path
        connection.request(method, path, body, {"User-Agent": agent, **(headers or {})})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 400:
            raise http.client.HTTPException(f"{method} {path}: {answer.status}")
        return str(answer.getheader("Location", ""))

    def _note(self, what: str) -> None:
        with self._lock:
            self._did[what] += 1


def main() -> None:
    arguments = argparse.ArgumentParser(description="Let a crowd read the sandbox's mails.")
    arguments.add_argument("--mail", type=Path, required=True)
    arguments.add_argument("--tracker", required=True)
    arguments.add_argument("--action-key", required=True)
    arguments.add_argument("--report", type=Path, required=True)
    given = arguments.parse_args()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    crowd = Crowd(given.mail, given.tracker, given.action_key)
    while True:
        busy = crowd.read_new()
        given.report.write_text(json.dumps(crowd.did()))
        if stopping.is_set() and not busy:
            return
        stopping.wait(0.3)


if __name__ == "__main__":
    main()
