"""Styles written into the tags of the sources, and nothing else changed."""

from __future__ import annotations

import html
import re
from pathlib import Path

import css_inline
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.renderer.css_inlining import with_styles_inlined
from shared.programme.html_links import find_tags
from tests.unit.renderer.building import OWED
from tests.unit.renderer.test_templates import fault, rendered

MAILS = Path(__file__).parents[4] / "shared" / "data" / "email-templates"
STYLE = "<style>p { color: red } .x { margin: 0 } a:hover { color: blue }</style>"


def inlined(source: str, **partials: str) -> str:
    pages = {"main": source, **{name.replace("_", "."): text for name, text in partials.items()}}
    return with_styles_inlined(pages, "main")["main"].removeprefix(STYLE)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("<p>a</p>", '<p style="color: red;">a</p>'),
        ('<p class="x">a', '<p style="color: red;margin: 0;" class="x">a'),
        ('<P\n id="y">a', '<P style="color: red;"\n id="y">a'),
        ("<p style='width:1px'>", "<p style='color: red;width:1px'>"),
        ('<p style="COLOR:blue;top:0">', '<p style="COLOR:blue;top:0">'),
        ('<p style="width:{{ area.x }}%">', '<p style="color: red;width:{{ area.x }}%">'),
        ('<p title="{{ a.b }}">', '<p style="color: red;" title="{{ a.b }}">'),
        ("{% for x in y %}<p>{% endfor %}", '{% for x in y %}<p style="color: red;">{% endfor %}'),
    ],
)
def test_a_rule_is_written_into_the_tag(source: str, wanted: str) -> None:
    assert inlined(STYLE + source) == wanted


@pytest.mark.parametrize(
    "left",
    [
        '<p class="{{ area.kind }}">', '<p id="a{{ area.kind }}">',
        "<p {% if x %}class=x{% endif %}>",
        "<p style=width:1px>", '<p data-css-inline="ignore">', "<b>", "<!-- <p> -->",
        "<!--[if mso]><p><![endif]-->", "{% raw %}<p>{% endraw %}", "<title><p></title>",
    ],
)  # fmt: skip
def test_what_is_not_known_or_not_wanted_is_left_as_it_is(left: str) -> None:
    assert inlined(STYLE + left) == left


def test_what_is_important_wins_over_a_tags_own_style() -> None:
    style = "<style>p{color:red !important;top:0}</style>"
    made = inlined(style + '<p style="color:blue;top:1px">')
    assert made == f'{style}<p style="color: red !important;color:blue;top:1px">'


def test_the_style_block_stays_with_media_queries_and_all() -> None:
    style = "<style>p{top:0} @media (max-width:9px){p{top:1px!important}} a:hover{top:2px}</style>"
    made = inlined(f"{style}<p><a>")
    assert made == f'{style}<p style="top: 0;"><a>'


def test_a_style_block_with_values_inside_is_left_alone() -> None:
    source = "<style>p{color:{{ area.colour }}}</style>" + STYLE + "<p class=x><i>"
    assert inlined(source).endswith('<p style="color: red;margin: 0;" class=x><i>')
    source = "<style>p{top:0;color:{{ area.colour }}}</style><p>"
    assert inlined(source) == source


def test_rules_reach_through_parents_blocks_includes_and_macros() -> None:
    parent = (
        "<style>.c p, .c td, i, u { top: 0 }</style><div class=c>{% block b %}{% endblock %}</div>"
    )
    pages = with_styles_inlined(
        {
            "main": "{% extends 'parent' %}{% from 'tools' import m %}"
            "{% block b %}<p>{% include 'part' %}{{ m(1) }}"
            "{% call k() %}<i>{% endcall %}{% endblock %}",
            "parent": parent,
            "part": "\n<table><tbody>{% for x in y %}<tr><td>{% endfor %}</tbody></table>",
            "tools": "{% macro m(v) %}<u>{% endmacro %}{% macro k() %}{{ caller() }}{% endmacro %}",
            "unused": "<p>",
        },
        "main",
    )
    assert '<p style="top: 0;">{% include' in pages["main"]
    assert '<i style="top: 0;">{% endcall' in pages["main"]
    assert pages["part"].startswith("\n<table><tbody>{% for x in y %}<tr><td style=")
    assert '<u style="top: 0;">' in pages["tools"]
    assert pages["unused"] == "<p>"
    assert pages["parent"] == parent


