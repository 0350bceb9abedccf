"""The rendered mails of batches: a few batches of them in memory, and batches without somebody."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from typing import Any

import zstandard

from services.sender.ledger import Ledger
from shared.wire.batches import MessageBatch, RenderedMessage
from shared.wire.cloudevents import MAX_DECOMPRESSED

BATCHES_IN_MEMORY = 6


class Contents:
    """Used by the dispatcher's thread only."""

    def __init__(self) -> None:
        self._batches: OrderedDict[str, list[str]] = OrderedDict()

    def mail(self, ledger: Ledger, batch_id: str, entry: int) -> bytes:
        """One mail. Raises KeyError when the ledger has lost the batch though it is needed."""
        mails = self._batches.get(batch_id)
        if mails is None:
            mails = self._batches[batch_id] = _mails(ledger, batch_id)
            if len(self._batches) > BATCHES_IN_MEMORY:
                self._batches.popitem(last=False)
        self._batches.move_to_end(batch_id)
        return mails[entry].encode("ascii")


def _mails(ledger: Ledger, batch_id: str) -> list[str]:
    content = ledger.content(batch_id)
    if content is None:
        raise KeyError(f"the content of batch {batch_id} is gone though it has ready rows")
    return [entry.get("mail") or "" for entry in _read(content)["entries"]]


def content_without(content: bytes, erased: AbstractSet[str]) -> bytes | None:
    """The stored value of a batch without address and mail of those whose supporter id or address
    key is in `erased`; everybody keeps their place. None when nothing of theirs is in it.
    """
    batch = _read(content)
    theirs = [
        entry for entry in batch["entries"]
        if (entry["supporter_id"] in erased or entry["address_key"] in erased)
        and (entry["to"] or entry.get("mail"))
    ]  # fmt: skip
    if not theirs:
        return None
    for entry in theirs:
        entry.update(to="", mail=None)
    return zstandard.compress(json.dumps(batch, separators=(",", ":")).encode(), 1)


def batch_without(
    batch: MessageBatch, content: bytes, erased: AbstractSet[str]
) -> tuple[MessageBatch, bytes]:
    """A batch that comes in and its value, as if nothing were known of these people but ids."""

    def belongs(entry: RenderedMessage) -> bool:
        return entry.supporter_id in erased or entry.address_key in erased

    if not any(map(belongs, batch.entries)):
        return batch, content
    entries = tuple(
        entry.model_copy(update={"to": "", "mail": None}) if belongs(entry) else entry
        for entry in batch.entries
    )
    return (
        batch.model_copy(update={"entries": entries}),
        content_without(content, erased) or content,
    )


def _read(content: bytes) -> dict[str, Any]:
    body = zstandard.ZstdDecompressor().decompress(content, max_output_size=MAX_DECOMPRESSED)
    batch: dict[str, Any] = json.loads(body)
    return batch
