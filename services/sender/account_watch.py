"""Watching the account: SES is asked now and then, once for all senders on one ledger.

Whoever finds that it is time claims the question in the ledger, so that SES gets one request
however many senders there are; the others read what it said. Nothing waits for it but the first
mail, until SES was asked once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, get_args

from services.sender import account
from services.sender.account import MEANING, Account, Limits, Stop
from services.sender.account_rows import NOTHING, claim, read_account, write_account
from shared.clock import Clock, to_ms
from shared.errors import RetryLater
from shared.observability.logs import Journal
from shared.observability.metrics import Metrics
from shared.store.port import Store, Unit

LOOK_SECONDS: Final = 1.0
"""How often the ledger is read for what another sender was told."""
OLD_SECONDS: Final = 300.0
"""What is older forbids nothing: SES itself may refuse then."""


class AccountWatch:
    """Owns a thread. `rate`, `held` and `wake` may be called by others.

    What ends the thread is raised by `held`.
    """

    def __init__(
        self,
        store: Store[Unit],
        ask: Callable[[], Account],
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
        otherwise: Callable[[], None] = lambda: None,
    ) -> None:
        """`store`: a sibling for this thread. `ask` raises RetryLater when SES does not say.

        `otherwise`: another question to SES, while this one is not due.
        """
        self._otherwise = otherwise
        self._store, self._ask, self._limits = store, ask, limits
        self._clock, self._metrics = clock, metrics
        self._journal = Journal("sender.account")
        self._known, self._asked_once = NOTHING, False
        self._stopped: Stop | None = None
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._in_question = True  # whatever another knew before we started
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="account", daemon=True)
        self._tell()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()
        self._thread.join(timeout=5)

    def rate(self) -> float:
        """Messages a second that all senders together may send now."""
        return account.ceiling(self._known.account, self._limits)

    def held(self) -> bool:
        """Whether no call may start: the account cannot send, or nobody has asked yet."""
        if self._failure is not None:
            raise self._failure
        return not self._asked_once or self._stopped is not None

    def wake(self) -> None:
        """SES refuses everything: ask it now what is wrong."""
        self._in_question = True
        self._woken.set()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._woken.clear()
                try:
                    if not self.look():
                        self._otherwise()
                except RetryLater as error:
                    self._journal.warning("sender.account_unknown", reason=str(error))
                self._asked_once = True
                self._woken.wait(LOOK_SECONDS)
        except BaseException as error:  # noqa: BLE001 - the dispatcher must hear of it
            self._failure = error

    def look(self) -> bool:
        """Read what is known; ask SES when it is time and nobody else does: whether we did.

        Raises RetryLater.
        """
        self._known = read_account(self._store.connection)
        self._decide()
        now_ms = to_ms(self._clock.now())
        wait = account.ask_again_seconds(self._known.account, self._limits)
        if self._in_question:
            wait = account.SOONEST_SECONDS
        before_ms = now_ms - int(wait * 1000)
        if self._known.asked_ms > before_ms:
            return False
        with self._store.unit() as unit:
            mine = claim(unit.connection, now_ms, before_ms)
        if not mine:
            return False
        self._in_question = False
        said = self._ask()
        with self._store.unit() as unit:
            write_account(unit.connection, said, to_ms(self._clock.now()))
        self._known = read_account(self._store.connection)
        self._decide()
        return True

    def _decide(self) -> None:
        age_ms = to_ms(self._clock.now()) - self._known.known_ms
        fresh = age_ms <= 1000 * max(OLD_SECONDS, 3 * self._limits.ask_seconds)
        stopped = account.stop(self._known.account, self._limits) if fresh else None
        if stopped is not None and stopped != self._stopped:
            self._journal.error("sender.account_holds_all", reason=MEANING[stopped])
        elif stopped is None and self._stopped is not None:
            self._journal.info("sender.account_goes_on")
        self._stopped = stopped
        self._tell()

    def _tell(self) -> None:
        for reason in get_args(Stop):
            self._metrics.account_held.labels(reason).set(reason == self._stopped)
        self._metrics.rate_ceiling.set(self.rate())
        if self._known.account is not None:
            self._metrics.quota_left.set(account.quota_left(self._known.account, self._limits))
