"""The reference of the wire: JSON Schemas and the table of event kinds, made from the models."""

from __future__ import annotations

import json

from shared.wire import (
    batches,
    control,
    dead_letters,
    events,
    memberships,
    programme,
    supporters,
    suppressions,
)
from shared.wire.schema import REGISTRY

MODULES = (
    batches, control, dead_letters, events, memberships, programme, supporters, suppressions,
)  # fmt: skip
"""Importing them is what fills the registry."""


def schemas() -> dict[str, str]:
    """File name to content, one JSON Schema a wire type."""
    return {
        f"{ce_type}.v{model.schema_version}.json": json.dumps(
            model.model_json_schema(mode="serialization"), indent=2, sort_keys=True
        )
        + "\n"
        for ce_type, model in sorted(REGISTRY.items())
    }


def event_table() -> str:
    """Every event kind and its meaning, as a Markdown table."""
    rows = [
        f"| `doorstep.{kind}` | {meaning} | {'yes' if kind in events.FINAL_KINDS else ''} |"
        for kind, meaning in events.MEANING.items()
    ]
    return "\n".join(["| type | meaning | ends a message |", "|---|---|---|", *rows]) + "\n"
