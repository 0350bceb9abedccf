"""The sender's own requests, held to three independent readers: Amazon's service model, moto's
server and the sandbox.

The gateway switches botocore's check of parameters off, since it costs time at every call; what it
would have found is found here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.request import Request, urlopen

import pytest
from botocore.model import OperationModel
from botocore.session import get_session
from botocore.validate import ParamValidator

from deploy.ses_sandbox.process import SandboxProcess
from services.sender.gateway import OutgoingMail
from services.sender.ses_gateway import SesGateway
from tests.contract.ses_sandbox_client import RECIPIENT, SENDER, raw_message
from tests.unit.renderer.building import a_recipient, made

ThreadedMotoServer = pytest.importorskip("moto.server").ThreadedMotoServer

RENDERED = made(a_recipient("Zoë Ångström"))
assert RENDERED.mail is not None, RENDERED.refusal
TAGS = {
    "m": RENDERED.message_id,
    "p": RENDERED.supporter_id,
    "s": RENDERED.send_id,
    "v": RENDERED.variant,
    "o": "0",
    "a": "1",
    "e": RENDERED.edition.encode().hex(),
}
PLAIN = OutgoingMail(
    sender=SENDER, to=RECIPIENT, raw=raw_message(), configuration_set="doorstep", tags=TAGS
)
LONGEST = 998  # characters in a line without its CRLF (RFC 5322, 2.1.1)
MAILS = {
    "as the renderer makes it": replace(
        PLAIN, sender=RENDERED.sender, to=RENDERED.to, raw=RENDERED.mail.encode("ascii")
    ),
    "the longest lines there may be": replace(PLAIN, raw=raw_message(body=f"{'x' * LONGEST}\r\n")),
    "dots, blanks and no last line end": replace(PLAIN, raw=raw_message(body=".\r\n..\r\n \r\nx")),
    "a sender with every sign": replace(
        PLAIN, sender='"Spring, \\"Town\\"" <a+b@mail.example.com>'
    ),
}
TOO_LONG_LINES = replace(PLAIN, raw=raw_message(body=f"{'x' * 20_000}\r\n"))
UNKNOWN_SENDER = replace(PLAIN, sender="Nobody <nobody@elsewhere.example.com>")


@dataclass
class Watched:
    """A gateway, what it asked for, what it posted and what it was answered."""

    gateway: SesGateway
    asked: list[dict[str, Any]] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        events = self.gateway._client.meta.events
        events.register(
            "provide-client-params.sesv2.SendEmail",
            lambda params, **_: self.asked.append(dict(params)),
        )
        events.register(
            "before-send.sesv2.SendEmail", lambda request, **_: self.posted.append(request.body)
        )
        events.register(
            "after-call.sesv2.SendEmail", lambda parsed, **_: self.answered.append(dict(parsed))
        )


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto(moto_url: str) -> Iterator[Watched]:
    """Knows nobody but the two domains that the mails come from."""
    with urlopen(Request(f"{moto_url}/moto-api/reset", method="POST")):
        pass
    with watched(moto_url) as made_for_moto:
        for domain in ("mail.example.com", "river.example.org"):
            made_for_moto.gateway._client.create_email_identity(EmailIdentity=domain)
        yield made_for_moto


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("gateway") / "sandbox") as process:
        process.switch(verified_identities=["mail.example.com", "river.example.org"])
        yield process


@pytest.fixture
def rehearsed(sandbox: SandboxProcess) -> Iterator[Watched]:
    with watched(sandbox.url) as made_for_sandbox:
        yield made_for_sandbox


@pytest.fixture(scope="module")
def model() -> OperationModel:
    """What Amazon says of SendEmail, read anew from botocore's data."""
    return get_session().get_service_model("sesv2").operation_model("SendEmail")


@contextmanager
def watched(url: str) -> Iterator[Watched]:
    gateway = SesGateway(
        region="eu-west-2", endpoint=url, connections=2,
        connect_timeout_seconds=5, read_timeout_seconds=5,
    )  # fmt: skip
    try:
        yield Watched(gateway)
    finally:
        gateway.close()


def fresh() -> bool:
    return True


def faults(params: Mapping[str, Any], model: OperationModel) -> str:
    """What botocore would have said of these parameters, "" for nothing."""
    assert model.input_shape is not None
    return str(ParamValidator().validate(params, model.input_shape).generate_report())


def as_ses_keeps_it(raw: bytes) -> bytes:
    """Without the Date header: SES writes its own."""
    return re.sub(rb"(?m)^Date: .*\r\n", b"", raw, count=1)


def in_moto(moto_url: str) -> dict[str, Any]:
    """The one mail that moto has."""
    with urlopen(f"{moto_url}/moto-api/data.json") as answer:
        (message,) = json.load(answer)["ses"]["RawMessage"]
    found: dict[str, Any] = message
    return found


