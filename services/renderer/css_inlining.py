"""Rules of `<style>` written into the `style` attributes of the sources they apply to.

Some mail programs know no `<style>`. Which rules apply to an element is decided by `css-inline` on
the whole page, put together from all its sources; what it says is then written back into the tag
where it stands in its source. So sources stay what they are, line by line, with their loops and
conditions. The `<style>` itself stays too: media queries, `:hover` and dark mode live there.

Left alone: tags with conditions inside of them or with a class or id that is an expression, tags
that would need one style here and another there, and whatever is marked `data-css-inline="ignore"`.
A `<style>` with expressions inside is left alone as a whole.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from css_inline import CSSInliner, InlineError
from jinja2 import TemplateError

from services.renderer.page_structure import whole_page
from shared.programme.html_links import Attribute, Tag, find_tags
from shared.programme.jinja_masks import EXPRESSION, OPAQUE, STATEMENT, mask

_MARK: Final = "data-doorstep-tag"
_UNSEEN: Final = frozenset({"head", "meta", "title", "link", "base", "script"})
_JINJA: Final = re.compile(f"[{EXPRESSION}{STATEMENT}{OPAQUE}]")
_CONDITION: Final = re.compile(f"[{STATEMENT}{OPAQUE}]")
_STYLE_END: Final = re.compile(r"</style", re.IGNORECASE)
_DECLARATION: Final = re.compile(r"(?:[^;\"'(]|\"[^\"]*\"|'[^']*'|\([^)]*\))+")
_INLINER: Final = CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)


class BadStyles(ValueError):
    """Styles that cannot be read."""


class _Place(NamedTuple):
    """A start tag: its source, where its name ends, its `style` attribute if it has one."""

    source: str
    name_end: int
    style: Attribute | None


def with_styles_inlined(pages: Mapping[str, str], main: str) -> dict[str, str]:
    """The sources of the HTML part, by name; `main` is the one that is rendered.

    Raises BadStyles.
    """
    if not any(_STYLE_END.search(source) for source in pages.values()):
        return dict(pages)
    places: list[_Place] = []
    marked = {name: _marked(name, source, places) for name, source in pages.items()}
    try:
        page = _INLINER.inline(whole_page(main, marked))
    except TemplateError:
        return dict(pages)  # compiling it will say better what is wrong
    except (InlineError, ValueError) as error:
        raise BadStyles(f"the styles cannot be read: {error}") from error
    inlined = dict(pages)
    for number, style in sorted(_styles(page).items(), reverse=True):
        place = places[number]
        inlined[place.source] = _with_style(inlined[place.source], place, style)
    return inlined


def _marked(name: str, source: str, places: list[_Place]) -> str:
    """The source with a number in each tag that can be given a style, and without their own."""
    masked = mask(source)
    pieces: list[str] = []
    at = 0
    for tag in find_tags(masked):
        if tag.name == "style":
            end = _STYLE_END.search(masked, tag.end)
            if _JINJA.search(masked, tag.name_end, end.start() if end else len(masked)):
                pieces += [source[at : tag.name_end], ' data-css-inline="ignore"']
                at = tag.name_end
        elif _may_have_style(tag, masked):
            style = next((each for each in tag.attributes if each.name == "style"), None)
            pieces += [source[at : tag.name_end], f' {_MARK}="{len(places)}"']
            at = tag.name_end
            if style is not None:
                pieces += [source[at : style.start], '""']
                at = style.end
            places.append(_Place(name, tag.name_end, style))
    return "".join(pieces) + source[at:]


def _may_have_style(tag: Tag, masked: str) -> bool:
    """Whether it is known what its selectors look at, and where a style can be written."""
    if tag.name in _UNSEEN or _CONDITION.search(masked, tag.name_end, tag.end):
        return False
    for each in tag.attributes:
        expressions = EXPRESSION in masked[each.start : each.end]
        if each.name in ("class", "id") and expressions:
            return False
        if each.name == "style" and masked[each.start : each.start + 1] not in ('"', "'"):
            return False
    return True


def _styles(page: str) -> dict[int, str]:
    """The style of each numbered tag of the page, where all tags of that number agree."""
    found: dict[int, set[str]] = {}
    for tag in find_tags(page):
        values = {each.name: page[each.value_start : each.value_end] for each in tag.attributes}
        if _MARK in values:
            style = html.unescape(values.get("style", ""))
            found.setdefault(int(values[_MARK]), set()).add(style)
    return {n: styles.pop() for n, styles in found.items() if len(styles) == 1 and styles != {""}}


def _with_style(source: str, place: _Place, style: str) -> str:
    """The rules first, the tag's own style after them: so it wins, but over what is important."""
    own = place.style
    if own is None:
        written = html.escape(_without(style, frozenset()))
        return f'{source[: place.name_end]} style="{written}"{source[place.name_end :]}'
    its = source[own.value_start : own.value_end]
    names = frozenset(part.partition(":")[0].strip().lower() for part in _DECLARATION.findall(its))
    written = html.escape(_without(style, names))
    return f"{source[: own.value_start]}{written}{its}{source[own.value_end :]}"


def _without(style: str, names: frozenset[str]) -> str:
    """The declarations of a style, less those that the tag's own style makes again."""
    return "".join(_kept(style, names))


def _kept(style: str, names: frozenset[str]) -> Iterator[str]:
    for declaration in _DECLARATION.findall(" ".join(style.split())):
        name, _, value = declaration.partition(":")
        if value.strip() and ("!important" in value or name.strip().lower() not in names):
            yield f"{declaration.strip()};"
