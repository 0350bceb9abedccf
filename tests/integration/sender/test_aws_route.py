"""Where SES is and as whom we ask: botocore decides, also for the connections of our own."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.sender.aws_route import KeyRing, NoKeys, OnlyBoto3, Route, find_route
from services.sender.gateway_choice import open_gateway
from services.sender.lean_gateway import LeanGateway
from services.sender.ses_gateway import SesGateway
from shared.errors import Misconfigured
from shared.settings import SenderSettings
from tests.integration.sender.processes import until


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy",
                 "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_PROFILE",
                 "AWS_SESSION_TOKEN"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def plain(endpoint: str = "", region: str = "eu-west-2") -> SesGateway:
    return SesGateway(
        region=region, endpoint=endpoint, connections=1, connect_timeout_seconds=1,
        read_timeout_seconds=1,
    )  # fmt: skip


def route(endpoint: str = "", region: str = "eu-west-2") -> Route:
    gateway = plain(endpoint, region)
    try:
        return find_route(gateway.client, gateway.session)
    finally:
        gateway.close()


def test_amazons_own_endpoint_of_the_region_over_verified_tls() -> None:
    found = route()

    assert (found.host, found.port) == ("email.eu-west-2.amazonaws.com", 443)
    assert found.path == "/v2/email/outbound-emails"
    assert found.scope == ("eu-west-2", "ses")
    assert found.tls is not None
    assert found.tls.check_hostname
    assert found.tls.get_ca_certs()


def test_botocores_rules_of_endpoints_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert route(region="cn-north-1").host == "email.cn-north-1.amazonaws.com.cn"
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert route(region="us-east-1").host == "email-fips.us-east-1.amazonaws.com"
    monkeypatch.delenv("AWS_USE_FIPS_ENDPOINT")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566/ses")
    found = route()
    assert (found.authority, found.tls) == ("localhost:4566", None)
    assert found.path == "/ses/v2/email/outbound-emails"
    assert route("http://127.0.0.1:9").authority == "127.0.0.1:9", "our own setting is stronger"


def test_certificates_that_cannot_be_read_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(Misconfigured, match=r"nowhere\.pem"):
        route()


def test_behind_a_proxy_it_is_boto3_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    with pytest.raises(OnlyBoto3, match="proxy"):
        route()

    made = open_gateway(SenderSettings(window=1))
    made.close()

    assert isinstance(made, SesGateway)
    monkeypatch.setenv("NO_PROXY", "email.eu-west-2.amazonaws.com")
    made = open_gateway(SenderSettings(window=1))
    made.close()
    assert isinstance(made, LeanGateway)


def test_temporary_credentials_are_asked_for_again_as_they_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a provider that hands out new ones for a short time, as roles do."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    asked, program = tmp_path / "asked", tmp_path / "provider.py"
    program.write_text(
        "import json, pathlib\n"
        f"asked = pathlib.Path({str(asked)!r})\n"
        "number = int(asked.read_text()) + 1 if asked.exists() else 1\n"
        "asked.write_text(str(number))\n"
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': f'AKID{{number}}',"
        f" 'SecretAccessKey': 's', 'SessionToken': f'token{{number}}',"
        f" 'Expiration': {json.dumps(soon)}}}))"
    )
    (tmp_path / "config").write_text(
        f"[default]\ncredential_process = {sys.executable} {program}\n"
    )
    ring = KeyRing(plain().session)
    first = ring.now()

    until(lambda: ring.now().access_key != first.access_key, "new credentials")

    ring.close()
    assert ring.now().token.removeprefix("token") == ring.now().access_key.removeprefix("AKID")


def test_without_credentials_it_says_so_until_there_are_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ring = KeyRing(plain().session)
    with pytest.raises(NoKeys, match="no AWS credentials"):
        ring.now()

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLATER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")

    def there() -> bool:
        try:
            return ring.now().access_key == "AKIDLATER"
        except NoKeys:
            return False

    until(there, "the credentials")
    ring.close()
