"""Our signatures are those of botocore, whatever is signed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.sender.signature import Keys, Scope, signed_headers

PATH = "/v2/email/outbound-emails"
words = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789+/=-", min_size=1, max_size=60)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    keys=st.builds(Keys, words, words, st.one_of(st.just(""), words)),
    region=st.sampled_from(["eu-west-2", "us-gov-west-1"]),
    host=st.sampled_from(["email.eu-west-2.amazonaws.com", "127.0.0.1:8025"]),
    body=st.binary(max_size=2_000),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_the_signature_is_botocores(
    monkeypatch: pytest.MonkeyPatch, keys: Keys, region: str, host: str, body: bytes, at: datetime
) -> None:
    monkeypatch.setattr(auth, "get_current_datetime", lambda *_: at)
    request: Any = AWSRequest(
        "POST", f"https://{host}{PATH}", {"Content-Type": "application/json"}, data=body
    )
    credentials = ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.token or None)
    auth.SigV4Auth(credentials, "ses", region).add_auth(request)

    ours = dict(signed_headers(keys, Scope(region, "ses"), host, PATH, body, at))

    theirs = {name.lower(): value for name, value in request.headers.items()}
    assert ours.pop("host") == host
    assert ours == theirs
