"""Lint of rendered mails: what is found, and where it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.renderer.lint.colours import BLACK, WHITE, Colour, contrast, read_colour
from services.renderer.lint.judging import GMAIL_CLIPS, Finding, judge_page
from services.renderer.lint.marking import marked
from services.renderer.lint.page import read_page
from services.renderer.lint.styles import own_style, read_rules
from services.renderer.linting import editions_to_look_at, lint
from shared.programme.definitions import Areas, Template
from shared.programme.links import number_template
from tests.unit.renderer.building import SIGNING, a_book, a_campaign, a_send, a_template

MAILS = Path(__file__).resolve().parents[4] / "shared" / "data" / "email-templates"
HEAD = '<head><meta name="color-scheme" content="light dark"></head>'
FOOT = '<p><a href="{{ unsubscribe_url }}">no more</a></p>{{ disclaimer }}'
TEXT = "Hello neighbour, come along\n{{ unsubscribe_url }}\n{{ disclaimer }}"


def findings(html: str, text: str = TEXT, **parts: Any) -> list[Finding]:
    values = {"preheader": "Come along"} | parts
    template = a_template(html=html, text=text, **values)
    return lint(a_book(a_campaign(), a_send(), template), "ask", SIGNING)


def page(body: str, head: str = HEAD) -> str:
    return f"<html>{head}<body>\n{body}\n{FOOT}</body></html>"


def test_a_sound_mail_has_no_findings() -> None:
    assert findings(page("<p>Hello neighbour, come along</p>")) == []


@pytest.mark.parametrize(
    ("colours", "ratio"),
    [
        ((BLACK, WHITE), 21.0),
        ((WHITE, WHITE), 1.0),
        ((Colour(119, 119, 119), WHITE), 4.48),  # the well-known #777 that just fails
        ((Colour(118, 118, 118), WHITE), 4.54),  # and #767676 that just passes
    ],
)
def test_contrast_is_that_of_wcag(colours: tuple[Colour, Colour], ratio: float) -> None:
    assert contrast(*colours) == pytest.approx(ratio, abs=0.01)
    assert contrast(*reversed(colours)) == contrast(*colours)


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#fff", WHITE), (" #FFFFFF ", WHITE), ("white", WHITE), ("rgb(0, 0, 0)", BLACK),
        ("rgb(0 0 0)", BLACK), ("rgba(0,0,0,1)", BLACK), ("rgba(0,0,0,.5)", None),
        ("transparent", None), ("var(--x)", None), ("#12", None),
    ],
)  # fmt: skip
def test_colours_as_mails_write_them(text: str, colour: Colour | None) -> None:
    assert read_colour(text) == colour


def test_faint_text_is_found_with_its_source_and_line() -> None:
    body = '<div style="background:#14532d">\n<p style="color:#1f2937">Hello</p></div>'
    (found,) = findings(page(body))
    assert (found.level, found.template, found.part, found.line) == ("warns", "ask", "html", 3)
    assert found.what == ("the text #1f2937 on #14532d has a contrast of 1.6, and should have 4.5")


def test_a_partial_is_named() -> None:
    partials = {
        "base.html.j2": page("{% block content %}{% endblock %}"),
        "box.html.j2": '\n<div bgcolor="#ffffff"><font color="#aaaaaa">faint</font></div>',
    }
    html = (
        '{% extends "base.html.j2" %}{% block content %}{% include "box.html.j2" %}{% endblock %}'
    )
    (found,) = findings(html, partials=partials)
    assert (found.part, found.line) == ("box.html.j2", 2)
    assert "#aaaaaa on #ffffff has a contrast of 2.3" in found.what


def test_large_text_may_be_fainter() -> None:
    def faint(style: str) -> list[Finding]:
        return findings(page(f'<p style="background:#fff;color:#888;{style}">Hello</p>'))

    assert faint("") != []
    assert faint("font-size:24px") == []
    assert faint("font-size:14pt;font-weight:700") == []
    assert faint("font-size:18px") != []


def test_what_nobody_sees_or_can_judge_is_left_out() -> None:
    hidden = '<div style="display:none;color:#fff;background:#fff">x</div>'
    picture = '<p style="background:#fff url(https://x.example/i.png);color:#fff">x</p>'
    picture += '<p background="https://x.example/i.png" style="color:#fff">x</p>'
    picture += '<div style="max-height:0;overflow:hidden;color:#fff">a preheader</div>'
    unknown = '<p style="background:#fff;color:var(--ink)">x</p>'
    own_link_colour = '<p style="background:#00f"><a href="https://x.example.org">x</a></p>'
    body = hidden + picture + unknown + own_link_colour
    assert findings(page(body), TEXT + "\nhttps://x.example.org") == []


def test_dark_mode_is_judged_by_the_rules_for_it() -> None:
    style = (
        "<style>@media (max-width: 480px) { .card { color: #111 !important } }\n"
        "@media (prefers-color-scheme: dark) { .card, .other { background: #1c2420 !important }\n"
        "p .never { color: #000 } .card a.plain { color: #86efac !important } }</style>"
    )
    head = HEAD.replace("</head>", style + "</head>")
    body = (
        '<div class="card" style="background:#fff;color:#1f2937">dark on dark\n'
        '<a class="plain" style="color:#14532d" href="https://x.example.org">fine</a>\n'
        '<a style="color:#14532d" href="https://x.example.org">lost</a></div>'
    )
    found = findings(page(body, head), TEXT + "\nhttps://x.example.org")
    assert [(each.line, each.what[:31]) for each in found] == [
        (4, "in dark mode the text #1f2937 o"),
        (6, "in dark mode the text #14532d o"),
    ]


def test_a_background_in_short_beats_an_inline_colour_when_it_is_important() -> None:
    style = (
        "<style>@media (prefers-color-scheme: dark) { .bg { background: #222 !important } "
        "p { color: #f7f7f9 !important } }</style>"
    )
    body = '<div class="bg" style="background-color:#ffffff;color:#000"><p>Hello</p></div>'
    assert findings(page(body, HEAD.replace("</head>", f"{style}</head>"))) == []


def test_without_a_word_about_dark_mode_it_is_asked_for() -> None:
    bare = '<p style="color:#333333">Hello</p>'
    meta, colour = findings(page(bare, "\n<head></head>"))
    assert meta.what == "nothing says how the mail is to look in dark mode"
    assert meta.line == 2
    assert colour.what == "the colour #333333 has no background of its own"
    grounded = f'<div style="background:#fff">{bare}</div>'
    (only,) = findings(page(grounded, "<head></head>"))
    assert only == meta.__class__(**{**_fields(meta), "line": 1})


def _fields(found: Finding) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__slots__}


def test_gmail_clips_long_mails_and_a_footer_behind_it_stops() -> None:
    filler = "<p>" + "word " * (GMAIL_CLIPS // 5 + 300) + "</p>"
    text = TEXT + "\n" + "word " * (GMAIL_CLIPS // 5 + 300)
    (stops,) = findings(page(filler), text)
    assert stops.level == "stops"
    assert "Gmail cuts it off at 102 KB, before the way out and the disclaimer" in stops.what
    (warns,) = findings(f"<html>{HEAD}<body>{FOOT}{filler}</body></html>", text)
    assert (warns.level, warns.what) == (
        "warns",
        "the HTML has 104 KB, and Gmail cuts it off at 102 KB",
    )


def test_the_text_part_says_as_much_and_leads_as_far() -> None:
    body = "<p>" + "word " * 60 + '<a href="https://x.example.org">go</a></p>'
    words, links = findings(page(body))
    assert (words.part, words.level) == ("text", "warns")
    assert "the text part has" in words.what
    assert links.what == (
        "the HTML part leads to https://x.example.org, and the text part does not"
    )
    (gap,) = findings(page("<p>Hi</p>"), "a\n\n\n\n" + TEXT)
    assert gap.what == "the text part has three empty lines in a row"


def test_a_preheader_is_asked_for() -> None:
    (found,) = findings(page("<p>Hello</p>"), preheader="")
    assert (found.part, found.what) == ("preheader", "there is no preheader")


def test_what_cannot_be_rendered_is_left_to_the_trial() -> None:
    assert findings(page("{{ supporter.nickname }}")) == []
    assert findings("{% if %}") == []


def test_marks_change_no_link_number_and_no_jinja() -> None:
    template = Template(
        name="t", subject="s", text=TEXT,
        html='{% for x in [1] %}<a href="https://x.example.org/{{ "<b>" }}">\n<br/>{% endfor %}'
        '<!--[if mso]><td><![endif]--><p class="{{ "a" if 1 > 0 else "b" }}">',
    )  # fmt: skip
    made = marked(template)
    assert number_template(made).hrefs == number_template(template).hrefs
    assert made.html.count("data-at=") == 3
    assert '<br data-at="html:2"/>' in made.html
    assert "<!--[if mso]><td><![endif]-->" in made.html


def test_the_heavier_rule_counts_and_important_ones_beat_inline() -> None:
    rules = read_rules(
        "/* a { color: red } */ .a.b { color: blue } .a { color: green; margin: 0 }"
        "p.a { border: 0 !important } a:hover { color: red } @font-face { src: url(x) }"
    )
    (element,) = read_page('<p class="a b" style="border: 1px">x</p>').elements
    style = own_style(element, rules, "light")
    assert (style["color"], style["border"], style["margin"]) == ("blue", "0", "0")


def test_the_edition_with_the_most_to_say_and_the_one_for_everybody_else() -> None:
    areas = Areas(name="n", kind="k", by_code={"A": {"x": "1"}, "B": {"x": "longer"}}, default={})
    assert editions_to_look_at(areas) == {"B": {"x": "longer"}, "": {}}
    assert editions_to_look_at(areas.model_copy(update={"default": None})) == {"B": {"x": "longer"}}
    assert editions_to_look_at(None) == {"": {}}


@pytest.mark.skipif(
    not MAILS.is_dir(), reason="the email templates of ../shared/data are not there"
)
def test_of_real_mails_those_made_for_dark_mode_have_no_fault_there() -> None:
    found = {}
    for path in sorted(MAILS.glob("*.html")):
        source = path.read_text(encoding="utf-8")
        page = marked(Template(name="t", subject="s", html=source, text=""))
        found[path.name] = [each.what for each in judge_page(page.html)]
        assert all(each.line > 0 for each in judge_page(page.html)), path.name
    for name in ("cerberus_fluid.html", "cerberus_responsive.html"):
        assert found[name] == [
            "the text #ffffff on #709f2b has a contrast of 3.1, and should have 4.5"
        ]
    assert "nothing says how the mail is to look in dark mode" in found["konsav_promotional.html"]