@pytest.mark.parametrize("name", MAILS)
def test_the_request_is_one_that_amazons_model_knows_and_holds_all_of_the_mail(
    moto: Watched, model: OperationModel, name: str
) -> None:
    mail = MAILS[name]

    moto.gateway.send(mail, fresh)

    (asked,) = moto.asked
    assert faults(asked, model) == ""
    assert asked == {
        "FromEmailAddress": mail.sender,
        "Destination": {"ToAddresses": [mail.to]},
        "Content": {"Raw": {"Data": mail.raw}},
        "ConfigurationSetName": mail.configuration_set,
        "EmailTags": [{"Name": tag, "Value": value} for tag, value in mail.tags.items()],
    }


def test_a_request_that_amazon_does_not_know_would_be_noticed(
    moto: Watched, model: OperationModel
) -> None:
    moto.gateway.send(PLAIN, fresh)
    (asked,) = moto.asked

    assert 'Unknown parameter in input: "Tags"' in faults({**asked, "Tags": []}, model)
    assert "EmailTags[0].Value" in faults(
        {**asked, "EmailTags": [{"Name": "o", "Value": 0}]}, model
    )
    assert "Content.Raw" in faults({**asked, "Content": {"Raw": {}}}, model)
    assert 'Missing required parameter in input: "Content"' in faults(
        {name: value for name, value in asked.items() if name != "Content"}, model
    )


@pytest.mark.parametrize("name", MAILS)
def test_moto_reads_back_what_was_sent(moto: Watched, moto_url: str, name: str) -> None:
    mail = MAILS[name]

    answer = moto.gateway.send(mail, fresh)

    assert answer.verdict == "accepted"
    kept = in_moto(moto_url)
    assert kept["id"] == answer.ses_message_id
    assert kept["raw_data"].encode("ascii") == mail.raw
    assert kept["source"] == mail.sender
    assert kept["destinations"][0] == mail.to


@pytest.mark.parametrize("name", MAILS)
def test_the_sandbox_is_posted_the_same_bytes_and_reads_them_alike(
    moto: Watched, rehearsed: Watched, sandbox: SandboxProcess, name: str
) -> None:
    mail = MAILS[name]

    moto.gateway.send(mail, fresh)
    answer = rehearsed.gateway.send(mail, fresh)

    assert rehearsed.posted == moto.posted
    assert answer.verdict == "accepted"
    kept = next(file for file in sandbox.mail_files() if str(answer.ses_message_id) in file.name)
    headers, _, below = kept.read_bytes().partition(b"X-SES-Accepted-At: ")
    assert below.partition(b"\n")[2] == as_ses_keeps_it(mail.raw)
    assert b"X-SES-Configuration-Set: doorstep" in headers
    assert sandbox.journal()[-1]["tags"] == mail.tags


def test_lines_that_no_mail_may_have_arrive_whole_and_are_refused(
    moto: Watched, moto_url: str, rehearsed: Watched
) -> None:
    """Nothing on the way folds or cuts them: moto, which does not mind, has every byte."""
    assert moto.gateway.send(TOO_LONG_LINES, fresh).verdict == "accepted"
    assert in_moto(moto_url)["raw_data"].encode("ascii") == TOO_LONG_LINES.raw

    answer = rehearsed.gateway.send(TOO_LONG_LINES, fresh)

    assert (answer.verdict, rehearsed.posted) == ("failed", moto.posted)
    assert f"longer than {LONGEST} characters" in answer.reason


def test_moto_and_the_sandbox_answer_in_the_same_shape(
    moto: Watched, rehearsed: Watched, model: OperationModel
) -> None:
    for each in (moto, rehearsed):
        answer = each.gateway.send(PLAIN, fresh)
        assert (answer.verdict, answer.reason) == ("accepted", "")
        assert answer.ses_message_id

    (theirs,), (ours,) = moto.answered, rehearsed.answered
    assert shape(ours) == shape(theirs)
    assert model.output_shape is not None
    assert ours.keys() - {"ResponseMetadata"} <= set(model.output_shape.members)


def test_moto_and_the_sandbox_refuse_an_unknown_sender_in_the_same_shape(
    moto: Watched, rehearsed: Watched, model: OperationModel
) -> None:
    moto.gateway.send(UNKNOWN_SENDER, fresh)
    rehearsed.gateway.send(UNKNOWN_SENDER, fresh)

    (theirs,), (ours,) = moto.answered, rehearsed.answered
    assert shape(ours) == shape(theirs)
    assert ours["Error"]["Code"] == theirs["Error"]["Code"]
    assert ours["Error"]["Code"] in {error.name for error in model.error_shapes}


def shape(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Which members an answer has and of which type; its HTTP status whole."""
    members = {name: type(value) for name, value in answer.items() if name != "Error"}
    return {
        **members,
        "Error": {name: type(value) for name, value in answer.get("Error", {}).items()},
        "status": answer["ResponseMetadata"]["HTTPStatusCode"],
    }
