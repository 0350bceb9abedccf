"""The example is a whole, right programme, and its mails read well in every area."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from jinja2 import DictLoader

from shared.programme.definitions import Areas, Campaign, Segment, Send, Template
from shared.programme.links import destination, number_template
from shared.programme.reading import Programme, read_programme
from shared.programme.template_language import TemplateEnvironment

ROOT = Path(__file__).parents[3] / "examples" / "forth-valley"


@pytest.fixture(scope="module")
def programme() -> Programme:
    return read_programme(ROOT)


def templates(programme: Programme) -> list[Template]:
    return [each for each in programme.definitions if isinstance(each, Template)]


def test_it_is_right_without_a_doubt(programme: Programme) -> None:
    assert not programme.warnings
    sends = {each.name: each for each in programme.definitions if isinstance(each, Send)}
    assert {name: send.segment for name, send in sends.items()} == {
        "volunteer-ask": "supporters-to-ask",
        "follow-up": "clicked-not-volunteered",
        "thank-you": "volunteers",
        "polling-day": "pledged-not-voted",
    }
    assert [variant.template for variant in sends["volunteer-ask"].variants] == [
        "ask-direct",
        "ask-neighbourly",
    ]
    assert sends["follow-up"].mode == sends["thank-you"].mode == "newly_qualifies"
    assert sends["polling-day"].deadline is not None
    assert sends["polling-day"].unless_done == ("voted",)
    assert sends["polling-day"].priority == "urgent"


def test_everybody_asked_has_an_organiser_of_their_own(programme: Programme) -> None:
    areas = programme.by_key()["areas", "neighbourhoods"]
    segment = programme.by_key()["segment", "supporters-to-ask"]
    assert isinstance(areas, Areas)
    assert isinstance(segment, Segment)
    asked = segment.rule.model_dump()["parts"][0]["codes"]
    assert set(asked) == set(areas.by_code)
    with (ROOT / "areas" / "neighbourhoods.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert all(all(row.values()) for row in rows)


class Mail:
    """Subject, HTML and text as a person would get them, links followed to their addresses."""

    def __init__(self, template: Template, campaign: Campaign) -> None:
        numbered = number_template(template)
        self.hrefs = numbered.hrefs
        self.campaign = campaign.model_dump()
        mains = {"subject": template.subject, "html": numbered.html, "text": numbered.text}
        sources = DictLoader({**numbered.partials, **mains})
        plain = TemplateEnvironment(autoescape=False, loader=sources)
        escaped = TemplateEnvironment(autoescape=True, loader=sources)
        self.parts = (
            plain.get_template("subject"),
            escaped.get_template("html"),
            plain.get_template("text"),
        )

    def rendered(self, area: dict[str, str], name: str) -> list[str]:
        context = {
            "supporter": {"first_name": name, "language": "en", "attributes": {}},
            "area": area,
            "campaign": self.campaign,
            "send": {"name": "x"},
            "preheader": "PREHEADER",
            "disclaimer": "DISCLAIMER",
            "unsubscribe_url": "https://example.org/leave",
            "preferences_url": "https://example.org/choose",
            "tracked": lambda number: destination(self.hrefs[number], {"area": area}),
        }
        return [part.render(context) for part in self.parts]


@pytest.mark.parametrize("name", ["Isla", ""])
def test_every_mail_can_be_made_for_every_area(programme: Programme, name: str) -> None:
    areas = programme.by_key()["areas", "neighbourhoods"]
    campaign = programme.by_key()["campaign", "forth-valley-together"]
    assert isinstance(areas, Areas)
    assert isinstance(campaign, Campaign)
    assert areas.default is not None
    for template in templates(programme):
        mail = Mail(template, campaign)
        for area in [*areas.by_code.values(), areas.default]:
            subject, html, text = mail.rendered(area, name)
            assert subject.strip() == subject
            assert "  " not in subject
            assert ", ?" not in subject
            for part in (html, text):
                assert "https://example.org/leave" in part
                assert "DISCLAIMER" in part
                assert (name or "neighbour") in part
                assert area["organiser"] in part
            assert "PREHEADER" in html


def test_text_and_html_say_the_same(programme: Programme) -> None:
    """Each sentence of the text part is in the HTML part, whatever the layout around it."""
    for template in templates(programme):
        block = re.search(r"block content -%}(.*){%- endblock", template.text, re.DOTALL)
        assert block is not None
        html = _plain(template.html + template.partials.get("meeting.html.j2", ""))
        for sentence in re.split(r"[.?:]\s|\n\n", block[1]):
            words = _plain(sentence)
            if words and "https" not in words and "{{" not in words:
                assert words in html, (template.name, words)


def _plain(source: str) -> str:
    text = re.sub(r"<[^>]+>", " ", source).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(re.sub(r"[^\w{}' ]", " ", text).split())


def test_the_layout_is_fit_for_phones_dark_screens_and_screen_readers(
    programme: Programme,
) -> None:
    layout = templates(programme)[0].partials["base.html.j2"]
    styles = templates(programme)[0].partials["styles.html.j2"]
    assert 'name="viewport"' in layout
    assert 'name="color-scheme"' in layout
    assert "prefers-color-scheme: dark" in styles
    assert layout.count("<table") == layout.count('<table role="presentation"')
    # An inliner that reads HTML would add a row group to tables without one.
    outside_outlook = re.sub(r"<!--.*?-->", "", layout, flags=re.DOTALL)
    assert outside_outlook.count("<table") == outside_outlook.count("<tbody>")