def test_a_source_that_is_used_in_two_places_with_two_styles_is_left_alone() -> None:
    style = "<style>.a i { top: 0 } .b i { top: 1px } u { top: 2px }</style>"
    source = style + "<p class=a>{% include 'part' %}</p><p class=b>{% include 'part' %}</p>"
    pages = with_styles_inlined({"main": source, "part": "<i><u>"}, "main")
    assert pages["part"] == '<i><u style="top: 2px;">'


def test_a_mail_is_rendered_with_its_styles_and_faults_keep_their_lines() -> None:
    source = (
        f"{STYLE}\n<table><tbody>{{% for n in range(2) %}}<tr><td class=x>{{{{ n }}}}</td></tr>\n"
    )
    made = rendered(html=source + "{% endfor %}</tbody></table>" + OWED).html
    assert made.count('<td style="margin: 0;" class=x>') == 2
    assert "mail.html.j2, line 3: there is no field 'x'" in fault(
        html=f"{STYLE}\n<p\n>{{{{ area.x }}}}"
    )
    assert "mail.html.j2, line 2" in fault(html=f"{STYLE}\n{{% if %}}")


def test_quotes_inside_of_a_style_do_not_end_the_attribute() -> None:
    style = """<style>p{font-family:"A B",'C';background:url("x;y.png")}</style>"""
    for own in ("", ' style="top:0"', " style='top:0'"):
        made = inlined(f"{style}<p{own}>").removeprefix(style)
        (tag,) = find_tags(made)
        (attribute,) = tag.attributes
        value = html.unescape(made[attribute.value_start : attribute.value_end])
        assert "font-family: 'A B','C';" in value
        assert "x;y.png" in value


@given(st.text("<>p{}:;\"'=/ \nstyle!%#&@", max_size=60))
def test_any_page_and_any_style_is_inlined_or_left(text: str) -> None:
    for source in (f"<style>{text}</style><p>", f"{STYLE}<p>{text}"):
        made = inlined(source)
        assert re.sub(r' style="[^"]*"', "", made).count("<p") >= source.count("<p") - 1


@pytest.mark.skipif(
    not MAILS.is_dir(), reason="the email templates of ../shared/data are not there"
)
def test_in_real_mails_each_tag_gets_what_css_inline_gives_it() -> None:
    """As if the page had been inlined whole: each property has the value that wins there."""
    tags = 0
    for path in sorted(MAILS.glob("*.html")):
        page = path.read_text(encoding="utf-8").replace("{{", "[[").replace("}}", "]]")
        page = page.replace("{%", "{ %").replace("{#", "{ #")
        numbered = _numbered(page)
        ours = _styles(with_styles_inlined({"main": numbered}, "main")["main"])
        inliner = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)
        theirs = _styles(inliner.inline(numbered))
        for number, style in theirs.items():
            assert ours[number] == style, (path.name, number)
        tags += len(theirs)
    assert tags > 1_000


def _numbered(page: str) -> str:
    pieces, at = [], 0
    for number, tag in enumerate(find_tags(page)):
        if tag.name not in ("head", "meta", "title", "link", "style", "html"):
            pieces += [page[at : tag.name_end], f' data-n="{number}"']
            at = tag.name_end
    return "".join(pieces) + page[at:]


def _styles(page: str) -> dict[str, dict[str, str]]:
    """The properties of each numbered tag; the last one counts, and what is important."""
    found: dict[str, dict[str, str]] = {}
    for tag in find_tags(page):
        values = {each.name: page[each.value_start : each.value_end] for each in tag.attributes}
        if "data-n" in values:
            properties: dict[str, str] = {}
            for declaration in re.split(r";(?![^(]*\))", html.unescape(values.get("style", ""))):
                name, _, value = declaration.strip().partition(":")
                value = re.sub(r"[\s\"']+", "", value)
                if value and "!important" not in properties.get(name.lower(), ""):
                    properties[name.lower()] = value
            found[values["data-n"]] = properties
    return found


@pytest.mark.parametrize("where", ["{0}", "file://{0}", "https://127.0.0.1:9/x.css"])
def test_no_file_and_no_address_is_opened_for_a_style(where: str, tmp_path: Path) -> None:
    sheet = tmp_path / "x.css"
    sheet.write_text("p{left:0}", encoding="utf-8")
    address = where.format(sheet)
    page = f'<link rel="stylesheet" href="{address}"><style>@import url({address});</style><p>'
    assert inlined(page) == page
