"""Questions to the services over HTTP: the one place of the console that makes requests.

Every service answers read-only questions at its admin port. A service that does not answer is an
error with what to do about it; what an answer means is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.errors import DoorstepError, Misconfigured, RetryLater
from shared.settings import Settings

Service = Literal["segmenter", "renderer", "sender", "tracker"]
SERVICES: Final[tuple[Service, ...]] = ("segmenter", "renderer", "sender", "tracker")

HOST: Final = "127.0.0.1"
PATIENCE_SECONDS: Final = 60.0
GLANCE_SECONDS: Final = 2.0

Health = Literal["ready", "starting", "stuck", "down"]


class NotRunning(RetryLater):
    """Nobody answers at the service's port."""


class WrongAnswer(DoorstepError):
    """The service answered with an error of its own, or with what is no answer."""


@dataclass(frozen=True, slots=True)
class Glance:
    """How a service is: its health, and its metrics (sums over labels) when it answers."""

    service: Service
    url: str
    health: Health
    metrics: Mapping[str, float]


class Services:
    """Asks the services of one home. `transport` replaces the last hop."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._client = httpx.Client(transport=transport, trust_env=False, timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def url(self, service: Service) -> str:
        """Where the service answers."""
        section = getattr(self._settings, service)
        host = self._settings.ask_hosts.get(service, HOST)
        return f"http://{host}:{section.port}"

    def get(self, service: Service, path: str, **query: str) -> dict[str, Any]:
        """The answer to a question. Raises NotRunning, WrongAnswer, Misconfigured."""
        return self._ask(service, "GET", path, params=query)

    def post(self, service: Service, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question that is too long for an address."""
        return self._ask(service, "POST", path, json=question)

    def answers(self, service: Service) -> bool:
        """Whether the service is there at all."""
        return self.glance(service).health != "down"

    def ready(self, service: Service) -> bool:
        """Whether the service says that it is ready. Never raises."""
        try:
            url = f"{self.url(service)}/readyz"
            return self._client.get(url, timeout=GLANCE_SECONDS).status_code == 200
        except httpx.HTTPError:
            return False

    def glance(self, service: Service) -> Glance:
        """How the service is. Never raises."""
        url = self.url(service)
        try:
            ready = self._client.get(f"{url}/readyz", timeout=GLANCE_SECONDS).status_code
            healthy = self._client.get(f"{url}/healthz", timeout=GLANCE_SECONDS).status_code
            text = self._client.get(f"{url}/metrics", timeout=GLANCE_SECONDS).text
        except httpx.ConnectError:
            return Glance(service, url, "down", {})
        except httpx.HTTPError:
            return Glance(service, url, "stuck", {})
        health: Health = "stuck" if healthy != 200 else "ready" if ready == 200 else "starting"
        return Glance(service, url, health, read_metrics(text))

    def _ask(self, service: Service, method: str, path: str, **content: Any) -> dict[str, Any]:
        url = self.url(service) + path
        try:
            response = self._client.request(method, url, **content)
        except httpx.ConnectError as error:
            raise NotRunning(
                f"the {service} does not answer at {self.url(service)}: "
                "start the services with `doorstep up`"
            ) from error
        except httpx.TimeoutException as error:
            raise NotRunning(
                f"the {service} did not answer {path} within {PATIENCE_SECONDS:.0f} s: "
                "see how it is with `doorstep status`"
            ) from error
        except httpx.HTTPError as error:
            raise NotRunning(
                f"the {service} broke off while answering {path} ({type(error).__name__}): "
                "see how it is with `doorstep status`"
            ) from error
        return _read(service, path, response)


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """`items` in parts of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def read_metrics(text: str) -> dict[str, float]:
    """Metric name to the sum over its labels. What cannot be read is left out."""
    found: dict[str, float] = {}
    try:
        for name, value in _samples(text):
            found[name] = found.get(name, 0.0) + value
    except ValueError:
        return found
    return found


def _samples(text: str) -> Iterable[tuple[str, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                yield sample.name, sample.value


def _read(service: Service, path: str, response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if isinstance(answer, dict) and response.status_code == 200:
        return answer
    said = answer.get("error") if isinstance(answer, dict) else None
    if response.status_code == 503:
        raise NotRunning(f"the {service} is not ready yet: {said or 'try again in a moment'}")
    if 400 <= response.status_code < 500 and said:
        raise Misconfigured(f"the {service} cannot answer that: {said}")
    if response.status_code == 404:
        raise WrongAnswer(
            f"the {service} at {response.url.copy_with(path='/')} does not know {path}: "
            "it is of another release, or another program has its port"
        )
    raise WrongAnswer(
        f"the {service} answered {path} with status {response.status_code}: "
        f"{said or 'why is in logs/' + service + '.log of the home'}"
    )
