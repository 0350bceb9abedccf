"""One answer out of those of several instances. Pure.

Instances of the segmenter answer for the partitions they own, so their answers add up; what no
instance spoke for is a gap, and what two spoke for at once (while partitions move) counts double.
Both are told with the answer and never hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Answer = Mapping[str, Any]


def covered(answers: Sequence[Answer], of: int) -> tuple[list[int], list[int], list[int]]:
    """Partitions that somebody, nobody, and more than one spoke for.

    An answer that names no partitions is about all of them.
    """
    everything = range(of)
    said = [answer.get("partitions", everything) for answer in answers]
    times = dict.fromkeys(everything, 0)
    for partitions in said:
        for partition in partitions:
            times[partition] = times.get(partition, 0) + 1
    return (
        [partition for partition, count in times.items() if count],
        [partition for partition, count in times.items() if not count],
        [partition for partition, count in times.items() if count > 1],
    )


def merged(path: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """The sum of the answers to `path`, without the partitions. At least one answer."""
    if len(answers) == 1:
        return {name: value for name, value in answers[0].items() if name != "partitions"}
    return _MERGES[path](answers)


def summed(parts: Sequence[Any]) -> Any:
    """Numbers add up, objects by name; of anything else the first that is not null counts."""
    there = [each for each in parts if each is not None]
    if not there:
        return None
    if all(isinstance(each, Mapping) for each in there):
        names = dict.fromkeys(name for each in there for name in each)
        return {name: summed([each.get(name) for each in there]) for name in names}
    if all(isinstance(each, int) and not isinstance(each, bool) for each in there):
        return sum(there)
    return there[0]


def _sum_but_partitions(answers: Sequence[Answer]) -> dict[str, Any]:
    whole: dict[str, Any] = summed(
        [{name: value for name, value in each.items() if name != "partitions"} for each in answers]
    )
    return whole


def _books(answers: Sequence[Answer]) -> dict[str, Any]:
    """Everything adds up but the decision, which is one for all."""
    whole = _sum_but_partitions([{**each, "decision": None} for each in answers])
    decisions = [each.get("decision") for each in answers]
    return {**whole, "decision": next((each for each in decisions if each is not None), None)}


def _segments(answers: Sequence[Answer]) -> dict[str, Any]:
    """A segment is live with as many members as all say, or not at all where one does not say."""
    by_name: dict[str, list[Answer]] = {}
    for answer in answers:
        for one in answer["segments"]:
            by_name.setdefault(one["name"], []).append(one)
    listed = []
    for parts in by_name.values():
        whole = _sum_but_partitions(parts)
        if any(part.get("live") is None for part in parts):
            whole["live"] = None
        if any("unusable" in part for part in parts):
            for name in ("matching", "mailable", "left_out", "unplaced"):
                whole.pop(name, None)
        live = whole.get("live")
        whole["members"] = whole.get("matching") if live is None else live
        listed.append(whole)
    return {"segments": listed}


def _known(answers: Sequence[Answer]) -> dict[str, Any]:
    lists = [answer["people"] for answer in answers]
    return {"people": [meant(list(each)) for each in zip(*lists, strict=True)]}


def meant(found: Sequence[Answer | None]) -> Answer | None:
    """Of several supporters who fit a key: known by their external id before their address, then
    the earliest, then the smaller id.
    """
    there = [each for each in found if each is not None]
    if not there:
        return None
    return min(
        there,
        key=lambda each: (
            each.get("by") != "external_id",
            each.get("since_ms") or 0,
            str(each["supporter_id"]),
        ),
    )


_MERGES: Final[Mapping[str, Callable[[Sequence[Answer]], dict[str, Any]]]] = {
    "/ask/count": _sum_but_partitions,
    "/ask/lacking": _sum_but_partitions,
    "/ask/books": _books,
    "/ask/segments": _segments,
    "/ask/known": _known,
}
ADD_UP: Final = frozenset(_MERGES)
"""Questions that every instance of the segmenter answers for its own part."""
