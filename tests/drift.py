"""Generated reference pages and whether they have drifted from the code.

`python -m tests.drift` fails when one has; `python -m tests.drift --write` writes them anew.
It also fails when a page names a test that is not there, or when no row of delivery.md stands for
a commit point.
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch
from pathlib import Path

from shared.observability.fail_points import COMMIT_POINTS
from shared.observability.metrics import Metrics
from shared.settings import Settings, known_names
from shared.wire.reference import event_table, schemas

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
DELIVERY = ROOT / "docs" / "explanation" / "delivery.md"
UNSHOWN = {"secret", "postgres", "token_keys", "action_keys"}
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)[^`]*`")


def pages() -> dict[str, str]:
    """Path below docs/reference to its content."""
    made = {f"schemas/{name}": content for name, content in schemas().items()}
    made["events.md"] = (
        "# Events\n\nThe topic `events` is a public interface: one record a fact, CloudEvents 1.0 "
        "in Kafka's binary mode, keyed by supporter id. No address is ever inside. Duplicates of a "
        "fact have the same `ce_id`. The value's schema is "
        "[event.v1.json](schemas/event.v1.json).\n\n" + event_table()
    )
    made["settings.md"] = _settings()
    made["metrics.md"] = _metrics()
    made["commit-points.md"] = _commit_points()
    return made


def _settings() -> str:
    defaults = Settings.model_construct()
    rows = []
    for name, sentence in known_names().items():
        parts = name.removeprefix("DOORSTEP_").lower().split("__")
        value: object = defaults
        for part in parts:
            value = getattr(value, part, "")
        if sentence == "a section, as JSON":
            continue
        shown = "" if parts[0] in UNSHOWN else f"`{value}`"
        rows.append(f"| `{name}` | {shown} | {sentence} |")
    return (
        "# Settings\n\nRead once from the environment. An unknown name that begins with "
        "`DOORSTEP_` is an error.\n\n| name | default | meaning |\n|---|---|---|\n"
        + "\n".join(rows) + "\n"
    )  # fmt: skip


def _metrics() -> str:
    families = sorted(Metrics("x").registry.collect(), key=lambda family: family.name)
    rows = [f"| `{f.name}` | {f.type} | {f.documentation} |" for f in families]
    return (
        "# Metrics\n\nEach service shows these on `/metrics`, with the label `service`.\n\n"
        "| name | kind | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _commit_points() -> str:
    rows = [f"| `{point}` | {sentence} |" for point, sentence in COMMIT_POINTS.items()]
    return (
        "# Commit points\n\nThe crash tests end a process at each of these with "
        "`DOORSTEP_FAIL_AT=<point>[:<n>]`.\n\n| point | at that moment |\n|---|---|\n"
        + "\n".join(rows) + "\n"
    )  # fmt: skip


def missing_tests() -> list[str]:
    """Tests that a page names and that are not there."""
    missing = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for file, test in NAMED_TEST.findall(page.read_text(encoding="utf-8")):
            path = ROOT / file
            if not path.is_file() or f"def {test}(" not in path.read_text(encoding="utf-8"):
                missing.append(f"{page.relative_to(ROOT)} names {file}::{test}, which is not there")
    return missing


def points_without_row() -> list[str]:
    """Commit points that no row of delivery.md names, as they are or by a pattern."""
    text = DELIVERY.read_text(encoding="utf-8")
    named = [cell for line in text.splitlines() for cell in re.findall(r"`([a-z_.*]+)`", line[:80])]
    return [
        f"docs/explanation/delivery.md has no row for the commit point {point}"
        for point in COMMIT_POINTS
        if not any(fnmatch(point, pattern) for pattern in named)
    ]


def main(arguments: list[str]) -> int:
    if "--write" in arguments:
        for name, content in pages().items():
            path = REFERENCE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return 0
    drifted = [
        name
        for name, content in pages().items()
        if not (REFERENCE / name).is_file()
        or (REFERENCE / name).read_text(encoding="utf-8") != content
    ]
    for name in drifted:
        print(f"docs/reference/{name} has drifted: python -m tests.drift --write")
    untrue = [*missing_tests(), *points_without_row()]
    for sentence in untrue:
        print(sentence)
    return 1 if drifted or untrue else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
