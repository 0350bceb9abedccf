"""Both ways to SES: one call is one POST, and every end of it has the right meaning."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.ses_sandbox.process import SandboxProcess
from services.sender.answers import LONGEST_REASON
from services.sender.gateway import Answer, OutgoingMail
from tests.integration.sender.audience import SENDER, mail_to, people
from tests.integration.sender.calling import WAYS, Way, call, opened

PERSON = people(1)[0]
MAIL = OutgoingMail(
    sender=SENDER,
    to=PERSON.address,
    raw=mail_to(PERSON).encode(),
    configuration_set="doorstep",
    tags={"m": PERSON.message_of("gateway"), "s": "gateway"},
)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """How SES is called."""
    found: Way = request.param
    return found


def fresh() -> bool:
    return True


def stale() -> bool:
    return False


def test_a_sound_call_is_accepted_with_the_id_of_ses(sandbox: SandboxProcess, way: Way) -> None:
    with opened(way, sandbox.url) as ses:
        answer = call(ses, MAIL, fresh)

    assert answer.verdict == "accepted"
    line = sandbox.journal()[-1]
    assert answer.ses_message_id == line["message_id"]
    assert line["tags"] == MAIL.tags


@pytest.mark.parametrize("fault", ["hang_before", "hang_after", "error_503_after", "close_before"])
def test_one_call_is_one_post_whatever_comes_of_it(
    sandbox: SandboxProcess, way: Way, fault: str
) -> None:
    before = sandbox.report()["requests"]
    sandbox.switch(faults={fault: 1.0})
    with opened(way, sandbox.url) as ses:
        answer = call(ses, MAIL, fresh)
    sandbox.switch(faults={})

    assert answer.verdict == "in_doubt"
    assert sandbox.report()["requests"] == before + 1


def test_a_look_that_is_too_old_when_the_request_is_signed_stops_the_call(
    sandbox: SandboxProcess, way: Way
) -> None:
    before = sandbox.report()["requests"]
    with opened(way, sandbox.url) as ses:
        assert call(ses, MAIL, stale).verdict == "not_called"
        assert sandbox.report()["requests"] == before
        assert call(ses, MAIL, fresh).verdict == "accepted", "the next call looks anew"


def test_a_port_that_nobody_listens_on_was_never_reached(way: Way) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with opened(way, f"http://127.0.0.1:{bound.getsockname()[1]}") as ses:
            assert call(ses, MAIL, fresh).verdict == "retry"


def answered(way: Way, status: int, body: bytes, error: str = "") -> Answer:
    """What it means that SES answers with this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if error:
                self.send_header("x-amzn-ErrorType", error)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with serving(server) as port, opened(way, f"http://127.0.0.1:{port}") as ses:
        return call(ses, MAIL, fresh)


@pytest.mark.parametrize("body", [b"{}", b"<html>Sign in to the network</html>"])
def test_a_success_without_an_id_is_doubt(way: Way, body: bytes) -> None:
    """SES gives one always: what stands between may have answered, and SES never heard of it."""
    assert answered(way, 200, body).verdict == "in_doubt"


def test_a_page_instead_of_an_answer_is_told_in_one_short_line(way: Way) -> None:
    page = b"<html>\n<body>\n" + b"<p>Forbidden</p>\n" * 10_000

    answer = answered(way, 403, page)

    assert answer.verdict == "hold_all"
    assert len(answer.reason) <= LONGEST_REASON
    assert "\n" not in answer.reason


