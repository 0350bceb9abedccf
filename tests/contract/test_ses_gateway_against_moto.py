"""The sender's own requests, on both ways to SES, held to three independent readers: Amazon's
service model, moto's server and the sandbox.

The gateway switches botocore's check of parameters off, since it costs time at every call; what it
would have found is found here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.session import get_session
from botocore.validate import ParamValidator

from deploy.ses_sandbox.process import SandboxProcess
from services.sender.connection import Response
from services.sender.gateway import Answer, MailGateway, OutgoingMail
from services.sender.lean_gateway import LeanGateway
from services.sender.posting import End, Post
from services.sender.ses_gateway import SesGateway
from tests.contract.ses_sandbox_client import RECIPIENT, SENDER, raw_message
from tests.integration.sender.calling import WAYS, Way, call, opened
from tests.unit.renderer.building import a_recipient, made

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client

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

    gateway: MailGateway
    client: SESV2Client
    asked: list[dict[str, Any]] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)

    def send(self, mail: OutgoingMail) -> Answer:
        """One call."""
        return call(self.gateway, mail, fresh)


def watch_boto3(gateway: SesGateway) -> Watched:
    watched, events = Watched(gateway, gateway.client), gateway.client.meta.events
    events.register(
        "provide-client-params.sesv2.SendEmail",
        lambda params, **_: watched.asked.append(dict(params)),
    )
    events.register(
        "before-send.sesv2.SendEmail", lambda request, **_: watched.posted.append(request.body)
    )
    events.register(
        "after-call.sesv2.SendEmail", lambda parsed, **_: watched.answered.append(dict(parsed))
    )
    return watched


def watch_lean(gateway: LeanGateway) -> Watched:
    """Its bodies are read, and its answers parsed, as botocore does it."""
    plain, begin = gateway._plain, gateway._posting.begin
    assert isinstance(plain, SesGateway)
    watched = Watched(gateway, plain.client)
    output = plain.client.meta.service_model.operation_model("SendEmail").output_shape

    def make(post: Post) -> bytes:
        request = post.make()
        body = request.partition(b"\r\n\r\n")[2]
        asked = json.loads(body)
        raw = asked["Content"]["Raw"]
        raw["Data"] = base64.b64decode(raw["Data"], validate=True)
        watched.posted.append(body)
        watched.asked.append(asked)
        return request

    def ended(post: Post, end: End) -> None:
        assert isinstance(end, Response)
        told = {"status_code": end.status, "headers": end.headers, "body": end.body}
        watched.answered.append(create_parser("rest-json").parse(told, output))
        post.ended(end)

    gateway._posting.begin = lambda post: begin(  # type: ignore[method-assign]
        Post(lambda: make(post), lambda end: ended(post, end))
    )
    return watched


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


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """How SES is called."""
    found: Way = request.param
    return found


@pytest.fixture
def moto(moto_url: str, way: Way) -> Iterator[Watched]:
    """Knows nobody but the two domains that the mails come from."""
    with urlopen(Request(f"{moto_url}/moto-api/reset", method="POST")):
        pass
    with watched(way, moto_url) as made_for_moto:
        for domain in ("mail.example.com", "river.example.org"):
            made_for_moto.client.create_email_identity(EmailIdentity=domain)
        yield made_for_moto


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("gateway") / "sandbox") as process:
        process.switch(verified_identities=["mail.example.com", "river.example.org"])
        yield process


@pytest.fixture
def rehearsed(sandbox: SandboxProcess, way: Way) -> Iterator[Watched]:
    with watched(way, sandbox.url) as made_for_sandbox:
        yield made_for_sandbox


@pytest.fixture(scope="module")
def model() -> OperationModel:
    """What Amazon says of SendEmail, read anew from botocore's data."""
    return get_session().get_service_model("sesv2").operation_model("SendEmail")


@contextmanager
def watched(way: Way, url: str) -> Iterator[Watched]:
    with opened(way, url, connect_timeout_seconds=5, read_timeout_seconds=5) as gateway:
        if isinstance(gateway, LeanGateway):
            yield watch_lean(gateway)
        else:
            assert isinstance(gateway, SesGateway)
            yield watch_boto3(gateway)


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

    moto.send(mail)

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
    moto.send(PLAIN)
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

    answer = moto.send(mail)

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

    moto.send(mail)
    answer = rehearsed.send(mail)

    assert rehearsed.posted == moto.posted
    assert answer.verdict == "accepted"
    kept = next(file for file in sandbox.mail_files() if str(answer.ses_message_id) in file.name)
    headers, _, below = kept.read_bytes().partition(b"X-SES-Accepted-At: ")
    assert below.partition(b"\n")[2] == as_ses_keeps_it(mail.raw)
    assert b"X-SES-Configuration-Set: doorstep" in headers
    assert sandbox.journal()[-1]["tags"] == mail.tags


@pytest.mark.parametrize("name", MAILS)
def test_both_ways_ask_the_same(sandbox: SandboxProcess, name: str) -> None:
    with watched("lean", sandbox.url) as lean, watched("boto3", sandbox.url) as boto3:
        lean.send(MAILS[name])
        boto3.send(MAILS[name])

    assert json.loads(lean.posted[0]) == json.loads(boto3.posted[0])


def test_lines_that_no_mail_may_have_arrive_whole_and_are_refused(
    moto: Watched, moto_url: str, rehearsed: Watched
) -> None:
    """Nothing on the way folds or cuts them: moto, which does not mind, has every byte."""
    assert moto.send(TOO_LONG_LINES).verdict == "accepted"
    assert in_moto(moto_url)["raw_data"].encode("ascii") == TOO_LONG_LINES.raw

    answer = rehearsed.send(TOO_LONG_LINES)

    assert (answer.verdict, rehearsed.posted) == ("failed", moto.posted)
    assert f"longer than {LONGEST} characters" in answer.reason


def test_moto_and_the_sandbox_answer_in_the_same_shape(
    moto: Watched, rehearsed: Watched, model: OperationModel
) -> None:
    for each in (moto, rehearsed):
        answer = each.send(PLAIN)
        assert (answer.verdict, answer.reason) == ("accepted", "")
        assert answer.ses_message_id

    (theirs,), (ours,) = moto.answered, rehearsed.answered
    assert shape(ours) == shape(theirs)
    assert model.output_shape is not None
    assert ours.keys() - {"ResponseMetadata"} <= set(model.output_shape.members)


def test_moto_and_the_sandbox_refuse_an_unknown_sender_in_the_same_shape(
    moto: Watched, rehearsed: Watched, model: OperationModel
) -> None:
    moto.send(UNKNOWN_SENDER)
    rehearsed.send(UNKNOWN_SENDER)

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
