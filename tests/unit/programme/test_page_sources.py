"""What is doubtful in a source before anything is rendered: images, links, plain text."""

from __future__ import annotations

import pytest

from shared.programme.checks.page_sources import page_flaws, text_flaws
from shared.programme.html_links import written_tags

SIZED = 'width="600" height="200"'


def page(source: str) -> list[tuple[str, int | None]]:
    flaws = list(page_flaws(source))
    assert all(flaw.warning and flaw.hint for flaw in flaws)
    return [(flaw.message, flaw.line) for flaw in flaws]


def text(source: str) -> list[tuple[str, int | None]]:
    return [(flaw.message, flaw.line) for flaw in text_flaws(source)]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f'<img src="https://x.example.org/a.png" {SIZED}>', "an image without `alt`"),
        ('<img src="https://x.example.org/a.png" alt="x" width="6">', "an image without its size"),
        (f'<img src="http://x.example.org/a.png" alt="" {SIZED}>', "not fetched by https"),
        (f'<img src="data:image/png;base64,AA" alt="" {SIZED}>', "inside of its own address"),
        (f'<img src="images/a.png" alt="" {SIZED}>', "without a whole address"),
        (f'<img alt="" {SIZED}>', "without a whole address"),
        ('<a href="http://x.example.org/{{ area.slug }}">x</a>', "is not https"),
    ],
)
def test_what_is_doubtful_in_html(source: str, said: str) -> None:
    (found,) = page(f"\n{source}")
    assert said in found[0]
    assert found[1] == 2


@pytest.mark.parametrize(
    "source",
    [
        f'<img src="https://x.example.org/a.png" alt="x" {SIZED}>',
        '<IMG SRC="https://x.example.org/a.png" ALT="" style="width:100%; height: auto">',
        f'<img src="{{{{ area.photo }}}}" alt="{{{{ area.name }}}}" {SIZED}>',
        "<!-- <img> <a href='http://x.example.org'> -->",
        '<a href="https://x.example.org">x</a> <a href="mailto:a@example.org">m</a>',
        "{# <img> #}",
    ],
)
def test_what_is_not(source: str) -> None:
    assert page(source) == []


def test_plain_text_that_is_none() -> None:
    assert text("Hello\n<b>now</b> &amp; here") == [
        ("<b> stands in the text part, where it is shown as it is", 2)
    ]
    assert text("Fish &amp; chips")[0][0].startswith("&amp; stands in the text part")
    assert text("See http://x.example.org/{{ area.slug }}.")[0][0] == (
        "the link http://x.example.org/... is not https"
    )
    assert text("3 < 4 > 2, a & b\n{{ '<b>' }}") == []


def test_long_lines_are_counted_once() -> None:
    long = "word " * 20
    assert text(f"short\n{long}\n{long}") == [
        ("2 lines of the text part are longer than 78 characters", 2)
    ]
    assert text(f"{long}")[0][0] == "1 line of the text part is longer than 78 characters"
    assert text("https://example.org/" + "x" * 90) == [], "an address cannot be broken"
    assert text("Hello {{ area.name | default('" + "x" * 90 + "') }}") == []


def test_tags_hold_their_attributes_as_written() -> None:
    source = '<p>\n<IMG Alt="{{ a > b }}" alt="second" src=x{% if y %} hidden{% endif %}/></p>'
    paragraph, image = written_tags(source)
    assert (paragraph.name, dict(paragraph.attributes)) == ("p", {})
    assert image.name == "img"
    assert image.attributes["alt"] == "{{ a > b }}"
    assert source[image.name_end - 4 : image.name_end] == "<IMG"