@pytest.mark.parametrize(
    ("status", "name", "message", "verdict"),
    [
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "throttled"),
        (400, "LimitExceededException", "Daily message quota exceeded.", "hold_all"),
        (400, "ThrottlingException", "Daily message quota exceeded.", "hold_all"),
        (400, "Throttling", "Maximum sending rate exceeded.", "throttled"),
        (400, "SendingPausedException", "Sending is paused.", "hold_all"),
        (400, "AccountSuspendedException", "Suspended.", "hold_all"),
        (400, "MailFromDomainNotVerifiedException", "Not verified.", "hold_send"),
        (400, "MessageRejected", "Email address is not verified.", "hold_send"),
        (400, "MessageRejected", "Illegal content.", "failed"),
        (400, "BadRequestException", "Invalid address.", "failed"),
        (404, "NotFoundException", "No such configuration set.", "hold_send"),
        (403, "ExpiredTokenException", "The security token is expired.", "hold_all"),
        (403, "SignatureDoesNotMatch", "Signature expired.", "hold_all"),
        (500, "InternalFailure", "", "in_doubt"),
        (503, "ServiceUnavailable", "", "in_doubt"),
    ],
)
def test_each_error_of_ses_has_its_meaning_wherever_its_name_stands(
    way: Way, status: int, name: str, message: str, verdict: str
) -> None:
    said = {"message": message}
    for answer in (
        answered(way, status, json.dumps(said).encode(), f"{name}:http://internal.amazon.com/"),
        answered(way, status, json.dumps(said | {"__type": f"com.amazon#{name}"}).encode()),
        answered(way, status, json.dumps(said | {"code": name}).encode()),
    ):
        assert answer.verdict == verdict
        assert name.removesuffix("Exception") in answer.reason


@pytest.mark.parametrize(
    ("status", "body"), [(502, b"<html>Bad Gateway</html>"), (413, b""), (400, b"[]"), (200, b"ok")]
)
def test_what_is_no_json_means_the_same_on_both_ways(status: int, body: bytes) -> None:
    lean, boto3 = (answered(way, status, body).verdict for way in WAYS)

    assert lean == ("in_doubt" if status == 200 else lean)
    assert lean == boto3 or (status, body) == (400, b"[]"), "boto3 stumbles over a list"


def test_a_refusal_that_names_the_recipient_is_told_without_the_address(way: Way) -> None:
    """The reason goes into the ledger, and to analysts."""
    said = f"The following identities failed the check: {PERSON.address.upper()}, news@example.com"
    answer = answered(way, 400, json.dumps({"message": said}).encode(), "MessageRejected")

    assert answer.verdict == "failed"
    assert answer.reason == (
        "MessageRejected: The following identities failed the check: (the recipient), "
        "news@example.com"
    )


def test_tls_that_breaks_after_the_request_was_read_is_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """SES may have taken it; to try again would mail twice."""
    certificate, key = self_signed(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with breaking_tls(certificate, key) as (url, read), opened(way, url) as ses:
        answer = call(ses, MAIL, fresh)

    assert answer.verdict == "in_doubt", answer
    assert read, "the whole request had arrived"


def test_a_certificate_that_is_refused_lets_nothing_leave(tmp_path: Path, way: Way) -> None:
    certificate, key = self_signed(tmp_path)
    with breaking_tls(certificate, key) as (url, read), opened(way, url) as ses:
        answer = call(ses, MAIL, fresh)

    assert answer.verdict == "hold_all", answer
    assert not read


@contextmanager
def serving(server: HTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def breaking_tls(certificate: Path, key: Path) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a server that reads one request over TLS and then writes what is no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    read: list[bytes] = []

    def serve() -> None:
        with listening.accept()[0] as raw:
            raw.settimeout(10)
            try:
                with context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=True) as tls:
                    found = b""
                    while not whole(found):
                        found += tls.recv(65_536) or b"\r\n\r\n"
                    read.append(found)
                    with socket.socket(fileno=tls.detach()) as bare:
                        bare.sendall(b"no TLS at all, whatever it was")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://localhost:{listening.getsockname()[1]}", read
        thread.join()


def whole(request: bytes) -> bool:
    """Whether head and body are there."""
    head, end, body = request.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.splitlines()
        if line.lower().startswith(b"content-length:")
    ]
    return bool(end) and len(body) >= sum(lengths)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Certificate and key for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_path, key_path
