"""Links are numbered once for renderer and tracker, and lead only where they may."""

from __future__ import annotations

import html
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import DictLoader

from shared.programme.definitions import Template
from shared.programme.html_links import find_links
from shared.programme.jinja_masks import mask
from shared.programme.links import (
    BadDestination,
    BadLinks,
    destination,
    number_links,
    number_template,
    tracked_text,
)
from shared.programme.template_language import TemplateEnvironment

MAILS = Path(__file__).parents[4] / "shared" / "data" / "email-templates"


class Anchors(HTMLParser):
    """The `href` of every `<a>`, as an HTML parser of its own sees them."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self.hrefs: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs += [value.strip() for name, value in attrs if name == "href" and value]


def test_links_of_any_spelling_are_numbered() -> None:
    source = (
        "<A CLASS='x' HREF = 'https://e.org/?a=1&amp;b={{ area[\"co>de\"] }}'>1</A>"
        "<a href=https://e.org/{{ area.x }}/{% if area.q %}1{% endif %}>2</a>"
        '<a {% if area.x %}href="https://e.org/a"{% else %}href="https://e.org/b"{% endif %}>3</a>'
        '<a title="a>b"\n href="\thttps://e.org/\nlong "/>'
    )
    rewritten, hrefs = number_links(source)
    assert hrefs == (
        'https://e.org/?a=1&b={{ area["co>de"] }}',
        "https://e.org/{{ area.x }}/{% if area.q %}1{% endif %}",
        "https://e.org/a",
        "https://e.org/b",
        "https://e.org/long",
    )
    assert rewritten == (
        "<A CLASS='x' HREF = \"{{ tracked(0) }}\">1</A>"
        '<a href="{{ tracked(1) }}">2</a>'
        '<a {% if area.x %}href="{{ tracked(2) }}"{% else %}'
        'href="{{ tracked(3) }}"{% endif %}>3</a>'
        '<a title="a>b"\n href="{{ tracked(4) }}"/>'
    )


@pytest.mark.parametrize(
    "source",
    [
        '<a href="mailto:a@example.org?subject=x">',
        '<a href="TEL:+441632960123">',
        '<a href="#top">',
        '<a href="{{ unsubscribe_url }}">',
        "<a href='{{- unsubscribe_url | e -}}'>",
        "<a href={{unsubscribe_url}}>",
        '<a data-notrack href="https://e.org">',
        '<a href="https://e.org" DATA-NOTRACK="">',
        '<a href="https://e.org"{% if area.x %} data-notrack{% endif %}>',
        '<a href="">',
        "<a href>",
        '<a name="x">',
        '<area href="https://e.org">',
        '<link href="https://e.org">',
        '<abbr href="https://e.org">',
        '<!-- <a href="https://e.org"> -->',
        '<!--[if mso]><v:roundrect href="https://e.org"><a href="https://e.org"><![endif]-->',
        '<script>"<a href=https://e.org>"</script>',
        '<style>/* <a href="https://e.org"> */</style>',
        '<title><a href="https://e.org"></title>',
        '{% raw %}<a href="https://e.org">{% endraw %}',
        '{# <a href="https://e.org"> #}',
        "{{ '<a href=\"https://e.org\">' | safe }}",
        '<a title="<a href=https://e.org>">',
        '<a href="https://e.org',
        "a < b <a",
    ],
)
def test_what_is_no_tracked_link_stays_byte_for_byte(source: str) -> None:
    assert number_links(source) == (source, ())


def test_scanning_goes_on_after_comments_scripts_and_downlevel_revealed_markup() -> None:
    link = '<a href="https://e.org">'
    for before in (
        "<!-- x -->",
        "<!-->",
        "<!--->",
        "<!-- x --!>",
        "<![if !mso]>",
        "<?xml ?>",
        "</3 >",
        "</p>",
        "<script>a</SCRIPT >",
        "<title>a</title>",
        "{% raw %}{{{% endraw %}",
        "{{ '%}' }}",
        "{% set a = {'b': {'c': '}}'}} %}",
        "{{ {'a': {'b': 1}} }}",
        "{{ broken ",
        "{{{mustache}}}",
        "{%# handlebars ",
    ):
        assert number_links(before + link) == (
            before + '<a href="{{ tracked(0) }}">',
            ("https://e.org",),
        )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("?a=1&amp;b=2", "?a=1&b=2"),
        ("?a=1&b=2", "?a=1&b=2"),
        ("?a=1&copy=2", "?a=1&copy=2"),
        ("?a=1&copyright", "?a=1&copyright"),
        ("?q=&eacute;", "?q=é"),
        ("?q=&#233;&#xE9;", "?q=éé"),
        ("{{ area.x | replace('&amp;', '') }}&amp;", "{{ area.x | replace('&amp;', '') }}&"),
    ],
)
def test_character_references_are_read_as_browsers_read_them(written: str, meant: str) -> None:
    assert number_links(f'<a href="https://e.org/{written}">')[1] == (f"https://e.org/{meant}",)


safe_text = st.text("abc <>&;\"'=/\n-!é{}%#", max_size=8)
addresses = st.sampled_from(
    ["https://e.org/a", "https://e.org/?a=1&amp;b=2", "HTTP://E.ORG", "x y", "{{ area.page }}"]
)
anchors = st.builds(
    "<{}{}{}href{}{}{}{}>".format,
    st.sampled_from(["a", "A", "area", "b"]),
    st.sampled_from([" ", "\n", " class='c' ", ' title="<>" ', "/"]),
    st.sampled_from(["", "data-x "]),
    st.sampled_from(["=", " = "]),
    st.just('"'),
    addresses,
    st.just('"'),
)
pieces = st.sampled_from(
    ["<p>", "</p>", "<br/>", "<!-- - -->", "<![endif]>", "text ", "&amp;", "<td class=x>", "\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(anchors | pieces, max_size=12).map("".join))
def test_an_html_parser_finds_the_same_links(source: str) -> None:
    assert [link.href for link in find_links(source)] == Anchors(source).hrefs


@settings(max_examples=300, deadline=None)
@given(st.lists(anchors | pieces | safe_text, max_size=12).map("".join))
def test_all_but_the_addresses_stays_as_it_was(source: str) -> None:
    rewritten, hrefs = number_links(source)
    found = list(find_links(source))
    tracked = [link for link in found if link.href]
    assert tuple(link.href for link in tracked) == hrefs
    undone = rewritten
    for number, link in enumerate(tracked):
        undone = undone.replace(f'"{{{{ tracked({number}) }}}}"', source[link.start : link.end], 1)
    assert undone == source


@given(st.text("{}%#'\"<>= a\\\ue000\ue001", max_size=40))
def test_masks_keep_every_offset(source: str) -> None:
    masked = mask(source)
    assert len(masked) == len(source)


def mails() -> Iterator[Path]:
    yield from sorted(MAILS.glob("*.html"))


@pytest.mark.skipif(
    not MAILS.is_dir(), reason="the email templates of ../shared/data are not there"
)
def test_in_real_mails_an_html_parser_finds_the_same_links() -> None:
    paths = list(mails())
    assert paths
    for path in paths:
        source = path.read_text(encoding="utf-8")
        found = [link.href for link in find_links(source)]
        assert found == Anchors(source).hrefs, path.name
        assert found, path.name
        rewritten, hrefs = number_links(source)
        # What is left are the marks in the place of each tracked link.
        marks = [f"{{{{ tracked({number}) }}}}" for number in range(len(hrefs))]
        left = iter(Anchors(rewritten).hrefs)
        assert [href for href in left if href.startswith("{{ tracked(")] == marks, path.name


def template(html_source: str, text: str = "", **partials: str) -> Template:
    named = {name.replace("_", "."): source for name, source in partials.items()}
    return Template(name="t", subject="s", html=html_source, text=text, partials=named)


def test_a_template_is_numbered_main_part_first_then_its_sources_by_name() -> None:
    numbered = number_template(
        template(
            '<a href="https://e.org/1">',
            "https://e.org/1 https://e.org/4",
            b_html_j2='<a href="https://e.org/3">',
            a_html_j2='<a href="https://e.org/2">',
            a_txt_j2="https://e.org/3, https://e.org/5.",
        )
    )
    assert numbered.hrefs == tuple(f"https://e.org/{n}" for n in (1, 2, 3, 4, 5))
    assert numbered.html == '<a href="{{ tracked(0) }}">'
    assert numbered.partials["a.html.j2"] == '<a href="{{ tracked(1) }}">'
    assert numbered.partials["b.html.j2"] == '<a href="{{ tracked(2) }}">'
    assert numbered.text == "{{ tracked(0) }} {{ tracked(3) }}"
    assert numbered.partials["a.txt.j2"] == "{{ tracked(2) }}, {{ tracked(4) }}."


def test_the_order_of_partials_in_the_model_does_not_matter() -> None:
    one = template("x", b_html_j2='<a href="https://b">', a_html_j2='<a href="https://a">')
    two = template("x", a_html_j2='<a href="https://a">', b_html_j2='<a href="https://b">')
    assert number_template(one).hrefs == number_template(two).hrefs


def test_a_numbered_template_renders_with_a_function_for_its_links() -> None:
    numbered = number_template(
        template(
            '{% include "f.html.j2" %}', f_html_j2='<a href="https://e.org/{{ area.x }}&amp;y">'
        )
    )
    sources = DictLoader({"main": numbered.html, **numbered.partials})
    environment = TemplateEnvironment(autoescape=True, loader=sources)
    area = {"x": "a b"}
    shown = environment.get_template("main").render(
        tracked=lambda number: destination(numbered.hrefs[number], {"area": area})
    )
    assert html.unescape(shown) == '<a href="https://e.org/a%20b&y">'


def test_a_template_with_bad_links_is_refused_with_all_of_them() -> None:
    with pytest.raises(BadLinks) as caught:
        number_template(
            template(
                '\n<a href="https://e.org/{{ supporter.name }}">',
                "https://e.org/{{ x }}",
                f_html_j2='<a href="/relative">',
            )
        )
    assert [(each.part, each.line) for each in caught.value.problems] == [
        ("html", 2),
        ("text", 1),
        ("f.html.j2", 1),
    ]


@pytest.mark.parametrize(
    ("text", "rewritten", "new"),
    [
        ("See https://e.org/a.", "See {{ tracked(2) }}.", ("https://e.org/a",)),
        ("(https://e.org/a)", "({{ tracked(2) }})", ("https://e.org/a",)),
        ("https://e.org/a_(b), x", "{{ tracked(2) }}, x", ("https://e.org/a_(b)",)),
        ("<https://e.org/a>", "<{{ tracked(2) }}>", ("https://e.org/a",)),
        ("https://e.org/{{ area.x }}?", "{{ tracked(2) }}?", ("https://e.org/{{ area.x }}",)),
        (
            "{% if area.x %}https://e.org/a{% else %}http://e.org{% endif %}",
            "{% if area.x %}{{ tracked(2) }}{% else %}{{ tracked(3) }}{% endif %}",
            ("https://e.org/a", "http://e.org"),
        ),
        ("https://known/{{area.x}}", "{{ tracked(0) }}", ()),
        ("{{area.page}}", "{{ tracked(1) }}", ()),
        ("at {{ area.page }}.", "at {{ tracked(1) }}.", ()),
        ("{{ area.page }}/more", "{{ area.page }}/more", ()),
        ("{{ area.name }} {{ unsubscribe_url }}", "{{ area.name }} {{ unsubscribe_url }}", ()),
        ("{% raw %}https://e.org{% endraw %}", "{% raw %}https://e.org{% endraw %}", ()),
        (
            "{# https://e.org #}{{ 'https://e.org' }}",
            "{# https://e.org #}{{ 'https://e.org' }}",
            (),
        ),
        ("mail me@e.org or xhttps://e.org", "mail me@e.org or xhttps://e.org", ()),
    ],
)
def test_bare_addresses_in_text_share_the_numbers_of_the_html(
    text: str, rewritten: str, new: tuple[str, ...]
) -> None:
    known = ("https://known/{{ area.x }}", "{{ area.page }}")
    assert tracked_text(text, known) == (rewritten, (*known, *new))


def test_the_first_of_two_equal_links_lends_its_number() -> None:
    assert (
        tracked_text("https://a", ("https://b", "https://a", "https://a"))[0] == "{{ tracked(1) }}"
    )


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("https://e.org/{{ area.slug }}", "https://e.org/fk1-1"),
        ("{{ area.page }}", "https://e.org/x"),
        ("{% if area.slug %}https://e.org/a{% endif %}", "https://e.org/a"),
        ("https://e.org/{{ send.name }}/{{ campaign.name }}", "https://e.org/ask/c"),
        ("https://e.org/ä b", "https://e.org/%C3%A4%20b"),
        ("https://e.org/%20?a=1&b=[2]#c", "https://e.org/%20?a=1&b=[2]#c"),
        ("HTTPS://ä.org:8080/x", "https://xn--4ca.org:8080/x"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://e.org/{{ area.items }}", "https://e.org/three"),
    ],
)
def test_a_destination_is_made_from_area_send_and_campaign(source: str, address: str) -> None:
    context = {
        "area": {"slug": "fk1-1", "page": " https://e.org/x ", "items": "three"},
        "send": {"name": "ask"},
        "campaign": {"name": "c"},
    }
    assert destination(source, context) == address


@pytest.mark.parametrize(
    "source",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//e.org",
        "/x",
        "https:///x",
        "https://",
        "https://user:secret@e.org",
        "https://e.org\\@evil.org",
        "https://e .org",
        "https://e.org:99999",
        "https://[::1",
        "{{ area.bad }}",
        "{{ area.missing }}",
        "{{ supporter.name }}",
        "{{ area.__class__.__mro__ }}",
        "{% if %}",
        "https://e.org/{{ 1 / 0 }}",
    ],
)
def test_nobody_is_sent_anywhere_else(source: str) -> None:
    context = {
        "area": {"bad": "https://e.org/\r\nSet-Cookie: x"},
        "supporter": {"name": "https://e.org/"},
    }
    with pytest.raises(BadDestination):
        destination(source, context)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_whatever_the_data_a_destination_fits_into_a_header(value: str) -> None:
    try:
        address = destination("https://e.org/{{ area.x }}", {"area": {"x": value}})
    except BadDestination:
        return
    assert address.startswith("https://e.org/")
    assert address.isascii()
    assert address.isprintable()
    assert " " not in address
