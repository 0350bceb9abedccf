"""What the sandbox refuses, in SES's own error form, and that nothing is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError

from deploy.ses_sandbox.process import SandboxProcess
from tests.contract.ses_sandbox_client import (
    RECIPIENT,
    SENDER,
    date_signatures,
    raw_message,
    refusal,
    send,
    ses_client,
    wait_until,
)

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client


@pytest.fixture(scope="module")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("refusals") / "sandbox") as process:
        yield process


@pytest.fixture
def sandbox(shared_sandbox: SandboxProcess) -> Iterator[SandboxProcess]:
    """The shared sandbox, with the switches put back afterwards."""
    before = shared_sandbox.switch()
    yield shared_sandbox
    shared_sandbox.switch(**before)


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[SESV2Client]:
    with ses_client(sandbox.url) as stock:
        yield stock


def raw_request(**changes: Any) -> dict[str, Any]:
    return {
        "FromEmailAddress": SENDER,
        "Destination": {"ToAddresses": [RECIPIENT]},
        "Content": {"Raw": {"Data": raw_message()}},
        **changes,
    }


def simple_request(**simple: Any) -> dict[str, Any]:
    content = {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}, **simple}
    return raw_request(Content={"Simple": content})


def with_message(message: bytes) -> dict[str, Any]:
    return raw_request(Content={"Raw": {"Data": message}})


def tagged(name: str, value: str) -> dict[str, Any]:
    return raw_request(EmailTags=[{"Name": name, "Value": value}])


INPUT_SES_REFUSES: dict[str, tuple[dict[str, Any], str]] = {
    "neither raw nor simple": (raw_request(Content={}), "exactly one"),
    "raw and simple": (
        raw_request(
            Content={
                "Raw": {"Data": raw_message()},
                "Simple": {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}},
            }
        ),
        "exactly one",
    ),
    "more than 50 recipients": (
        raw_request(Destination={"ToAddresses": [f"p{n}@example.org" for n in range(51)]}),
        "exceeds 50",
    ),
    "address without a domain": (
        raw_request(Destination={"ToAddresses": ["ada"]}),
        "Missing final '@domain'",
    ),
    "address without a local part": (
        raw_request(Destination={"ToAddresses": ["<@example.org>"]}),
        "Illegal address|Missing local name",
    ),
    "address with two dots": (
        raw_request(Destination={"ToAddresses": ["ada..l@example.org"]}),
        "Illegal address",
    ),
    "two addresses in one": (
        raw_request(Destination={"ToAddresses": ["a@example.org, b@example.org"]}),
        "Illegal address",
    ),
    "non-ASCII local part": (
        raw_request(Destination={"ToAddresses": ["adä@example.org"]}),
        "Non-ASCII",
    ),
    "non-ASCII domain": (
        raw_request(Destination={"ToAddresses": ["ada@exämple.org"]}),
        "Punycode",
    ),
    "non-ASCII display name": (
        raw_request(FromEmailAddress="Frühling <news@mail.example.com>"),
        "RFC 2047",
    ),
    "tag name with a dot": (tagged("a.b", "1"), "tag name"),
    "tag value with an at sign": (tagged("m", "ada@example"), "tag value"),
    "empty tag value": (tagged("m", ""), "tag value"),
    "tag value of 257 characters": (tagged("m", "x" * 257), "tag value"),
    "tag given twice": (
        raw_request(EmailTags=[{"Name": "m", "Value": "1"}, {"Name": "m", "Value": "2"}]),
        "Duplicate tag",
    ),
    "configuration set with a space": (
        raw_request(ConfigurationSetName="my set"),
        "configuration set name",
    ),
    "line of 999 characters": (with_message(raw_message(body="x" * 999)), "longer than 998"),
    "no blank line": (with_message(b"From: a@example.com\r\nTo: b@example.org\r\n"), "blank line"),
    "no From header": (with_message(b"To: b@example.org\r\n\r\nHello"), "header 'From'"),
    "header without a colon": (
        with_message(raw_message(extra="Nonsense\r\n")),
        "not of the form",
    ),
    "header without a name": (with_message(raw_message(extra=": x\r\n")), "Empty header names"),
    "space before the colon": (
        with_message(raw_message(extra="X-A : x\r\n")),
        "not of the form",
    ),
    "fold at the very start": (with_message(b" folded\r\n" + raw_message()), "folded"),
    "bare CR in a header": (
        with_message(raw_message(extra="X-A: one\rX-B: two\r\n")),
        "control characters",
    ),
    "raw eight-bit header": (
        with_message(raw_message(subject="Frühling")),
        "line 3 .*non-ASCII",
    ),
    "second Subject": (
        with_message(raw_message(extra="SUBJECT: again\r\n")),
        "Duplicate header 'Subject'",
    ),
    "second List-Unsubscribe-Post": (
        with_message(
            raw_message(extra="List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" * 2)
        ),
        "Duplicate header 'List-Unsubscribe-Post'",
    ),
    "multipart that never closes": (
        with_message(
            b"From: a@example.com\r\nTo: b@example.org\r\n"
            b'Content-Type: multipart/mixed; boundary="b1"\r\n\r\n--b1\r\n\r\nHello\r\n'
        ),
        "boundary",
    ),
    "header that SES sets, with simple content": (
        simple_request(Headers=[{"Name": "Reply-To", "Value": "a@example.com"}]),
        "not allowed",
    ),
    "sixteen headers with simple content": (
        simple_request(Headers=[{"Name": f"X-{n}", "Value": "1"} for n in range(16)]),
        "More than 15",
    ),
    "simple text outside of its charset": (
        simple_request(Body={"Text": {"Data": "Grüße"}}),
        "us-ascii",
    ),
    "template": (
        raw_request(Content={"Template": {"TemplateName": "spring"}}),
        "does not offer Content.Template",
    ),
    "list management": (
        raw_request(ListManagementOptions={"ContactListName": "supporters"}),
        "does not offer ListManagementOptions",
    ),
}


@pytest.mark.parametrize("fault", INPUT_SES_REFUSES)
def test_wrong_input_is_a_bad_request_and_leaves_nothing_behind(
    sandbox: SandboxProcess, fault: str
) -> None:
    request, said = INPUT_SES_REFUSES[fault]
    accepted = sandbox.report()["accepted"]
    files = len(sandbox.mail_files())
    with (
        ses_client(sandbox.url) as client,
        pytest.raises(client.exceptions.BadRequestException, match=said) as refused,
    ):
        client.send_email(**request)

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert sandbox.report()["accepted"] == accepted
    assert len(sandbox.mail_files()) == files


def test_the_longest_line_and_tag_that_ses_allows_are_taken(client: SESV2Client) -> None:
    body = "x" * 998 + "\r\n" + "y" * 998
    assert send(client, message=raw_message(body=body), **{"n" * 256: "v" * 256})


@pytest.mark.parametrize(
    ("megabytes", "status", "name"),
    [(31, 400, "BadRequestException"), (45, 413, "RequestEntityTooLargeException")],
)
def test_more_than_40_megabytes_in_base64_are_refused_and_the_connection_serves_on(
    sandbox: SandboxProcess, megabytes: int, status: int, name: str
) -> None:
    line = "x" * 62 + "\r\n"
    body = line * (megabytes * 1024 * 1024 // len(line))
    with ses_client(sandbox.url, read_timeout=60) as client:
        assert refusal(lambda: send(client, message=raw_message(body=body)))[:2] == (status, name)
        assert send(client)


def test_the_error_is_in_the_form_of_rest_json(sandbox: SandboxProcess) -> None:
    request = Request(
        f"{sandbox.url}/v2/email/outbound-emails", data=b'{"Content": 3}', method="POST"
    )
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=x")
    with ses_client(sandbox.url) as client:
        date = client.get_account()["ResponseMetadata"]["HTTPHeaders"]["date"]
    with pytest.raises(HTTPError) as refused:
        urlopen(request)
    assert refused.value.code == 403
    assert refused.value.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert refused.value.headers["Content-Type"] == "application/json"
    assert refused.value.read() == b'{"message": "Missing Authentication Token"}'
    assert date
    refused.value.close()


REFUSING_SWITCHES: dict[str, tuple[dict[str, object], int, str, str]] = {
    "paused": ({"sending_paused": True}, 400, "SendingPausedException", "paused"),
    "suspended": ({"account_suspended": True}, 400, "AccountSuspendedException", "suspended"),
    "mail from": (
        {"mail_from_verified": False},
        400,
        "MailFromDomainNotVerifiedException",
        "mail.example.com",
    ),
    "quota": ({"daily_quota": 0}, 400, "LimitExceededException", "Daily message quota exceeded."),
    "identity": (
        {"verified_identities": ["other.example.com"]},
        400,
        "MessageRejected",
        "Email address is not verified",
    ),
    "configuration set": (
        {"configuration_sets": ["another"]},
        404,
        "NotFoundException",
        "Configuration set <campaign> does not exist",
    ),
    "throttle": (
        {"faults": {"throttle_429": 1}},
        429,
        "TooManyRequestsException",
        "Maximum sending rate exceeded.",
    ),
}


@pytest.mark.parametrize("switch", REFUSING_SWITCHES)
def test_a_thrown_switch_refuses_with_the_error_ses_has_for_it(
    sandbox: SandboxProcess, client: SESV2Client, switch: str
) -> None:
    changes, status, name, said = REFUSING_SWITCHES[switch]
    assert send(client, configuration_set="campaign")
    files = len(sandbox.mail_files())
    sandbox.switch(**changes)

    assert refusal(lambda: send(client, configuration_set="campaign"))[:2] == (status, name)
    assert said in refusal(lambda: send(client, configuration_set="campaign"))[2]
    assert len(sandbox.mail_files()) == files


def test_errors_map_to_the_typed_exceptions_of_the_client(
    sandbox: SandboxProcess, client: SESV2Client
) -> None:
    sandbox.switch(sending_paused=True)
    with pytest.raises(client.exceptions.SendingPausedException):
        send(client)
    assert client.get_account()["SendingEnabled"] is False


def test_the_verified_domain_and_the_verified_address_may_send(
    sandbox: SandboxProcess, client: SESV2Client
) -> None:
    sandbox.switch(verified_identities=["MAIL.example.com"])
    assert send(client)
    sandbox.switch(verified_identities=["news@mail.example.com"])
    assert send(client)


def test_above_the_rate_ses_answers_429_until_the_bucket_has_filled_again(
    sandbox: SandboxProcess, client: SESV2Client
) -> None:
    sandbox.switch(max_send_rate=2)

    def outcome() -> str:
        try:
            send(client)
        except client.exceptions.TooManyRequestsException:
            return "429"
        return "accepted"

    outcomes = [outcome() for _ in range(20)]
    assert "429" in outcomes
    wait_until(lambda: outcome() == "accepted", "the bucket holds a token again")


def test_the_daily_quota_counts_recipients_and_spends_nothing_on_refusals(
    sandbox: SandboxProcess, client: SESV2Client
) -> None:
    sent = client.get_account()["SendQuota"]["SentLast24Hours"]
    sandbox.switch(daily_quota=sent + 2)
    three = raw_request(Destination={"ToAddresses": [f"p{n}@example.org" for n in range(3)]})
    assert refusal(lambda: client.send_email(**three))[1] == "LimitExceededException"
    send(client)
    send(client)
    assert refusal(lambda: send(client))[1] == "LimitExceededException"


@pytest.mark.parametrize("seconds_ago", [301, -301])
def test_a_signature_off_by_more_than_its_validity_is_refused(
    client: SESV2Client, seconds_ago: int
) -> None:
    date_signatures(client, seconds_ago=seconds_ago)
    for call in (lambda: send(client), client.get_account):
        status, name, _ = refusal(call)
        assert (status, name) == (403, "InvalidSignatureException")


def test_a_shorter_validity_refuses_what_was_young_enough_before(
    sandbox: SandboxProcess, client: SESV2Client
) -> None:
    date_signatures(client, seconds_ago=100)
    assert send(client)
    sandbox.switch(validity_seconds=60)
    assert refusal(lambda: send(client))[0] == 403


WRONG_SWITCHES: dict[str, tuple[dict[str, object], str]] = {
    "unknown switch": ({"lattency_ms": 3}, "lattency_ms"),
    "unknown fault": ({"faults": {"hang": 0.5}}, "Known faults: throttle_429"),
    "share above one": ({"faults": {"hang_before": 1.5}}, "faults.hang_before"),
    "shares above one together": (
        {"faults": {"hang_before": 0.6, "hang_after": 0.6}},
        "must not exceed 1",
    ),
    "negative rate": ({"max_send_rate": -1}, "max_send_rate"),
    "endpoint without a scheme": ({"sns_endpoint": "localhost:1"}, "sns_endpoint"),
}


@pytest.mark.parametrize("case", WRONG_SWITCHES)
def test_a_wrong_switch_is_refused_by_name_and_changes_nothing(
    sandbox: SandboxProcess, case: str
) -> None:
    changes, said = WRONG_SWITCHES[case]
    before = sandbox.switch()
    with pytest.raises(HTTPError) as refused:
        sandbox.switch(latency_ms=5, **changes)
    assert refused.value.code == 400
    assert said in refused.value.read().decode()
    refused.value.close()
    assert sandbox.switch() == before


def test_a_path_ses_has_and_the_sandbox_not_is_an_error_not_silence(client: SESV2Client) -> None:
    calls: list[Callable[[], object]] = [client.list_email_identities]
    for call in calls:
        with pytest.raises(ClientError, match="UnknownOperationException"):
            call()
