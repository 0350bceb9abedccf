"""A renderer that runs signs with a new key as soon as its time has come."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from pathlib import Path

from shared.token_keys import TokenKey, write_keys
from shared.tokens import BadToken, verify
from shared.wire.batches import MessageBatch
from tests.integration.renderer.press import Press, audience_batches, audience_record
from tests.integration.sender.processes import until

FIRST, SECOND = b"a" * 32, b"b" * 32
WAY_OUT = re.compile(r"/u/([A-Za-z0-9_-]{59})>")


def signed_with(batch: MessageBatch) -> set[int]:
    """Which keys have signed the mails of a batch."""
    found = set()
    for entry in batch.entries:
        assert entry.mail is not None, entry.refusal
        mail = message_from_string(entry.mail, policy=policy.default)
        mark = WAY_OUT.search(str(mail["List-Unsubscribe"]).replace("\n", ""))
        assert mark is not None
        for key_id, key in ((1, FIRST), (2, SECOND)):
            try:
                verify(mark.group(1), {key_id: key})
            except BadToken:
                continue
            found.add(key_id)
    return found


def test_the_next_batch_is_signed_with_the_key_whose_time_has_come(tmp_path: Path) -> None:
    file = tmp_path / "token-keys"
    file.write_text(write_keys([TokenKey(1, FIRST)]))
    batches = list(audience_batches(40))
    with Press(tmp_path) as press:
        renderer = press.start(token_keys_file=file)
        press.log.append([audience_record(batches[0])])
        until(lambda: len(press.printed()) == 1, "a batch")
        assert signed_with(press.printed()[0]) == {1}

        past = datetime.now(UTC) - timedelta(seconds=1)
        file.write_text(write_keys([TokenKey(1, FIRST), TokenKey(2, SECOND, past)]))

        def with_the_new_key() -> bool:
            # The file is read again within a second: there is always one more batch until then.
            press.log.append([audience_record(batches[len(press.printed()) % len(batches)])])
            return signed_with(press.printed()[-1]) == {2}

        until(with_the_new_key, "a batch signed with the new key")
        assert renderer.stop() == 0
