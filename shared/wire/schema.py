"""The base of every wire schema and the registry of event types.

A reader ignores fields it does not know; a *newer version* than it knows stops the partition.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

REGISTRY: dict[str, type[WireModel]] = {}


class WireModel(BaseModel):
    """A value on a topic. Subclasses name their CloudEvents `type` and `version`."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64")

    ce_type: ClassVar[str] = ""
    schema_version: ClassVar[int] = 1

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        if "ce_type" in cls.__dict__ and cls.ce_type:
            REGISTRY[cls.ce_type] = cls
