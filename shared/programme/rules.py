"""The rule tree of a segment: a small typed tree over facts about one supporter.

Combinators are all / any / none; leaves are predicates. A rule never mentions consent or
suppression: both are implied wherever a rule chooses people to mail. Times are relative to an
`as_of` that the evaluator is given.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool
Comparison = Literal["is", "is not", "<", "<=", ">", ">=", "in", "exists"]


class Node(BaseModel):
    """A node of the tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AllOf(Node):
    """Every part holds. Holds when there are no parts."""

    op: Literal["all"] = "all"
    parts: tuple[Rule, ...]


class AnyOf(Node):
    """At least one part holds. Does not hold when there are no parts."""

    op: Literal["any"] = "any"
    parts: tuple[Rule, ...]


class NoneOf(Node):
    """No part holds."""

    op: Literal["none"] = "none"
    parts: tuple[Rule, ...]


class InArea(Node):
    """The supporter is in one of these areas of a kind (by code)."""

    op: Literal["area"] = "area"
    kind: str
    codes: tuple[str, ...]


class HasTag(Node):
    """The supporter carries the tag."""

    op: Literal["tag"] = "tag"
    tag: str


class Attribute(Node):
    """A comparison on one attribute. An absent attribute satisfies only `is not`.

    `in` takes several values; `exists` takes none. Ordering compares numbers with numbers and
    text with text; a value of another type does not satisfy it. Booleans are not numbers.
    """

    op: Literal["attribute"] = "attribute"
    name: str
    comparison: Comparison
    values: tuple[Scalar, ...] = ()


class Speaks(Node):
    """The supporter's language is one of these (BCP 47, compared case-insensitively)."""

    op: Literal["language"] = "language"
    languages: tuple[str, ...]


class Did(Node):
    """At least `at_least` actions of that name, within the last `within_days` days if given.

    Within means: action time > as_of - within_days and <= as_of.
    """

    op: Literal["did"] = "did"
    action: str
    at_least: int = Field(default=1, ge=1)
    within_days: float | None = Field(default=None, gt=0)


class Got(Node):
    """SES accepted a message of that send for the supporter (of that variant, if given)."""

    op: Literal["got"] = "got"
    send: str
    variant: str | None = None


class Opened(Node):
    """A person (not a machine) opened a message of that send."""

    op: Literal["opened"] = "opened"
    send: str


class Clicked(Node):
    """A person (not a machine) clicked in a message of that send."""

    op: Literal["clicked"] = "clicked"
    send: str


class ActedOn(Node):
    """The supporter did an action that came by a message of that send."""

    op: Literal["acted"] = "acted"
    send: str
    action: str | None = None


class Sample(Node):
    """A random share by hash: stable for a supporter and a seed.

    In the sample when the first 8 bytes (big-endian) of sha256(seed NUL supporter_id) divided by
    2**64 are below percent / 100. `bucket` in services/segmenter computes it once per supporter.
    """

    op: Literal["sample"] = "sample"
    percent: float = Field(ge=0, le=100)
    seed: str = ""


Rule = Annotated[
    AllOf
    | AnyOf
    | NoneOf
    | InArea
    | HasTag
    | Attribute
    | Speaks
    | Did
    | Got
    | Opened
    | Clicked
    | ActedOn
    | Sample,
    Field(discriminator="op"),
]

for _node in (AllOf, AnyOf, NoneOf):
    _node.model_rebuild()
