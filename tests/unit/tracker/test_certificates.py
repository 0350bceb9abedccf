"""Getting certificates and confirming subscriptions: the whole client, its last hop replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from services.tracker import certificates
from services.tracker.certificates import Certificates, Unreachable
from services.tracker.sns import Untrusted
from tests.unit.tracker.sns_signing import CERTIFICATE_NAME, CERTIFICATE_URL, SUBSCRIBE_URL

Answer = Callable[[httpx.Request], httpx.Response]


class Sns:
    """Stands for SNS at the far end of the wire; remembers who asked for what."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[str] = []
        self._answer = answer

    def transport(self) -> httpx.MockTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            self.asked.append(str(request.url))
            return self._answer(request)

        return httpx.MockTransport(handle)


def get(found: Certificates, url: str = CERTIFICATE_URL) -> bytes:
    return asyncio.run(found.get(url, CERTIFICATE_NAME))


def test_a_pinned_certificate_is_taken_without_asking_anybody(tmp_path: Path) -> None:
    (tmp_path / CERTIFICATE_NAME).write_bytes(b"pinned")
    sns = Sns(lambda _: httpx.Response(500))
    assert get(Certificates(tmp_path, sns.transport())) == b"pinned"
    assert sns.asked == []


def test_one_that_is_not_pinned_is_fetched_once(tmp_path: Path) -> None:
    sns = Sns(lambda _: httpx.Response(200, content=b"fetched"))
    found = Certificates(tmp_path, sns.transport())
    assert get(found) == b"fetched"
    assert get(found) == b"fetched"
    assert sns.asked == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(302, headers={"Location": "https://evil.example/"}), Unreachable),
        (httpx.Response(500), Unreachable),
        (httpx.Response(200, content=b"x" * 100_000), Unreachable),
        (httpx.Response(404), Untrusted),
    ],
)
def test_a_redirect_an_error_or_a_flood_is_no_certificate(
    answer: httpx.Response, error: type[Exception]
) -> None:
    sns = Sns(lambda _: answer)
    found = Certificates(None, sns.transport())
    with pytest.raises(error):
        get(found)
    assert sns.asked == [CERTIFICATE_URL]
    with pytest.raises(Unreachable, match="a moment ago"):
        get(found)
    assert sns.asked == [CERTIFICATE_URL]


def test_without_a_network_it_fails_and_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "FETCH_SECONDS", 0.05)

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError("nobody answers")

    found = Certificates(None, Silent())
    with pytest.raises(Unreachable):
        get(found)
    with pytest.raises(Unreachable):
        asyncio.run(found.confirm(SUBSCRIBE_URL))


def test_strangers_with_many_addresses_are_turned_away() -> None:
    release = asyncio.Event()

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await release.wait()
            return httpx.Response(200, content=b"x")

    async def flood() -> list[bytes | BaseException]:
        found = Certificates(None, Slow())
        asked = [
            asyncio.ensure_future(found.get(f"{CERTIFICATE_URL}{n}", CERTIFICATE_NAME))
            for n in range(certificates.MOST_WAITING + 5)
        ]
        await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        release.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(flood())
    assert answers.count(b"x") == certificates.MOST_WAITING
    assert sum(isinstance(answer, Unreachable) for answer in answers) == 5


def test_a_subscription_is_confirmed_by_visiting_its_address() -> None:
    sns = Sns(lambda _: httpx.Response(200, content=b"<ConfirmSubscriptionResponse/>"))
    asyncio.run(Certificates(None, sns.transport()).confirm(SUBSCRIBE_URL))
    assert sns.asked == [SUBSCRIBE_URL]
