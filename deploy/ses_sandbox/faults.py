"""Which fault, if any, a request meets. Decides only; the server carries the fault out.

Every fault has a kind and a side: *before* acceptance (no mail comes of the request) or *after*
it (the mail is taken, the answer is not to be trusted). The two look alike to the client, and
telling them apart is what a rehearsal is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from deploy.ses_sandbox.chance import draw

FaultName = Literal[
    "throttle_429",
    "error_500_before",
    "error_500_after",
    "error_503_before",
    "error_503_after",
    "hang_before",
    "hang_after",
    "reset_before",
    "reset_after",
    "close_before",
    "close_after",
]
FaultKind = Literal["throttle_429", "error_500", "error_503", "hang", "reset", "close"]
Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail: `reset` is a TCP RST, `close` an orderly end without an answer."""

    name: FaultName
    kind: FaultKind
    side: Side


FAULTS: Final[Mapping[FaultName, Fault]] = {
    fault.name: fault
    for fault in (
        Fault("throttle_429", "throttle_429", "before"),
        Fault("error_500_before", "error_500", "before"),
        Fault("error_500_after", "error_500", "after"),
        Fault("error_503_before", "error_503", "before"),
        Fault("error_503_after", "error_503", "after"),
        Fault("hang_before", "hang", "before"),
        Fault("hang_after", "hang", "after"),
        Fault("reset_before", "reset", "before"),
        Fault("reset_after", "reset", "after"),
        Fault("close_before", "close", "before"),
        Fault("close_after", "close", "after"),
    )
}


def choose_fault(seed: str, request_number: int, shares: Mapping[FaultName, float]) -> Fault | None:
    """The fault of one request, from a single draw, so that shares add up exactly.

    Shares lie in [0, 1] and sum to 1 at most; the remainder is the share of sound requests.
    """
    if not shares:
        return None
    left = draw(seed, "fault", request_number)
    for name in FAULTS:
        left -= shares.get(name, 0.0)
        if left < 0:
            return FAULTS[name]
    return None
