"""Which metrics our services export, and which ones a PromQL expression names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from shared.observability.metrics import Metrics

ROOT: Final = Path(__file__).resolve().parents[3]
RULES: Final = ROOT / "deploy" / "prometheus" / "rules"
BOARDS: Final = ROOT / "deploy" / "grafana" / "boards"
SUFFIXES: Final = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
FROM_PROMETHEUS: Final = frozenset({"up", "ALERTS"})
OUR_OWN: Final = re.compile(r"\b(?:doorstep[_:][A-Za-z0-9_:]*)")
ANY_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
WORDS: Final = frozenset(
    {
        *("sum", "min", "max", "count", "by", "on", "without", "and", "or", "unless", "offset"),
        *("rate", "increase", "changes", "min_over_time", "max_over_time", "predict_linear"),
        *("absent", "time", "vector", "histogram_quantile"),
    }
)
"""Of PromQL's words those that we use."""


def exported() -> dict[str, str]:
    """Sample name to the attribute of `Metrics` that stands for it."""
    metrics = Metrics("any")
    attributes = {
        _family(value): name for name, value in vars(metrics).items() if _family(value) is not None
    }
    return {
        family.name + suffix: attributes[family.name]
        for family in metrics.registry.collect()
        for suffix in SUFFIXES[family.type]
    }


def named(expression: str) -> set[str]:
    """The metrics that an expression names: what is neither a word of PromQL nor a label."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\b(?:by|on|without|ignoring|group_left)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b[0-9][0-9.]*(?:e[0-9]+)?\b", "", bare)
    return set(ANY_NAME.findall(bare)) - WORDS


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES.iterdir())]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def _family(value: object) -> str | None:
    """The family's name of a metric, also of one whose service label is given already."""
    metric = getattr(value, "_metric", value)
    name = getattr(metric, "_name", None)
    return name if isinstance(name, str) else None
