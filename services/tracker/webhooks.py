"""Who is told of events: one loop for each webhook of the programme, started, changed and ended
with it.

Each is a consumer group of its own, so its position is durable, several trackers share its work,
and one that cannot be reached holds up no other. A new webhook begins with what happens from then
on. Nothing that goes wrong here ends the tracker.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Final

from services.tracker.connecting import WaitForLog
from services.tracker.programme import Programme
from services.tracker.telling import Telling, has_no_use_for
from shared.clock import Clock
from shared.log.port import Log, Member, Membership
from shared.log.record import Position, TopicPartition
from shared.log.topics import EVENTS
from shared.loop.loop import Loop
from shared.loop.work import StatelessWork
from shared.observability.fail_points import FailPoints
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.programme.definitions import Webhook
from shared.settings import LoopSettings

LOOK_SECONDS: Final = 1.0
LOG_SECONDS: Final = 1.0
MOST_RECORDS: Final = 100
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
STOP_SECONDS: Final = 15.0


class FromNowOn(StatelessWork):
    """Stateless work that begins at the end of the topic where its group has never been."""

    def __init__(
        self,
        log: Log,
        group: str,
        member: Member,
        handler: Telling,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        super().__init__(group, member, handler, clock, fail_points, metrics)
        self._log = log
        self._begun: dict[TopicPartition, int] = {}

    def assigned(self, partitions: frozenset[int]) -> None:
        """Go to the end where nothing is known."""
        places = [TopicPartition(EVENTS, number) for number in sorted(partitions)]
        known = self._member.committed(places)
        ends = self._log.end_offsets(EVENTS)
        for place in places:
            if place not in known:
                self._begun[place] = ends.get(place.partition, 0)
                self._member.seek(place, self._begun[place])

    def released(self, partitions: frozenset[int], membership: Membership | None) -> None:
        self._begun = {p: at for p, at in self._begun.items() if p.partition not in partitions}
        super().released(partitions, membership)

    def rewind(self, partition: int) -> None:
        """Read again from what is saved, or from where it began."""
        place = TopicPartition(EVENTS, partition)
        if place in self._begun:
            self._member.seek(place, self._begun[place])
        else:
            self._member.rewind([place])

    def turn(self, membership: Membership) -> None:
        """Save where it began, so that nothing is missed if it ends before its first event."""
        if self._begun:
            saved = self._member.committed(list(self._begun))
            fresh = {p: Position(at) for p, at in self._begun.items() if p not in saved}
            self._member.commit(membership, [], fresh)
            self._begun.clear()
        super().turn(membership)


class Webhooks:
    """Follows the programme: a teller for each webhook it names and has a key for."""

    def __init__(
        self,
        wait_for_log: WaitForLog,
        programme: Programme,
        keys: Mapping[str, bytes],
        settings: LoopSettings,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        """`keys`: name of a webhook to what signs what it is told."""
        self._wait_for_log, self._programme, self._keys = wait_for_log, programme, keys
        # Retried for ever: a webhook that is away for a week is told of the week.
        self._settings = settings.model_copy(
            update={"retry_seconds": float("inf"), "max_records": MOST_RECORDS}
        )
        self._clock, self._fail_points, self._metrics = clock, fail_points, metrics
        self._tellers: dict[str, _Teller] = {}
        self._keyless: set[str] = set()
        self._stopping = threading.Event()
        self._journal = Journal("tracker.webhooks")
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all of them; one that waits for brokers is left to end with the process."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            wanted = {webhook.name: webhook for webhook in self._programme.webhooks()}
            self._tell_keyless(wanted)
            for name in [n for n, t in self._tellers.items() if wanted.get(n) != t.webhook]:
                self._tellers.pop(name).stop()
            for name, webhook in wanted.items():
                if name in self._keys and name not in self._tellers:
                    self._tellers[name] = self._begin(webhook)
        for teller in self._tellers.values():
            teller.stop()

    def _begin(self, webhook: Webhook) -> _Teller:
        teller = _Teller(
            webhook, self._keys[webhook.name], self._wait_for_log, self._settings, self._clock,
            self._fail_points, self._metrics,
        )  # fmt: skip
        teller.start()
        return teller

    def _tell_keyless(self, wanted: Mapping[str, Webhook]) -> None:
        for name in wanted.keys() - self._keys.keys() - self._keyless:
            self._journal.error(
                "tracker.webhook_without_secret", webhook=name,
                reason="it is told of nothing: set DOORSTEP_WEBHOOK_SECRETS",
            )  # fmt: skip
        self._keyless = set(wanted.keys() - self._keys.keys())


class _Teller:
    """One webhook's loop, begun again when it breaks."""

    def __init__(
        self,
        webhook: Webhook,
        key: bytes,
        wait_for_log: WaitForLog,
        settings: LoopSettings,
        clock: Clock,
        fail_points: FailPoints,
        metrics: Metrics,
    ) -> None:
        self.webhook, self._key = webhook, key
        self._wait_for_log, self._settings = wait_for_log, settings
        self._clock, self._fail_points, self._metrics = clock, fail_points, metrics
        self._behind = metrics.webhook_behind.labels(webhook.name)
        self._stopping = threading.Event()
        self._loop: Loop | None = None
        self._journal = Journal("tracker.webhooks")
        self._thread = threading.Thread(
            target=self._run, name=f"webhook-{webhook.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._loop is not None:
            self._loop.stop()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                log = self._wait_for_log(LOG_SECONDS)
                if log is not None:
                    self._tell(log)
            except Exception as error:  # noqa: BLE001 - no webhook ends the tracker
                self._journal.failure("tracker.webhook_broke", error)
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _tell(self, log: Log) -> None:
        """Until told to stop."""
        group = f"webhook-{self.webhook.name}"
        # The loop's own figures would be taken for the tracker's: it has none.
        own = Metrics("tracker")
        handler = Telling(self.webhook, self._key, self._clock, self._metrics)
        member = log.join(group, (EVENTS,), lease_seconds=self._settings.lease_seconds)
        work = FromNowOn(log, group, member, handler, self._clock, self._fail_points, own)

        def look() -> None:
            self._behind.set(sum(member.lag().values()))

        self._loop = Loop(
            group, (EVENTS,), member, work, self._settings, self._clock, own,
            before_turn=look, ignored=partial(has_no_use_for, self.webhook), rewind=work.rewind,
        )  # fmt: skip
        try:
            if not self._stopping.is_set():
                self._loop.run()
            else:
                member.close()
        finally:
            handler.close()
