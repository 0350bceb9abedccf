"""`doorstep erase`: what is known of a person is forgotten, and where their address still stands.

A suppression comes first: it stops mail that is on its way, and outlives everything else. Then the
segmenter is told to forget. What topics hold goes with their retention; `--verify` says where the
address still is, and until when at most.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import apsw
import typer
import zstandard

from services.console.approving import JSON
from services.console.identities import Person, ask_known
from services.console.screen import Column
from services.console.surroundings import Surroundings, here
from services.console.why import find_supporter
from shared.errors import Misconfigured, NeverRetry, RetryLater
from shared.ids import BadAddress, address_key, event_id, normalise_address
from shared.log.partitioner import partition_of
from shared.log.port import Log
from shared.log.record import Record, Stored
from shared.log.topics import DAY_MS, SUPPORTERS, SUPPRESSIONS, TOPICS
from shared.wire.cloudevents import encode
from shared.wire.supporters import SupporterErased
from shared.wire.suppressions import Suppression

FILES: Final = ("segmenter/people.db", "sender/ledger.db", "tracker/spool.db")
MOST: Final = 64 * 1024 * 1024


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
        "No mail goes to this person any more, and the segmenter forgets who they are."
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
        needles = {who.strip().lower().encode(), normalise_address(who).encode()}
    except BadAddress as error:
        raise Misconfigured(f"this is no e-mail address: {error}") from error
    with around.log() as log:
        found = [*_on_topics(log, needles), *_in_files(around.settings.home, needles)]
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
    if around.settings.postgres_dsn():
        around.screen.warn("PostgreSQL was not looked through")
    if found:
        raise typer.Exit(RetryLater.exit_code)


def _on_topics(log: Log, needles: set[bytes]) -> Iterator[tuple[str, int, str]]:
    for spec in TOPICS:
        count, newest_ms = 0, 0
        follower = log.follow(spec.name)
        ends = follower.end_offsets()
        try:
            while any(follower.next_offsets().get(n, 0) < end for n, end in ends.items()):
                for stored in follower.read(timeout_seconds=0.05):
                    if _holds(stored, needles):
                        count, newest_ms = count + 1, max(newest_ms, stored.timestamp_ms)
        finally:
            follower.close()
        if count:
            yield f"topic {spec.name}", count, _until(spec.retention_ms, newest_ms)


def _until(retention_ms: int | None, newest_ms: int) -> str:
    if retention_ms is None:
        return "for ever"
    gone = datetime.fromtimestamp((newest_ms + retention_ms + DAY_MS) / 1000).astimezone()
    return gone.date().isoformat()


def _holds(stored: Stored, needles: set[bytes]) -> bool:
    texts = [stored.value or b"", stored.key or b""]
    if stored.header("content-encoding") == b"zstd" and stored.value:
        with suppress(zstandard.ZstdError):
            texts.append(
                zstandard.ZstdDecompressor().decompress(stored.value, max_output_size=MOST)
            )
    if stored.topic == "dead-letters":
        texts += _inside(stored)
    return any(needle in text.lower() for text in texts for needle in needles)


def _inside(stored: Stored) -> list[bytes]:
    """The value of the record that a letter holds."""
    try:
        said = json.loads(stored.value or b"{}")
        value = base64.b64decode(said.get("value") or "")
    except (ValueError, NeverRetry):
        return []
    try:
        return [value, zstandard.ZstdDecompressor().decompress(value, max_output_size=MOST)]
    except zstandard.ZstdError:
        return [value]


def _in_files(home: Path, needles: set[bytes]) -> Iterator[tuple[str, int, str]]:
    """Rows of the stores, column by column; batches of mails are unpacked."""
    for name in FILES:
        if not (home / name).is_file():
            continue
        with closing(
            apsw.Connection(str(home / name), flags=apsw.SQLITE_OPEN_READONLY)
        ) as database:
            database.set_busy_timeout(10_000)
            tables = [table for (table,) in database.execute(
                "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
            )]  # fmt: skip
            for table in tables:
                count = sum(
                    any(_cell_holds(cell, needles) for cell in row)
                    for row in database.execute(f"select * from {table}")
                )
                if count:
                    until = (
                        "kept: not removed by this release" if name.startswith("sender")
                        else "it is forwarded" if name.startswith("tracker")
                        else "the segmenter has read the erasure"
                    )  # fmt: skip
                    yield f"{name}, {table}", count, until


def _cell_holds(cell: object, needles: set[bytes]) -> bool:
    if isinstance(cell, str):
        return any(needle in cell.lower().encode() for needle in needles)
    if not isinstance(cell, bytes):
        return False
    texts = [cell]
    if cell.startswith(b"\x28\xb5\x2f\xfd"):
        with suppress(zstandard.ZstdError):
            texts.append(zstandard.ZstdDecompressor().decompress(cell, max_output_size=MOST))
    return any(needle in text.lower() for text in texts for needle in needles)
