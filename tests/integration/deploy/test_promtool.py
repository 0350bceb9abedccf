"""Prometheus' own tool takes our configuration and rules, and the rules pass their tests."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.metric_names import BOARDS, ROOT, RULES, alerts

pytestmark = pytest.mark.real("promtool")
FOLDER = ROOT / "deploy" / "prometheus"


def promtool(*arguments: str) -> None:
    files = [str(path.relative_to(FOLDER)) for path in sorted(FOLDER.glob(arguments[-1]))]
    assert files
    done = subprocess.run(
        ["promtool", *arguments[:-1], *files],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_takes_the_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


def test_it_takes_the_rules() -> None:
    promtool("check", "rules", "rules/*.yml")


def test_the_rules_pass_their_tests() -> None:
    promtool("test", "rules", "tests/*.yml")


def is_about(alert: str, test: dict[str, Any]) -> bool:
    """Whether a test lets this alert fire, or expects all to be silent."""
    text = json.dumps(test)
    return alert in text or '"expr": "ALERTS"' in text


@pytest.mark.parametrize("instead", ["vector(1)", "vector(0) > 1"], ids=["always", "never"])
@pytest.mark.parametrize("name", alerts())
def test_a_rule_that_always_or_never_fires_does_not_pass(
    name: str, instead: str, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules").mkdir()
    (file,) = [path for path in RULES.iterdir() if f"alert: {name}\n" in path.read_text("utf-8")]
    broken = yaml.safe_load(file.read_text(encoding="utf-8"))
    for rule in broken["groups"][0]["rules"]:
        if rule.get("alert") == name:
            rule.pop("for", None)
            rule["expr"] = instead
    (tmp_path / "rules" / file.name).write_text(yaml.safe_dump(broken), encoding="utf-8")
    tests = yaml.safe_load((FOLDER / "tests" / file.name).read_text(encoding="utf-8"))
    tests["tests"] = [one for one in tests["tests"] if is_about(name, one)]
    (tmp_path / "tests" / file.name).write_text(yaml.safe_dump(tests), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", f"tests/{file.name}"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0


def test_it_takes_the_expressions_of_the_boards(tmp_path: Path) -> None:
    expressions = [
        target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h")
        for path in sorted(BOARDS.glob("*.json"))
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel.get("targets", ())
    ]
    rules = [{"record": f"board:{number}", "expr": e} for number, e in enumerate(expressions)]
    file = tmp_path / "boards.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(expressions)} rules found" in done.stdout
