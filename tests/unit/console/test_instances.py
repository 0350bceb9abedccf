"""Where instances answer, how many may run, and one answer out of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.console.asking import Glance
from services.console.instances import (
    HOST,
    SERVICES,
    Instance,
    find_instances,
    forget_instances,
    read_hosts,
    write_instances,
)
from services.console.merging import covered, meant, merged
from services.console.status import unowned
from services.console.up import _environment_of, chosen, may_be_several, stop_order
from shared.errors import Misconfigured
from shared.settings import Settings

ONE_EACH = dict.fromkeys(SERVICES, 1)


def places(settings: Settings, service: Any = "sender") -> list[tuple[str, str]]:
    alone = find_instances(settings, service, resolve=lambda host: [host])
    return [(each.name, each.url) for each in alone]


def test_a_service_has_one_instance_at_its_port_unless_somebody_says_otherwise(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path)
    assert places(settings) == [("sender", "http://127.0.0.1:8703")]
    write_instances(
        tmp_path, [Instance("sender", "sender", HOST, 1), Instance("sender", "sender-2", HOST, 2)]
    )
    assert places(settings) == [
        ("sender", "http://127.0.0.1:1"), ("sender-2", "http://127.0.0.1:2"),
    ]  # fmt: skip
    assert places(settings, "tracker") == [("tracker", "http://127.0.0.1:8704")]
    elsewhere = Settings(home=tmp_path, ask_hosts={"sender": "a, b:8713"})
    assert places(elsewhere) == [("sender", "http://a:8703"), ("sender-2", "http://b:8713")]
    forget_instances(tmp_path)
    forget_instances(tmp_path)
    assert places(settings) == [("sender", "http://127.0.0.1:8703")]


def test_a_file_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"sender": 3}', '{"sender": ["x"]}'):
        (tmp_path / "instances.json").write_text(text)
        assert places(Settings(home=tmp_path)) == [("sender", "http://127.0.0.1:8703")]


def test_a_name_with_several_addresses_is_several_instances(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, ask_hosts={"sender": "sender"})
    found = find_instances(settings, "sender", resolve=lambda _: ["10.0.0.1", "10.0.0.2"])
    assert [each.url for each in found] == ["http://10.0.0.1:8703", "http://10.0.0.2:8703"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("a", [("a", 1)]),
        ("a,b:2", [("a", 1), ("b", 2)]),
        ("::1", [("::1", 1)]),
        ("[::1]:2", [("::1", 2)]),
        ("[::1]", [("::1", 1)]),
    ],
)
def test_hosts_are_read(said: str, found: list[tuple[str, int]]) -> None:
    assert read_hosts("sender", said, 1) == found


@pytest.mark.parametrize("said", ["", "a,", "a:b", "a:0", ":1", "a:70000"])
def test_hosts_that_are_none_are_named(said: str) -> None:
    with pytest.raises(Misconfigured, match="of the sender is no host"):
        read_hosts("sender", said, 1)


def test_several_of_what_shares_a_store_need_kafka_and_postgresql() -> None:
    settings = Settings()
    may_be_several(settings, ONE_EACH | {"renderer": 3, "tracker": 2})
    with pytest.raises(
        Misconfigured, match=r"several segmenters and senders .* --kafka and --post"
    ):
        may_be_several(settings, ONE_EACH | {"sender": 3, "segmenter": 2})
    on_kafka = Settings(log="h:1")
    with pytest.raises(Misconfigured, match="give --postgres, too"):
        may_be_several(on_kafka, ONE_EACH | {"sender": 3})
    may_be_several(Settings(log="h:1", postgres=SecretStr("x")), ONE_EACH | {"sender": 3})


def test_every_instance_has_a_port_of_its_own() -> None:
    sections = {name: {"port": port} for name, port in zip(SERVICES, (41, 51, 61, 71), strict=True)}
    settings = Settings(**sections)  # type: ignore[arg-type]  # as the environment says it
    instances = chosen(settings, ONE_EACH | {"segmenter": 3, "sender": 2})
    ports = [each.port for each in instances]
    assert len(set(ports)) == len(ports) == 7
    assert [each.name for each in instances[:3]] == ["segmenter", "segmenter-2", "segmenter-3"]
    assert ports[0] == 41
    assert ports[1] != 51, "the renderer's"


def test_several_trackers_have_a_port_each_beside_the_one_they_share() -> None:
    settings = Settings(tracker={"port": 71})  # type: ignore[arg-type]  # as the environment says it
    trackers = [
        each for each in chosen(settings, ONE_EACH | {"tracker": 3}) if each.service == "tracker"
    ]
    assert [each.name for each in trackers] == ["tracker", "tracker-2", "tracker-3"]
    assert len({71, *(each.port for each in trackers)}) == 4
    said = [_environment_of(each, {"DOORSTEP_TRACKER__PORT": "71"}, settings) for each in trackers]
    assert {one["DOORSTEP_TRACKER__PORT"] for one in said} == {"71"}
    assert [int(one["DOORSTEP_TRACKER__OWN_PORT"]) for one in said] == [t.port for t in trackers]
    (alone,) = [each for each in chosen(settings, ONE_EACH) if each.service == "tracker"]
    only = _environment_of(alone, {}, settings)
    assert only["DOORSTEP_TRACKER__PORT"] == "71"
    assert "DOORSTEP_TRACKER__OWN_PORT" not in only


def test_instances_of_a_service_stop_together_and_trackers_last() -> None:
    instances = [
        Instance(service, f"{service}{more}", HOST, 1)
        for service in SERVICES
        for more in ("", "-2")
    ]  # fmt: skip
    order = stop_order(["ses-sandbox", *(each.name for each in instances)], instances)
    assert order == [
        "segmenter", "segmenter-2", "renderer", "renderer-2", "sender", "sender-2", "ses-sandbox",
        "tracker", "tracker-2",
    ]  # fmt: skip


def test_what_nobody_and_what_two_speak_for_is_known() -> None:
    assert covered([{"partitions": [0, 1]}, {"partitions": [1, 3]}], 4) == ([0, 1, 3], [2], [1])
    assert covered([{}], 3) == ([0, 1, 2], [], [])


def test_counts_add_up() -> None:
    one = {"matching": 3, "mailable": 2, "left_out": {"bounced": 1}, "unplaced": 0}
    other = {"matching": 5, "mailable": 3, "left_out": {"bounced": 1, "erased": 1}, "unplaced": 1}
    assert merged("/ask/count", [one, other]) == {
        "matching": 8, "mailable": 5, "left_out": {"bounced": 2, "erased": 1}, "unplaced": 1,
    }  # fmt: skip
    assert merged("/ask/count", [one | {"partitions": [1]}]) == one


def test_books_add_up_and_the_decision_is_one() -> None:
    decision = {"state": "released", "frozen": 9}
    by = {"frozen": 4, "states": {"accepted": 4}, "opened": 1}
    one = {"frozen": 4, "states": {"accepted": 4}, "decision": None, "by_variant": {"a": by}}
    other = one | {"decision": decision, "by_variant": {"a": by, "b": by}}
    whole = merged("/ask/books", [one, other])
    assert whole == {
        "frozen": 8, "states": {"accepted": 8}, "decision": decision,
        "by_variant": {
            "a": {"frozen": 8, "states": {"accepted": 8}, "opened": 2}, "b": by,
        },
    }  # fmt: skip


def test_a_segment_is_live_where_all_say_so() -> None:
    def said(live: int | None, matching: int) -> dict[str, Any]:
        one = {"name": "s", "segment": "s", "version": "v", "live": live, "matching": matching}
        return {"segments": [one | {"members": live if live is not None else matching}]}

    [whole] = merged("/ask/segments", [said(2, 3), said(4, 5)])["segments"]
    assert (whole["live"], whole["matching"], whole["members"]) == (6, 8, 6)
    [partly] = merged("/ask/segments", [said(2, 3), said(None, 5)])["segments"]
    assert (partly["live"], partly["members"]) == (None, 8)


def test_of_several_who_are_meant_the_external_id_counts_first_then_the_earliest() -> None:
    external = {"supporter_id": "z", "by": "external_id", "since_ms": 9}
    early = {"supporter_id": "y", "by": "address", "since_ms": 1}
    same = {"supporter_id": "x", "by": "address", "since_ms": 1}
    assert meant([None, early, external]) == external
    assert meant([early, None, same]) == same
    assert meant([None, None]) is None
    whole = merged("/ask/known", [{"people": [None, early]}, {"people": [external, None]}])
    assert whole == {"people": [external, early]}


def test_partitions_that_nobody_owns_are_told() -> None:
    def glance(service: Any, name: str, owned: float) -> Glance:
        metrics = {"doorstep_partitions_owned": owned}
        return Glance(Instance(service, name, HOST, 1), "ready", metrics)

    whole = [glance("sender", "sender", 12), glance("sender", "sender-2", 12)]
    assert unowned(whole, 24) == []
    [said] = unowned([*whole[:1], glance("tracker", "tracker", 0)], 24)
    assert said.startswith("the sender owns 12 of 24 partitions")
