"""The sandbox beside moto's server, an independent SES: the same call, the same mail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from deploy.ses_sandbox.process import SandboxProcess
from tests.contract.ses_sandbox_client import RECIPIENT, SENDER, raw_message, refusal, ses_client

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

ThreadedMotoServer = pytest.importorskip("moto.server").ThreadedMotoServer

MULTIPART = (
    f"From: {SENDER}\nTo: {RECIPIENT}\nSubject: =?utf-8?q?Fr=C3=BChling?=\nMIME-Version: 1.0\n"
    "List-Unsubscribe: <https://u.example.com/o/T0K3N>\n"
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
    'Content-Type: multipart/alternative; boundary="edge"\n\n'
    "--edge\nContent-Type: text/plain; charset=utf-8\n"
    "Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n"
    "--edge\nContent-Type: text/html; charset=utf-8\n"
    "Content-Transfer-Encoding: base64\n\nPHA+R3LDvMOfZTwvcD4=\n--edge--\n"
)
MESSAGES = {
    "plain, CRLF": raw_message(body="One.\r\n\r\n..two\r\n   three"),
    "multipart, CRLF": MULTIPART.replace("\n", "\r\n").encode(),
    "multipart, LF": MULTIPART.encode(),
    "long": raw_message(body="0123456789abcdef\r\n" * 1200),
}


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto(moto_url: str) -> Iterator[SESV2Client]:
    with urlopen(Request(f"{moto_url}/moto-api/reset", method="POST")):
        pass
    with ses_client(moto_url) as client:
        client.create_email_identity(EmailIdentity="mail.example.com")
        client.create_email_identity(EmailIdentity="news@mail.example.com")
        yield client


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("moto") / "sandbox") as process:
        yield process


def stored_by_moto(moto_url: str, kind: str) -> dict[str, Any]:
    with urlopen(f"{moto_url}/moto-api/data.json") as answer:
        (message,) = json.load(answer)["ses"][kind]
    found: dict[str, Any] = message
    return found


def stored_by_sandbox(sandbox: SandboxProcess, message_id: str) -> bytes:
    (path,) = (path for path in sandbox.mail_files() if message_id in path.name)
    return path.read_bytes()


def without_assigned_headers(file: bytes) -> bytes:
    """What follows the last header that SES puts on top."""
    _, marker, below = file.partition(b"X-SES-Accepted-At: ")
    assert marker
    return below.split(b"\n", 1)[1]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_raw_message_is_the_same_bytes_in_both(
    sandbox: SandboxProcess, moto: SESV2Client, moto_url: str, name: str
) -> None:
    request: dict[str, Any] = {
        "FromEmailAddress": SENDER,
        "Destination": {"ToAddresses": [RECIPIENT]},
        "Content": {"Raw": {"Data": MESSAGES[name]}},
        "EmailTags": [{"Name": "m", "Value": "a1"}],
    }
    moto.send_email(**request)
    with ses_client(sandbox.url) as client:
        message_id = client.send_email(**request)["MessageId"]

    theirs = stored_by_moto(moto_url, "RawMessage")
    ours = without_assigned_headers(stored_by_sandbox(sandbox, message_id))
    assert ours == theirs["raw_data"].encode()
    assert set(theirs["destinations"]) == {RECIPIENT}


def test_simple_content_has_the_same_subject_and_body_in_both(
    sandbox: SandboxProcess, moto: SESV2Client, moto_url: str
) -> None:
    request: dict[str, Any] = {
        "FromEmailAddress": "news@mail.example.com",
        "Destination": {"ToAddresses": [RECIPIENT]},
        "Content": {
            "Simple": {
                "Subject": {"Data": "Frühling", "Charset": "UTF-8"},
                "Body": {"Html": {"Data": "<p>Grüße</p>", "Charset": "UTF-8"}},
            }
        },
    }
    moto.send_email(**request)
    with ses_client(sandbox.url) as client:
        message_id = client.send_email(**request)["MessageId"]

    theirs = stored_by_moto(moto_url, "Message")
    ours = message_from_bytes(stored_by_sandbox(sandbox, message_id), policy=default)
    assert ours["Subject"] == theirs["subject"]
    assert ours.get_content().strip() == theirs["body"]
    assert theirs["destinations"]["ToAddresses"] == [ours["To"]]


def test_both_refuse_more_than_fifty_recipients(sandbox: SandboxProcess, moto: SESV2Client) -> None:
    request: dict[str, Any] = {
        "FromEmailAddress": SENDER,
        "Destination": {"ToAddresses": [f"p{number}@example.org" for number in range(51)]},
        "Content": {"Raw": {"Data": raw_message()}},
    }
    with ses_client(sandbox.url) as client:
        ours = refusal(lambda: client.send_email(**request))
    theirs = refusal(lambda: moto.send_email(**request))
    assert ours[0] == theirs[0] == 400
