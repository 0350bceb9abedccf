"""Questions to the services over HTTP: the one place of the console that makes requests of them.

Every service answers read-only questions at its admin port. A service that does not answer is an
error with what to do about it; what an answer means is decided elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.console.instances import Instance, Service, find_instances
from services.console.merging import ADD_UP, covered, merged
from shared.errors import DoorstepError, Misconfigured, RetryLater
from shared.settings import Settings

PATIENCE_SECONDS: Final = 60.0
GLANCE_SECONDS: Final = 2.0
ATTEMPTS: Final = 4
SETTLING_SECONDS: Final = 0.5
"""How often, and how long after each other, a question is put while partitions move."""

Health = Literal["ready", "starting", "stuck", "down"]


class NotRunning(RetryLater):
    """Nobody answers at the service's port."""


class NotYet(NotRunning):
    """The service cannot answer this yet: it has not read far enough, or not its store."""


class NotTheirs(NotRunning):
    """The instance does not own whom the question is about."""


class WrongAnswer(DoorstepError):
    """The service answered with an error of its own, or with what is no answer."""


@dataclass(frozen=True, slots=True)
class Glance:
    """How an instance is: its health, and its metrics (sums over labels) when it answers."""

    instance: Instance
    health: Health
    metrics: Mapping[str, float]


class Gap(RetryLater):
    """Nobody speaks for some partitions, or two do, and the answer must be whole."""


