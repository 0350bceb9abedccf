"""Which style an element ends up with: rules of `<style>` by tag and class, and inline styles.

As much of CSS as mail programs agree on: descendant selectors of tags and classes, `!important`,
and media queries about the colour scheme. Rules for screens of some width say nothing of colours
here, and what is not understood matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from services.renderer.lint.page import Element

Scheme = Literal["light", "dark"]

_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_BLOCK: Final = re.compile(r"([^{}]*)\{")
_COMPOUND: Final = re.compile(r"([a-z][a-z0-9]*|\*)?((?:\.[\w-]+)*)", re.IGNORECASE)
_SCHEME: Final = re.compile(r"prefers-color-scheme\s*:\s*(light|dark)", re.IGNORECASE)


_SHORT: Final[Mapping[str, tuple[str, ...]]] = {
    "background": ("background-color", "background-image"),
}  # fmt: skip
"""What a property stands for. Each part is read out of the whole value."""


class Value(NamedTuple):
    """What a property is set to."""

    text: str
    important: bool


class Compound(NamedTuple):
    """One step of a selector: a tag ("" for any) with these classes."""

    tag: str
    classes: frozenset[str]

    def fits(self, element: Element) -> bool:
        return self.tag in ("", element.tag) and self.classes <= element.classes


@dataclass(frozen=True, slots=True)
class Rule:
    """`steps`: from the outermost; `scheme`: None for both."""

    steps: tuple[Compound, ...]
    values: Mapping[str, Value]
    scheme: Scheme | None

    def fits(self, element: Element) -> bool:
        *outer, last = self.steps
        if not last.fits(element):
            return False
        around = element.ancestors()
        next(around)
        return all(any(step.fits(each) for each in around) for step in reversed(outer))

    @property
    def weight(self) -> tuple[int, int]:
        """Of two rules the heavier counts: more classes, then more tags."""
        return (
            sum(len(step.classes) for step in self.steps),
            sum(step.tag != "" for step in self.steps),
        )


def read_rules(style: str) -> list[Rule]:
    """The rules of a style sheet, in order."""
    return list(_rules(_COMMENT.sub("", style), None))


def declarations(text: str) -> dict[str, Value]:
    """Property to value, the last of each; `background` as its colour and its picture."""
    found: dict[str, Value] = {}
    for each in text.split(";"):
        name, colon, value = each.partition(":")
        if colon:
            plain = value.replace("!important", "").strip()
            said = Value(plain, "!important" in value)
            found |= dict.fromkeys(_SHORT.get(name.strip().lower(), (name.strip().lower(),)), said)
    return found


def own_style(element: Element, rules: Iterable[Rule], scheme: Scheme) -> dict[str, str]:
    """What is set on the element itself, in that colour scheme."""
    fitting = [rule for rule in rules if rule.scheme in (None, scheme) and rule.fits(element)]
    fitting.sort(key=lambda rule: rule.weight)
    inline = declarations(element.attributes.get("style", ""))
    layers = [rule.values for rule in fitting] + [inline]
    style = dict(_old_attributes(element))
    for important in (False, True):
        for layer in layers:
            style |= {
                name: value.text for name, value in layer.items() if value.important == important
            }
    return style


def _old_attributes(element: Element) -> Iterator[tuple[str, str]]:
    """`bgcolor`, `background` and `color`, which mails still use."""
    if "bgcolor" in element.attributes:
        yield "background-color", element.attributes["bgcolor"]
    if "background" in element.attributes:
        yield "background-image", f"url({element.attributes['background']})"
    if element.tag == "font" and "color" in element.attributes:
        yield "color", element.attributes["color"]


def _rules(text: str, scheme: Scheme | None) -> Iterator[Rule]:
    at = 0
    while opening := _BLOCK.search(text, at):
        end = _end_of_block(text, opening.end())
        head, inside = opening[1].strip(), text[opening.end() : end]
        if head.startswith("@media"):
            asked = _SCHEME.search(head)
            if asked is not None:
                yield from _rules(inside, "dark" if asked[1].lower() == "dark" else "light")
        elif not head.startswith("@"):
            values = declarations(inside)
            yield from (
                Rule(steps, values, scheme)
                for selector in head.split(",")
                if (steps := _steps(selector)) is not None
            )
        at = end + 1


def _end_of_block(text: str, at: int) -> int:
    depth = 1
    for sign in re.finditer(r"[{}]", text[at:]):
        depth += 1 if sign[0] == "{" else -1
        if not depth:
            return at + sign.start()
    return len(text)


def _steps(selector: str) -> tuple[Compound, ...] | None:
    steps = []
    for part in selector.replace(">", " ").split():
        found = _COMPOUND.fullmatch(part)
        if found is None:
            return None
        tag = "" if found[1] in (None, "*") else found[1].lower()
        steps.append(Compound(tag, frozenset(found[2].split(".")[1:])))
    return tuple(steps) or None
