"""`doorstep erase`: what is known of a person is forgotten, and where their address still stands.

A suppression comes first: it stops mail that is on its way, outlives everything else, and lets the
sender forget where it was sent. Then the segmenter is told to forget. What topics hold goes with
their retention; `--verify` says where the address still is, and until when at most.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from services.console.identities import Person, ask_known
from services.console.options import JSON
from services.console.screen import Column
from services.console.searching import in_files, in_postgres, on_topics
from services.console.surroundings import Surroundings, here
from services.console.why import find_supporter
from shared.errors import Misconfigured, RetryLater
from shared.ids import BadAddress, address_key, event_id, normalise_address
from shared.log.partitioner import partition_of
from shared.log.record import Record
from shared.log.topics import SUPPORTERS, SUPPRESSIONS
from shared.wire.cloudevents import encode
from shared.wire.supporters import SupporterErased
from shared.wire.suppressions import Suppression


def erase(
    context: typer.Context,
    who: Annotated[str, typer.Argument(metavar="ADDRESS|SUPPORTER_ID", help="Who.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Without asking; it cannot be undone.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only look where the address still stands.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Forget a person for ever, or look where their address still stands."""
    around = here(context)
    if verify:
        _verify(around, who, as_json=as_json)
        return
    key = _key(around, who)
    supporter_id = _supporter(around, who, key)
    if not yes and around.screen.ask("Erase this person? It cannot be undone. Type yes: ") != "yes":
        raise Misconfigured("nothing was erased: say yes, or --yes")
    with around.log() as log:
        subjects = [each for each in (key, supporter_id) if each]
        log.append([_suppression(each, log.partitions, around.now()) for each in subjects])
        if supporter_id:
            log.append([_erased(supporter_id, log.partitions, around.now())])
    if as_json:
        around.screen.json({"supporter_id": supporter_id, "suppressed": len(subjects)})
        return
    around.screen.say(
        ("\u2713 ", "green"),
        "No mail goes to this person any more; segmenter and sender forget who they are."
        if supporter_id else "Nobody is known by this address; it is suppressed all the same.",
    )  # fmt: skip
    around.screen.note(
        "Records of at most 14 days still hold the address until they are removed: "
        "see `doorstep erase ADDRESS --verify`. Take the person out of what you import, too."
    )


def _key(around: Surroundings, who: str) -> str:
    if "@" not in who:
        return ""
    try:
        return address_key(who, around.settings.identity_secret())
    except BadAddress as error:
        raise Misconfigured(f"this is no e-mail address: {error}") from error


def _supporter(around: Surroundings, who: str, key: str) -> str:
    """The id; empty when nobody is known by the address."""
    if not key:
        return find_supporter(around.services, who, b"")
    [known] = ask_known(around.services, [Person(key=key)])  # type: ignore[arg-type]
    return "" if known is None else known.supporter_id


def _suppression(subject: str, partitions: int, now: datetime) -> Record:
    data = Suppression(subject=subject, scope="everything", reason="erased", at=now)
    return encode(
        data, id=event_id("erased", data.key, now.isoformat()), source="console", subject=subject,
        time=now, topic=SUPPRESSIONS, partition=partition_of(data.key, partitions), key=data.key,
    )  # fmt: skip


def _erased(supporter_id: str, partitions: int, now: datetime) -> Record:
    data = SupporterErased(supporter_id=supporter_id, at=now)
    return encode(
        data, id=event_id("erased", supporter_id, now.isoformat()), source="console",
        subject=supporter_id, time=now, topic=SUPPORTERS,
        partition=partition_of(supporter_id, partitions), key=supporter_id,
    )  # fmt: skip


def _verify(around: Surroundings, who: str, *, as_json: bool) -> None:
    if "@" not in who:
        raise Misconfigured("--verify looks for an address: give it, an id is not looked for")
    try:
        needles = frozenset({who.strip().lower().encode(), normalise_address(who).encode()})
    except BadAddress as error:
        raise Misconfigured(f"this is no e-mail address: {error}") from error
    home, dsn = around.settings.home, around.settings.postgres_dsn()
    with around.log() as log:
        found = [*on_topics(log, needles), *in_files(home, needles, left_behind=bool(dsn))]
    if dsn:
        found += in_postgres(dsn, needles)
    if as_json:
        around.screen.json({"found": [dict(zip(("where", "how many", "until"), f, strict=True))
                                      for f in found]})  # fmt: skip
    elif found:
        around.screen.table(
            [Column("where"), Column("how many", number=True), Column("until, at the latest")],
            [list(each) for each in found],
        )
    else:
        around.screen.say("The address stands nowhere.")
    if found:
        raise typer.Exit(RetryLater.exit_code)
