"""Faults before and after acceptance: what the client sees, and whether there is a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from deploy.ses_sandbox.faults import FAULTS, FaultName
from deploy.ses_sandbox.process import SandboxProcess
from tests.contract.ses_sandbox_client import (
    date_signatures,
    refusal,
    send,
    ses_client,
    wait_until,
)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path / "sandbox") as process:
        yield process


SEEN: dict[FaultName, tuple[type[Exception], str | None, int | None]] = {
    "throttle_429": (ClientError, "TooManyRequestsException", 429),
    "error_500_before": (ClientError, "InternalFailure", 500),
    "error_500_after": (ClientError, "InternalFailure", 500),
    "error_503_before": (ClientError, "ServiceUnavailable", 503),
    "error_503_after": (ClientError, "ServiceUnavailable", 503),
    "hang_before": (ReadTimeoutError, None, None),
    "hang_after": (ReadTimeoutError, None, None),
    "reset_before": (ConnectionClosedError, None, None),
    "reset_after": (ConnectionClosedError, None, None),
    "close_before": (ConnectionClosedError, None, None),
    "close_after": (ConnectionClosedError, None, None),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_looks_to_the_client_as_it_should_and_the_mail_is_there_only_after(
    sandbox: SandboxProcess, name: FaultName
) -> None:
    kind, error_name, status = SEEN[name]
    sandbox.switch(faults={name: 1})
    with ses_client(sandbox.url, read_timeout=0.5) as client, pytest.raises(kind) as failed:
        send(client, m="a1")
    if isinstance(failed.value, ClientError):
        assert failed.value.response["Error"]["Code"] == error_name
        assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    wait_until(lambda: len(sandbox.journal()) == 1, "the request is in the journal")

    accepted = FAULTS[name].side == "after"
    (line,) = sandbox.journal()
    assert (line["outcome"], line["fault"]) == ("accepted" if accepted else "refused", name)
    assert (line["answer"], line["tags"]) == (status, {"m": "a1"})
    assert [mail["X-SES-Tag-m"] for mail in sandbox.mails()] == (["a1"] if accepted else [])
    report = sandbox.report()
    assert report["faults"] == {name: 1}
    assert report["acceptances_by_m"] == ({"a1": 1} if accepted else {})


def test_a_client_can_send_on_after_the_faults_are_switched_off(sandbox: SandboxProcess) -> None:
    with ses_client(sandbox.url) as client:
        for name in ("reset_after", "close_before", "error_500_before"):
            sandbox.switch(faults={name: 1})
            with pytest.raises((ClientError, ConnectionClosedError)):
                send(client)
        sandbox.switch(faults={})
        assert send(client)


def test_a_hang_before_acceptance_never_becomes_an_acceptance(sandbox: SandboxProcess) -> None:
    sandbox.switch(faults={"hang_before": 1}, hold_seconds=0.2)
    with ses_client(sandbox.url) as client:
        with pytest.raises(ConnectionClosedError):
            send(client)
        sandbox.switch(validity_seconds=30)
        date_signatures(client, seconds_ago=29)
        sandbox.switch(hold_seconds=3)
        assert refusal(lambda: send(client))[:2] == (403, "InvalidSignatureException")

    assert sandbox.mail_files() == []
    assert sandbox.report()["faults"] == {"hang_before": 2}
    assert sandbox.report()["refused"] == {"hang_before": 1, "InvalidSignatureException": 1}


def test_a_request_that_grows_too_old_while_it_waits_is_not_taken(sandbox: SandboxProcess) -> None:
    sandbox.switch(validity_seconds=30, latency_ms=6000)
    with ses_client(sandbox.url) as client:
        date_signatures(client, seconds_ago=29)
        assert refusal(lambda: send(client))[:2] == (403, "InvalidSignatureException")

    assert sandbox.mail_files() == []


def test_a_mail_whose_client_gives_up_during_the_latency_is_taken_all_the_same(
    sandbox: SandboxProcess,
) -> None:
    sandbox.switch(latency_ms=1000, latency_jitter_ms=100)
    with ses_client(sandbox.url, read_timeout=0.1) as client, pytest.raises(ReadTimeoutError):
        send(client, m="late")
    wait_until(lambda: len(sandbox.mail_files()) == 1, "the mail is taken")
    assert sandbox.report()["acceptances_by_m"] == {"late": 1}


def test_a_fault_after_acceptance_does_not_hide_a_refusal(sandbox: SandboxProcess) -> None:
    sandbox.switch(faults={"error_500_after": 1}, daily_quota=0)
    with ses_client(sandbox.url) as client:
        assert refusal(lambda: send(client))[1] == "LimitExceededException"
    assert sandbox.report()["faults"] == {}


def test_mixed_faults_come_in_a_fixed_order_and_every_acceptance_has_its_mail(
    tmp_path: Path,
) -> None:
    def run(directory: Path, seed: str) -> list[tuple[str, str | None]]:
        with SandboxProcess(
            directory,
            *("--seed", seed, "--fault", "error_500_before=0.25"),
            *("--fault", "error_503_after=0.25", "--fault", "reset_after=0.25"),
        ) as sandbox:
            with ses_client(sandbox.url) as client:
                for number in range(40):
                    try:
                        send(client, m=str(number))
                    except (ClientError, ConnectionClosedError):
                        continue
            accepted = [line for line in sandbox.journal() if line["outcome"] == "accepted"]
            by_file = Counter(mail["X-SES-Tag-m"] for mail in sandbox.mails())
            assert by_file == Counter(line["tags"]["m"] for line in accepted)
            return [(line["outcome"], line["fault"]) for line in sandbox.journal()]

    first = run(tmp_path / "first", "spring")
    assert run(tmp_path / "second", "spring") == first
    assert run(tmp_path / "third", "autumn") != first
    assert {fault for _, fault in first} == {
        None,
        "error_500_before",
        "error_503_after",
        "reset_after",
    }