class Services:
    """Asks the services of one home. `transport` replaces the last hop.

    `on_gap` hears a sentence when an answer is not about everybody.
    """

    def __init__(
        self,
        settings: Settings,
        transport: httpx.BaseTransport | None = None,
        on_gap: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings, self._on_gap = settings, on_gap
        self._client = httpx.Client(transport=transport, trust_env=False, timeout=PATIENCE_SECONDS)
        self._said: set[str] = set()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def instances(self, service: Service) -> list[Instance]:
        """Where the service answers."""
        return find_instances(self._settings, service)

    def get(
        self, service: Service, path: str, *, whole: bool = False, **query: str
    ) -> dict[str, Any]:
        """The answer to a question. Raises NotRunning, WrongAnswer, Misconfigured.

        What the segmenter's instances say is put together, with `missing_partitions`: those that
        nobody spoke for. `whole`: such an answer will not do; raises Gap.
        """
        return self._put_together(service, "GET", path, whole, params=query)

    def post(
        self, service: Service, path: str, question: Mapping[str, Any], *, whole: bool = False
    ) -> dict[str, Any]:
        """The answer to a question that is too long for an address."""
        return self._put_together(service, "POST", path, whole, json=question)

    def answers(self, service: Service) -> bool:
        """Whether the service is there at all."""
        return any(self.glance(each).health != "down" for each in self.instances(service))

    def ready(self, service: Service) -> bool:
        """Whether all its instances say that they are ready. Never raises."""
        return all(self.is_ready(each) for each in self.instances(service))

    def is_ready(self, instance: Instance) -> bool:
        """Whether one instance says that it is ready. Never raises."""
        try:
            url = f"{instance.url}/readyz"
            return self._client.get(url, timeout=GLANCE_SECONDS).status_code == 200
        except httpx.HTTPError:
            return False

    def glance(self, instance: Instance) -> Glance:
        """How an instance is. Never raises."""
        url = instance.url
        try:
            ready = self._client.get(f"{url}/readyz", timeout=GLANCE_SECONDS).status_code
            healthy = self._client.get(f"{url}/healthz", timeout=GLANCE_SECONDS).status_code
            text = self._client.get(f"{url}/metrics", timeout=GLANCE_SECONDS).text
        except httpx.ConnectError:
            return Glance(instance, "down", {})
        except httpx.HTTPError:
            return Glance(instance, "stuck", {})
        health: Health = "stuck" if healthy != 200 else "ready" if ready == 200 else "starting"
        return Glance(instance, health, read_metrics(text))

    def _put_together(
        self, service: Service, method: str, path: str, whole: bool, **content: Any
    ) -> dict[str, Any]:
        instances = self.instances(service)
        if service != "segmenter" or path not in ADD_UP:
            # One person's answer is with one instance; a ledger is shared, any of them will do.
            return self._first_answer(instances, method, path, content)
        for left in reversed(range(ATTEMPTS)):
            answers, silent = self._all_answers(instances, method, path, content)
            there, missing, twice = covered(answers, self._settings.partitions)
            if not (missing or twice) or (silent and not whole) or not left:
                break
            time.sleep(SETTLING_SECONDS)  # partitions are on their way from one to another
        if missing or twice:
            self._tell_gap(_gap(service, missing, twice, silent), whole=whole)
        found = merged(path, answers)
        if "partitions" in answers[0]:
            found |= {"partitions": there, "missing_partitions": missing}
        return found

    def _all_answers(
        self, instances: Sequence[Instance], method: str, path: str, content: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], list[NotRunning]]:
        """Who answers, and why the others do not. Raises NotRunning when nobody answers."""
        answers, silent = [], []
        for instance in instances:
            try:
                answers.append(self._ask(instance, method, path, **content))
            except NotRunning as error:
                silent.append(error)
        if not answers:
            raise silent[0]
        return answers, silent

    def _first_answer(
        self, instances: Sequence[Instance], method: str, path: str, content: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Of the first that can. Raises what the last one said when none can."""
        for left in reversed(range(ATTEMPTS)):
            failures: list[NotRunning] = []
            for instance in instances:
                try:
                    return self._ask(instance, method, path, **content)
                except NotRunning as error:
                    failures.append(error)
            if not left or not any(isinstance(each, NotTheirs) for each in failures):
                break
            time.sleep(SETTLING_SECONDS)
        told = [each for each in failures if not isinstance(each, NotTheirs)]
        raise (told or failures)[0]

    def _tell_gap(self, sentence: str, *, whole: bool) -> None:
        if whole:
            raise Gap(
                f"{sentence}; this needs all of them: try again when `doorstep status` is well"
            )
        if sentence not in self._said:
            self._said.add(sentence)
            self._on_gap(sentence)

    def _ask(self, instance: Instance, method: str, path: str, **content: Any) -> dict[str, Any]:
        name = instance.name
        try:
            response = self._client.request(method, instance.url + path, **content)
        except httpx.ConnectError as error:
            raise NotRunning(
                f"the {name} does not answer at {instance.url}: "
                "start the services with `doorstep up`"
            ) from error
        except httpx.TimeoutException as error:
            raise NotRunning(
                f"the {name} did not answer {path} within {PATIENCE_SECONDS:.0f} s: "
                "see how it is with `doorstep status`"
            ) from error
        except httpx.HTTPError as error:
            raise NotRunning(
                f"the {name} broke off while answering {path} ({type(error).__name__}): "
                "see how it is with `doorstep status`"
            ) from error
        return _read(name, path, response)


def _gap(
    service: Service, missing: Sequence[int], twice: Sequence[int], silent: Sequence[NotRunning]
) -> str:
    """What is not right about an answer, in a sentence."""
    parts = []
    if missing:
        parts.append(f"no {service} speaks for {_numbers(missing)}: their people are not in this")
    if twice:
        parts.append(f"two {service}s speak for {_numbers(twice)}: their people are in this twice")
    said = "; ".join(parts)
    return f"{said} ({silent[0]})" if silent else f"{said} (partitions are moving)"


def _numbers(partitions: Sequence[int]) -> str:
    word = "partition" if len(partitions) == 1 else "partitions"
    return f"{word} {', '.join(str(each) for each in partitions)}"


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


def _read(name: str, path: str, response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if isinstance(answer, dict) and response.status_code == 200:
        return answer
    said = answer.get("error") if isinstance(answer, dict) else None
    if response.status_code == 503:
        raise NotYet(f"the {name} is not ready yet: {said or 'try again in a moment'}")
    if response.status_code == 421:
        raise NotTheirs(
            f"no instance speaks for this supporter now ({name}: {said}): try again in a moment"
        )
    if 400 <= response.status_code < 500 and said:
        raise Misconfigured(f"the {name} cannot answer that: {said}")
    if response.status_code == 404:
        raise WrongAnswer(
            f"the {name} at {response.url.copy_with(path='/')} does not know {path}: "
            "it is of another release, or another program has its port"
        )
    raise WrongAnswer(
        f"the {name} answered {path} with status {response.status_code}: "
        f"{said or 'why is in logs/' + name + '.log of the home'}"
    )
