"""The small tree of errors every service shares, and the exit code each one means.

Adapters translate foreign exceptions into these at once (`raise ... from error`). The text of an
error says what was wrong, where, and what to do.
"""

from __future__ import annotations


class DoorstepError(Exception):
    """Everything Doorstep raises on purpose."""

    exit_code = 1


class Misconfigured(DoorstepError):
    """A setting, a file or an environment is wrong: a person must change it. Never retried."""

    exit_code = 64


class NeverRetry(DoorstepError):
    """This record can never be handled as it is: it goes to the dead letters."""

    exit_code = 65


class RetryLater(DoorstepError):
    """Not now: the same work may succeed after `after_seconds`."""

    exit_code = 75

    def __init__(self, message: str, after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class CommitUnknown(RetryLater):
    """Nobody knows whether it was committed: read what is true before repeating anything."""

    def __init__(self, message: str, after_seconds: float = 0.2) -> None:
        super().__init__(message, after_seconds)


class StoreUnavailable(CommitUnknown):
    """The store cannot be reached, or was lost on the way: nothing of ours can be done for now."""


class Conflict(RetryLater):
    """A unique index refused a row: nothing of the transaction, or of its part, was written.

    Another instance may have been first. What it wrote can be seen now, so that a second try goes
    another way; what is refused again and again never goes in.
    """

    def __init__(self, message: str, after_seconds: float = 0.1) -> None:
        super().__init__(message, after_seconds)


class Fenced(DoorstepError):
    """Another instance owns this partition now: drop what was not committed and go on."""

    exit_code = 76


class PositionOutsideLog(DoorstepError):
    """The saved position is not in the log any more (or not yet). Skipping is never silent."""

    exit_code = 77


class WrongStore(DoorstepError):
    """The store and the log do not belong together: a wrong, old or restored store."""

    exit_code = 78


class BudgetPassed(DoorstepError):
    """More dead letters than the budget allows: something is wrong beyond single records."""

    exit_code = 79


class StorageFailed(DoorstepError):
    """The disk is full or broken: nothing was written, nothing is lost; it goes on after a person
    has made room.
    """

    exit_code = 82


class StoreRefuses(DoorstepError):
    """The store refuses a row for good, and no record is to blame: a fault of this program."""

    exit_code = 83


class NewerVersion(DoorstepError):
    """A record of a newer schema than this reader knows: upgrade the readers first."""

    exit_code = 80


class LoopStuck(DoorstepError):
    """The loop did not turn for too long; the watchdog ends the process so that it restarts."""

    exit_code = 81
