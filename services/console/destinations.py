"""Whether the links of a send lead anywhere: each distinct address is asked for once.

A dead link never stops a send: links are looked up when they are clicked, so that one can be mended
when the mail is out already.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from services.console.lint_findings import Finding, place
from services.console.programme_topic import ProgrammeTable
from services.console.screen import number, some
from shared.programme.definitions import Areas, Send, Template
from shared.programme.html_links import find_links
from shared.programme.links import (
    TEXT_ENDING,
    BadDestination,
    BadLinks,
    destination,
    number_template,
)

MOST: Final = 100
"""Addresses that are asked for; of areas only some, if there are more."""
AT_ONCE: Final = 8
TIMEOUT_SECONDS: Final = 8.0
REDIRECTS: Final = 5

_GONE: Final = frozenset({404, 410})
_NOT_FOR_PROGRAMS: Final = frozenset({401, 403, 405, 406, 429, 501, 999})
"""What sites answer that let no program in: nothing is known then."""

State = Literal["there", "dead", "unreachable", "unknown"]
DEAD: Final = frozenset({"dead", "unreachable"})

_MEND: Final = "mend the address or the page: a link is looked up when it is clicked"


@dataclass(frozen=True, slots=True)
class Destination:
    """An address, where it is written, and for whose area it was made ("" for everybody's)."""

    address: str
    where: str
    area: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one. `said`: in words, why it is not there."""

    destination: Destination
    state: State
    said: str = ""


def destinations_of(table: ProgrammeTable, send: Send) -> list[Destination]:
    """Every distinct address that the links of a send lead to, those of no area first.

    A link that leads nowhere for an area is left to the trial render.
    """
    campaign = table.campaign
    areas = table.areas(send.areas) if send.areas else None
    common = {
        "campaign": campaign.model_dump() if campaign is not None else {},
        "send": {"name": send.name, "deadline": send.deadline},
    }
    found: dict[str, Destination] = {}
    for name in dict.fromkeys(variant.template for variant in send.variants):
        template = table.template(name)
        for each in _of_template(template, areas, common) if template is not None else ():
            found.setdefault(each.address, each)
    return sorted(found.values(), key=lambda each: each.area)


def chosen(found: list[Destination], most: int = MOST) -> list[Destination]:
    """At most so many: all that are for everybody, and areas at even distances."""
    general = [each for each in found if not each.area][:most]
    local = [each for each in found if each.area]
    room = most - len(general)
    if len(local) <= room:
        return general + local
    step = len(local) / room if room else 0
    return general + [local[int(n * step)] for n in range(room)]


def ask_all(wanted: Iterable[Destination], timeout_seconds: float = TIMEOUT_SECONDS) -> list[Asked]:
    """Ask for each, several at once, in the same order."""
    with (
        httpx.Client(
            timeout=timeout_seconds, follow_redirects=True, max_redirects=REDIRECTS,
            headers={"User-Agent": "Mozilla/5.0 (compatible; doorstep-lint)"},
        ) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):  # fmt: skip
        return list(pool.map(lambda each: _ask(client, each), wanted))


def of_links(asked: Sequence[Asked], file: str) -> Iterator[Finding]:
    """A finding for each link that is dead, whatever number of areas it is dead for. `file` is that
    of the send: where nothing at all can be reached, that is all there is to say.
    """
    if asked and all(each.state == "unreachable" for each in asked):
        yield Finding(
            "warns", file, f"none of {some(len(asked), 'address', 'addresses')} can be reached",
            f"see whether this machine is online; the first is {asked[0].destination.address}, "
            f"which {asked[0].said}",
        )  # fmt: skip
        return
    groups: dict[tuple[str, str], list[Destination]] = {}
    for each in asked:
        if each.state in DEAD:
            groups.setdefault((each.destination.where, each.said), []).append(each.destination)
    for (where, said), dead in groups.items():
        area = f" (area {dead[0].area})" if dead[0].area else ""
        more = f", and {number(len(dead) - 1)} more like it" if len(dead) > 1 else ""
        yield Finding("warns", where, f"{dead[0].address}{area} {said}{more}", _MEND)


def _of_template(
    template: Template, areas: Areas | None, common: Mapping[str, Any]
) -> Iterator[Destination]:
    try:
        hrefs = number_template(template).hrefs
    except BadLinks:
        return
    editions = {"": {}} if areas is None else _editions(areas)
    for href in dict.fromkeys(hrefs):
        where = _place_of(template, href)
        general = "area" not in href
        for area, data in {"": {}}.items() if general else editions.items():
            try:
                yield Destination(destination(href, {**common, "area": data}), where, area)
            except BadDestination:
                continue


def _editions(areas: Areas) -> dict[str, Mapping[str, Any]]:
    default = {} if areas.default is None else {"everybody else": areas.default}
    return {**areas.by_code, **default}


def _place_of(template: Template, href: str) -> str:
    """Where an address is first written."""
    parts = {"html": template.html, **template.partials}
    for part, source in parts.items():
        if part.endswith(TEXT_ENDING):
            continue
        for link in find_links(source):
            if link.href == href:
                return place(template.name, part, source.count("\n", 0, link.start) + 1)
    return place(template.name, "text", None)


def _ask(client: httpx.Client, wanted: Destination) -> Asked:
    try:
        status = client.head(wanted.address).status_code
        if status >= 400:  # some sites know no HEAD
            with client.stream("GET", wanted.address) as response:
                status = response.status_code
    except httpx.TimeoutException:
        return Asked(wanted, "unreachable", "does not answer in time")
    except httpx.TooManyRedirects:
        return Asked(wanted, "dead", "leads round in a circle")
    except httpx.HTTPError as error:
        return Asked(wanted, "unreachable", _unreachable(wanted.address, error))
    return Asked(wanted, *_meaning(status))


def _meaning(status: int) -> tuple[State, str]:
    if status < 400:
        return "there", ""
    if status in _GONE:
        return "dead", f"is not there ({status})"
    if status in _NOT_FOR_PROGRAMS:
        return "unknown", f"answers {status}"
    return "dead", f"answers with an error ({status})"


def _unreachable(address: str, error: httpx.HTTPError) -> str:
    host = urlsplit(address).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return f"leads nowhere: there is no host {host}"
    if "CERTIFICATE" in str(error).upper():
        return "has no certificate that browsers trust"
    return f"cannot be reached ({type(error).__name__})"
