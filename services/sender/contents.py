"""The rendered mails of batches, a few batches of them in memory."""

from __future__ import annotations

import json
from collections import OrderedDict

import zstandard

from services.sender.ledger import Ledger
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
    body = zstandard.ZstdDecompressor().decompress(content, max_output_size=MAX_DECOMPRESSED)
    return [entry.get("mail") or "" for entry in json.loads(body)["entries"]]
