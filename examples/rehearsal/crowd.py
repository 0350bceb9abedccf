"""A crowd: reads the mails that the SES sandbox delivered and behaves, over real HTTP.

People open and click, some volunteer, a few unsubscribe; a mail proxy fetches pixels in advance
and a security scanner follows every link. What it did is written as JSON when it ends.

    python -m examples.rehearsal.crowd --mail DIR --action-key KEY --report FILE
"""

from __future__ import annotations

import argparse
import asyncio
import email
import json
import os
import quopri
import re
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from examples.rehearsal.behaviour import plan

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1"
)
PREFETCH = "Mozilla/5.0"
SCANNER = "Barracuda Sentinel (EE)"
PIXEL = re.compile(r'src="([^"]+/o/[^"]+\.gif)"')
LINK = re.compile(r'href="([^"]+/c/[^"]+)"')


@dataclass(frozen=True, slots=True)
class Mail:
    """What a reader needs of a delivered mail."""

    message_id: str
    send: str
    variant: str
    pixel: str | None
    links: tuple[str, ...]
    unsubscribe: str | None


def read_mail(path: Path) -> Mail:
    """Parse a mail file of the sandbox."""
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    message = email.message_from_bytes(head)
    page = quopri.decodestring(body[body.rindex(b"Content-Type: text/html") :]).decode()
    pixel = PIXEL.search(page)
    unsubscribe = re.search(r"<(https?://[^>]+)>", message.get("List-Unsubscribe", ""))
    return Mail(
        message_id=message["X-SES-Tag-m"],
        send=message["X-SES-Tag-s"],
        variant=message["X-SES-Tag-v"] or "",
        pixel=pixel and pixel.group(1),
        links=tuple(dict.fromkeys(LINK.findall(page))),
        unsubscribe=unsubscribe and unsubscribe.group(1),
    )


class Crowd:
    """Watches a mail folder and lets each mail be dealt with once."""

    def __init__(self, folder: Path, action_key: str, client: httpx.AsyncClient) -> None:
        self._folder, self._key, self._client = folder, action_key, client
        self._seen: set[str] = set()
        self._at_once = asyncio.Semaphore(8)
        self.did: Counter[str] = Counter()

    async def read_new(self) -> int:
        """Deal with all mails that came since; how many."""
        fresh = [e.name for e in os.scandir(self._folder) if e.name not in self._seen]
        self._seen.update(fresh)
        await asyncio.gather(*(self._deal_with(self._folder / name) for name in fresh))
        return len(fresh)

    async def _deal_with(self, path: Path) -> None:
        async with self._at_once:
            mail = read_mail(path)
            told = f"{mail.send}/{mail.variant}"
            self.did[f"{told}/mails"] += 1
            try:
                await self._behave(mail, told)
            except httpx.HTTPError:
                self.did["failed requests"] += 1

    async def _behave(self, mail: Mail, told: str) -> None:
        wanted = plan(mail.message_id, mail.send, mail.variant)
        if wanted.prefetched and mail.pixel:
            await self._get(mail.pixel, PREFETCH)
            self.did["prefetched"] += 1
        if wanted.scanned:
            for link in mail.links:
                await self._client.head(link, headers={"user-agent": SCANNER})
                await self._get(link, SCANNER)
            self.did["scanned"] += 1
        if wanted.opens and mail.pixel:
            await self._get(mail.pixel, PHONE)
            self.did[f"{told}/opened"] += 1
        if wanted.clicks and mail.links:
            answer = await self._get(mail.links[0], PHONE)
            self.did[f"{told}/clicked"] += 1
            if wanted.acts:
                await self._act(answer.headers["location"])
                self.did[f"{told}/acted"] += 1
        if wanted.unsubscribes and mail.unsubscribe:
            await self._client.post(
                mail.unsubscribe,
                data={"List-Unsubscribe": "One-Click"},
            )
            self.did["unsubscribed"] += 1

    async def _act(self, landing: str) -> None:
        """What the campaign's own site does when the form is filled in."""
        token = parse_qs(urlsplit(landing).query)["d"][0]
        answer = await self._client.post(
            "/actions",
            json={"action": "volunteered", "token": token},
            headers={"authorization": f"Bearer {self._key}", "idempotency-key": f"form-{token}"},
        )
        answer.raise_for_status()

    async def _get(self, url: str, agent: str) -> httpx.Response:
        return await self._client.get(url, headers={"user-agent": agent})


async def main() -> None:
    arguments = argparse.ArgumentParser(description="Let a crowd read the sandbox's mails.")
    arguments.add_argument("--mail", type=Path, required=True)
    arguments.add_argument("--tracker", required=True)
    arguments.add_argument("--action-key", required=True)
    arguments.add_argument("--report", type=Path, required=True)
    given = arguments.parse_args()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with httpx.AsyncClient(base_url=given.tracker, timeout=30) as client:
        crowd = Crowd(given.mail, given.action_key, client)
        while True:
            busy = await crowd.read_new() if given.mail.is_dir() else 0
            given.report.write_text(json.dumps(crowd.did))
            if stopping.is_set() and not busy:
                return
            await asyncio.sleep(0.3)


if __name__ == "__main__":
    asyncio.run(main())
