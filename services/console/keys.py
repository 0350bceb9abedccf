"""`doorstep keys`: which keys sign and verify the links of mails; a new one; the end of one.

The keys stand in one file of the home. Services read it again by themselves, within a second.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Annotated

import typer

from services.console.home import replace_file
from services.console.options import JSON, YES
from services.console.screen import Column, moment
from services.console.surroundings import Surroundings, here
from shared.errors import Misconfigured
from shared.settings import PREFIX
from shared.token_keys import MOST_KEYS, SETTING, TokenKey, kept_keys, signing_key, write_keys

app = typer.Typer(no_args_is_help=True, help="The keys that sign the links of mails.")

KEY_BYTES = 32
"""As long as the secret; BLAKE2b takes up to 64."""


@app.command()
def show(context: typer.Context, as_json: JSON = False) -> None:
    """Which keys there are; never the keys themselves."""
    around = here(context)
    keys, now = kept_keys(around.settings), around.now()
    if as_json:
        around.screen.json(
            [
                {"id": key.key_id, "signs_from": key.signs_from, "state": state_of(key, keys, now)}
                for key in keys
            ]
        )
        return
    around.screen.table(
        [Column("key", number=True), Column("signs from"), Column("what it does")],
        [
            [
                key.key_id,
                moment(key.signs_from) if key.signs_from else "the beginning",
                state_of(key, keys, now),
            ]
            for key in keys
        ],
    )


@app.command()
def rotate(
    context: typer.Context,
    after: Annotated[
        int,
        typer.Option(
            "--after", metavar="SECONDS", min=0,
            help="So long until the new key signs: every machine must have the file by then.",
        ),
    ] = 60,
    as_json: JSON = False,
) -> None:  # fmt: skip
    """Add a key. Mails are signed with it from then on; links that are out keep working."""
    around = here(context)
    keys = kept_keys(around.settings)
    signs_from = around.now() + timedelta(seconds=after)
    made = new_key(keys, signs_from)
    _write(around, [*keys, made])
    if as_json:
        around.screen.json({"id": made.key_id, "signs_from": signs_from})
        return
    around.screen.say(
        f"Key {made.key_id} is in {around.settings.token_keys_file} and signs from "
        f"{moment(signs_from)} on. Services read the file within a second; on other machines it "
        "must be there by then, on the trackers' first. Links that are out keep working."
    )


@app.command()
def retire(
    context: typer.Context,
    key_id: Annotated[int, typer.Argument(help="The id, from `doorstep keys show`.")],
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """Take a key away for good: all links that it has signed stop working, unsubscribing too."""
    around = here(context)
    left = without(kept_keys(around.settings), key_id, around.now())
    if not yes:
        _confirm(around, key_id)
    _write(around, left)
    if as_json:
        around.screen.json({"retired": key_id, "left": [key.key_id for key in left]})
        return
    around.screen.say(
        f"Key {key_id} is retired: links that it has signed lead nowhere from now on."
    )


def state_of(key: TokenKey, keys: list[TokenKey], now: datetime) -> str:
    """In words. Pure."""
    if key == signing_key(keys, now):
        return "signs and verifies"
    waits = key.signs_from is not None and key.signs_from > now
    return "will sign; verifies" if waits else "verifies"


def new_key(keys: list[TokenKey], signs_from: datetime) -> TokenKey:
    """A key with the next id. Raises Misconfigured when there is none left."""
    key_id = max(key.key_id for key in keys) + 1
    if key_id > MOST_KEYS:
        raise Misconfigured(f"there is no id after {MOST_KEYS}: the ids of tokens are one byte")
    return TokenKey(key_id, secrets.token_bytes(KEY_BYTES), signs_from)


def without(keys: list[TokenKey], key_id: int, now: datetime) -> list[TokenKey]:
    """The others, of which one signs from ever. Raises Misconfigured when it cannot go. Pure."""
    if all(key.key_id != key_id for key in keys):
        raise Misconfigured(f"there is no key {key_id}; see `doorstep keys show`")
    if signing_key(keys, now).key_id == key_id:
        raise Misconfigured(
            f"key {key_id} signs now: `doorstep keys rotate --after 0` first, and retire it then"
        )
    left = [key for key in keys if key.key_id != key_id]
    if all(key.signs_from is not None for key in left):
        first = signing_key(left, now)
        left[left.index(first)] = TokenKey(first.key_id, first.key)
    return left


def _confirm(around: Surroundings, key_id: int) -> None:
    around.screen.warn(
        f"all links in mails that key {key_id} has signed will lead nowhere: what they open, the "
        "way out (also the mailbox providers' button), actions that come by them. The law wants "
        "the way out to work long after a mail: retire a key only when it was stolen."
    )
    if not around.screen.interactive:
        raise Misconfigured("nobody is there to be asked: give --yes if you mean it")
    if around.screen.ask(f"Type {key_id} to retire it: ") != str(key_id):
        raise typer.Abort


def _write(around: Surroundings, keys: list[TokenKey]) -> None:
    path = around.settings.token_keys_file
    if path is None:
        raise Misconfigured(
            f"the keys are given by {PREFIX}TOKEN_KEYS, where nothing can be changed: put them "
            f"into a file, a line `<id> <base64>` each, and name it by {SETTING} instead"
        )
    replace_file(path, write_keys(keys))
