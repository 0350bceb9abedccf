"""Rules, boards and the runbook speak of what is there, and of the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.metric_names import (
    BOARDS,
    FROM_PROMETHEUS,
    OUR_OWN,
    ROOT,
    alerts,
    exported,
    named,
    rules,
)

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOK = ROOT / "docs" / "how-to" / "runbook.md"
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
KNOWN = set(exported()) | FROM_PROMETHEUS | RECORDED
FILES = sorted(BOARDS.glob("*.json"))


def board(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels(path: Path, *, with_data: bool = True) -> list[dict[str, Any]]:
    return [
        panel for panel in board(path)["panels"]
        if not (with_data and panel["type"] in {"row", "text"})
    ]  # fmt: skip


def expressions() -> dict[str, str]:
    """Where it stands to the expression."""
    found = {rule.get("alert") or rule["record"]: str(rule["expr"]) for rule in rules()}
    for path in FILES:
        for panel in panels(path):
            for target in panel["targets"]:
                found[f"{path.name}/{panel['title']}/{target['refId']}"] = target["expr"]
    return found


def test_names_are_read_out_of_promql() -> None:
    expression = 'sum by (le, job) (rate(doorstep_x_bucket{kind="up", a=~"b.*"}[5m])) / up > 1e9'
    assert named(expression) == {"doorstep_x_bucket", "up"}


def test_every_kind_of_metric_is_known_by_its_samples() -> None:
    assert {
        "doorstep_outcomes_total",
        "doorstep_ready_messages",
        "doorstep_ses_call_seconds_bucket",
    } <= set(exported())
    assert "doorstep_outcomes" not in exported()


@pytest.mark.parametrize(("place", "expression"), expressions().items())
def test_no_rule_and_no_board_names_a_metric_that_no_service_exports(
    place: str, expression: str
) -> None:
    assert named(expression), place
    assert named(expression) <= KNOWN, f"{place} names {named(expression) - KNOWN}"


@pytest.mark.parametrize(("place", "expression"), expressions().items())
def test_the_least_of_a_metric_is_asked_of_the_service_that_sets_it(
    place: str, expression: str
) -> None:
    # every service shows every metric, as 0 where it means nothing
    for least in re.findall(r"\bmin\((?:\w+\()?doorstep_\w+[^)]*", expression):
        assert 'service="' in least, place


def test_every_metric_that_is_watched_is_set_by_some_service() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "metrics.py"
    )
    by_metrics_itself = {"disk_free", "disk_size", "started", "loop_seconds"}
    watched = {name for expression in expressions().values() for name in named(expression)}
    for name in watched & set(exported()):
        attribute = exported()[name]
        assert attribute in by_metrics_itself or f"metrics.{attribute}" in source, name


def test_tests_of_rules_feed_metrics_that_are_there() -> None:
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        found = set(OUR_OWN.findall(path.read_text(encoding="utf-8")))
        assert found <= KNOWN, f"{path.name} feeds {found - KNOWN}"


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ROOT / page == RUNBOOK
    headings = re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
    assert anchor in anchors


@pytest.mark.parametrize("name", alerts())
def test_the_runbook_says_of_an_alert_what_it_means_what_to_look_at_and_what_to_do(
    name: str,
) -> None:
    anchor = alerts()[name]["annotations"]["runbook"].partition("#")[2]
    sections = RUNBOOK.read_text(encoding="utf-8").split("\n## ")
    (section,) = [one for one in sections if one.partition("\n")[0].lower() == anchor]
    for heading in ("**It means**", "**Look at**", "**Do**"):
        assert heading in section
    assert f"`{name}`" in section


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestBoards:
    def test_it_is_a_board_that_grafana_takes_from_a_file(self, path: Path) -> None:
        found = board(path)
        assert found["schemaVersion"] >= 39
        assert re.fullmatch(r"[a-z-]{1,40}", found["uid"])
        assert found["title"]
        assert "id" not in found, "Grafana gives it one"

    def test_every_panel_has_targets_a_unit_and_a_place(self, path: Path) -> None:
        for panel in panels(path):
            assert panel["targets"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["title"]
        ids = [panel["id"] for panel in panels(path, with_data=False)]
        assert len(set(ids)) == len(ids)

    def test_no_panel_lies_over_another(self, path: Path) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in panels(path, with_data=False):
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert place["x"] + place["w"] <= 24
            assert not cells & taken, panel["title"]
            taken |= cells

    def test_every_target_asks_a_source_that_is_provisioned(self, path: Path) -> None:
        sources = yaml.safe_load(
            (PROVISIONING / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
        )["datasources"]
        uids = {source["uid"] for source in sources}
        for panel in panels(path):
            assert panel["datasource"]["uid"] in uids
            assert {target["datasource"]["uid"] for target in panel["targets"]} <= uids
            references = [target["refId"] for target in panel["targets"]]
            assert len(set(references)) == len(references)


def test_boards_are_provisioned_from_the_folder_that_compose_mounts() -> None:
    provider = yaml.safe_load(
        (PROVISIONING / "dashboards" / "doorstep.yml").read_text(encoding="utf-8")
    )["providers"][0]
    compose = yaml.safe_load(
        (ROOT / "deploy" / "compose" / "compose.yaml").read_text(encoding="utf-8")
    )
    mounts = compose["services"]["grafana"]["volumes"]
    assert f"../grafana/boards:{provider['options']['path']}:ro" in mounts
