"""kill -9 at any moment: files, events and journal agree again after the restart."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from deploy.ses_sandbox.process import SandboxProcess
from tests.contract.ses_sandbox_client import send, ses_client, wait_until
from tests.contract.sns_receiver import Notification, SnsReceiver


@pytest.fixture
def receiver() -> Iterator[SnsReceiver]:
    with SnsReceiver() as running:
        yield running


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """Without an endpoint, so that events stay in the queue until a test gives it one."""
    with SandboxProcess(tmp_path / "sandbox", "--delivery-delay-ms", "0") as process:
        yield process


def tags_of_files(sandbox: SandboxProcess) -> Counter[str]:
    return Counter(mail["X-SES-Tag-m"] for mail in sandbox.mails())


def assert_all_books_agree(sandbox: SandboxProcess) -> None:
    """One journal line and one Send event for each file, and none without a file."""
    files = [mail["X-SES-Message-ID"] for mail in sandbox.mails()]
    lines = [line["message_id"] for line in sandbox.journal() if line["outcome"] == "accepted"]
    assert sorted(lines) == sorted(files)
    assert sandbox.report()["acceptances_by_m"] == tags_of_files(sandbox)
    with_send = [
        message_id
        for (message_id,) in apsw.Connection(
            str(sandbox.directory / "events.sqlite3"), flags=apsw.SQLITE_OPEN_READONLY
        ).execute("select message_id from event where event_type = 'Send'")
    ]
    assert sorted(with_send) == sorted(files)


def events_by_mail(taken: list[Notification]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in taken:
        found.setdefault(one.event["mail"]["messageId"], set()).add(one.event["eventType"])
    return found


def test_the_queue_goes_on_after_a_kill(sandbox: SandboxProcess, receiver: SnsReceiver) -> None:
    with ses_client(sandbox.url) as client:
        ids = [send(client, configuration_set="campaign", m=str(number)) for number in range(5)]
    certificate = sandbox.certificate_path.read_bytes()
    sandbox.kill()
    sandbox.start()

    assert sandbox.certificate_path.read_bytes() == certificate
    assert sandbox.report()["accepted"] == 5
    assert_all_books_agree(sandbox)
    sandbox.switch(sns_endpoint=receiver.url)
    taken = receiver.wait_for(lambda taken: len(taken) == 10)
    assert events_by_mail(taken) == {message_id: {"Send", "Delivery"} for message_id in ids}


def test_with_fsync_the_same_holds(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "sandbox", "--fsync") as sandbox:
        with ses_client(sandbox.url) as client:
            for tag in ("a", "b"):
                send(client, configuration_set="campaign", m=tag)
        sandbox.kill()
        sandbox.start()
        assert tags_of_files(sandbox) == {"a": 1, "b": 1}
        assert_all_books_agree(sandbox)


def test_a_mail_that_cannot_be_kept_is_not_accepted(sandbox: SandboxProcess) -> None:
    unfinished = sandbox.directory / "mail" / "tmp"
    unfinished.rmdir()
    with ses_client(sandbox.url) as client:
        with pytest.raises(ClientError, match="InternalFailure"):
            send(client, configuration_set="campaign", m="a")
        unfinished.mkdir()
        send(client, configuration_set="campaign", m="b")

    assert tags_of_files(sandbox) == {"b": 1}
    assert sandbox.report()["refused"] == {"InternalFailure": 1}
    assert_all_books_agree(sandbox)


def test_what_was_posted_is_not_posted_again_after_a_kill(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    sandbox.switch(sns_endpoint=receiver.url)
    with ses_client(sandbox.url) as client:
        first = send(client, configuration_set="campaign", m="first")
        wait_until(
            lambda: sandbox.report()["events"]["Delivery"]["posted"] == 1, "the event is settled"
        )
    sandbox.kill()
    sandbox.start()
    sandbox.switch(sns_endpoint=receiver.url)
    with ses_client(sandbox.url) as client:
        second = send(client, configuration_set="campaign", m="second")
    taken = receiver.wait_for(lambda taken: second in events_by_mail(taken))

    assert Counter(one.event["mail"]["messageId"] for one in taken)[first] == 2


def test_the_daily_quota_remembers_what_was_sent_before_the_kill(sandbox: SandboxProcess) -> None:
    with ses_client(sandbox.url) as client:
        for _ in range(3):
            send(client)
    sandbox.kill()
    sandbox.start()
    with ses_client(sandbox.url) as client:
        assert client.get_account()["SendQuota"]["SentLast24Hours"] == 3.0


def test_a_mail_whose_record_was_not_written_gets_its_events_and_line_at_the_start(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    """The kill between the file and the transaction, made by hand."""
    with ses_client(sandbox.url) as client:
        kept, lost = (send(client, configuration_set="campaign", m=tag) for tag in ("a", "b"))
    sandbox.kill()
    books = apsw.Connection(str(sandbox.directory / "events.sqlite3"))
    books.execute("delete from event where message_id = ?1", (lost,))
    books.execute("delete from acceptance where message_id = ?1", (lost,))
    books.close()
    journal = sandbox.directory / "requests.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    sandbox.start()

    assert_all_books_agree(sandbox)
    sandbox.switch(sns_endpoint=receiver.url)
    taken = receiver.wait_for(lambda taken: len(taken) == 4)
    assert events_by_mail(taken) == {
        message_id: {"Send", "Delivery"} for message_id in (kept, lost)
    }
    kept_mail, lost_mail = (
        next(
            one.event["mail"]
            for one in taken
            if (one.event["mail"]["messageId"], one.event["eventType"]) == (message_id, "Send")
        )
        for message_id in (kept, lost)
    )
    assert lost_mail["tags"] == {**kept_mail["tags"], "m": ["b"]}
    for same in ("source", "destination", "headers", "sourceArn"):
        assert lost_mail[same] == kept_mail[same]


def test_a_torn_journal_line_and_a_half_written_mail_are_cleared_away(
    sandbox: SandboxProcess,
) -> None:
    with ses_client(sandbox.url) as client:
        for tag in ("a", "b"):
            send(client, configuration_set="campaign", m=tag)
    sandbox.kill()
    journal = sandbox.directory / "requests.jsonl"
    journal.write_text(journal.read_text()[:-40])
    half = sandbox.directory / "mail" / "tmp" / "1.0102-half.eml"
    half.write_bytes(b"Message-ID: <0102-half")
    sandbox.start()

    assert not half.exists()
    assert_all_books_agree(sandbox)
    with ses_client(sandbox.url) as client:
        send(client, configuration_set="campaign", m="c")
    assert_all_books_agree(sandbox)


def test_a_damaged_journal_is_named_and_not_passed_over(
    sandbox: SandboxProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    with ses_client(sandbox.url) as client:
        send(client, m="a")
    sandbox.kill()
    journal = sandbox.directory / "requests.jsonl"
    journal.write_text("nonsense\n" + journal.read_text())
    with pytest.raises(RuntimeError, match="status 1"):
        sandbox.start()
    assert "requests.jsonl, line 1" in capfd.readouterr().err


def test_the_signing_process_does_not_outlive_a_killed_sandbox(sandbox: SandboxProcess) -> None:
    def signers() -> list[Path]:
        key = str(sandbox.directory / "signing-key.pem").encode()
        return [p for p in Path("/proc").glob("[0-9]*/cmdline") if key in _content(p)]

    assert len(signers()) == 1
    sandbox.kill()
    wait_until(lambda: not signers(), "the signing process has ended")


def test_events_go_on_when_the_signing_process_dies(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    sandbox.switch(sns_endpoint=receiver.url)
    key = str(sandbox.directory / "signing-key.pem").encode()
    (signer,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if key in _content(path)
    ]
    with ses_client(sandbox.url) as client:
        send(client, configuration_set="campaign")
        receiver.wait_for(lambda taken: len(taken) == 2)
        _kill(signer)
        send(client, configuration_set="campaign")
    receiver.wait_for(lambda taken: len(taken) == 4)


def test_kills_in_the_middle_of_traffic_lose_and_double_nothing(
    sandbox: SandboxProcess, receiver: SnsReceiver
) -> None:
    confirmed: list[str] = []
    attempted: list[str] = []
    for round_number in range(3):
        sandbox.switch(sns_endpoint=receiver.url)
        ended = threading.Event()
        threads = [
            threading.Thread(
                target=_send_until_it_breaks,
                args=(sandbox.url, f"{round_number}-{number}", attempted, confirmed, ended),
            )
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        goal = len(confirmed) + 40
        wait_until(lambda goal=goal: len(confirmed) >= goal, "traffic flows")  # type: ignore[misc]
        sandbox.kill()
        ended.set()
        for thread in threads:
            thread.join()
        sandbox.start()
        assert_all_books_agree(sandbox)

    kept = tags_of_files(sandbox)
    assert set(kept.values()) == {1}
    assert set(confirmed) <= set(kept) <= set(attempted)
    sandbox.switch(sns_endpoint=receiver.url)
    ids = {mail["X-SES-Message-ID"] for mail in sandbox.mails()}
    taken = receiver.wait_for(
        lambda taken: (
            events_by_mail(taken) == {message_id: {"Send", "Delivery"} for message_id in ids}
        )
    )
    assert set(events_by_mail(taken)) == ids


def _send_until_it_breaks(
    url: str, name: str, attempted: list[str], confirmed: list[str], ended: threading.Event
) -> None:
    with ses_client(url) as client:
        number = 0
        while not ended.is_set():
            number += 1
            tag = f"{name}-{number}"
            attempted.append(tag)
            try:
                send(client, configuration_set="campaign", m=tag)
            except (BotoCoreError, ClientError):
                return
            confirmed.append(tag)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _kill(process_id: int) -> None:
    os.kill(process_id, signal.SIGKILL)
