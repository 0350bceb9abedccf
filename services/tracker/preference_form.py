"""The form of the preference page: as HTML, and what a filled one says. Pure.

Every field begins with "leave as it is" and says nothing of what was chosen before: whoever holds
the mail may see the page. Works without script, by keyboard, and read aloud.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final, get_args
from urllib.parse import parse_qs

from services.tracker.wording import Words, offered_words
from shared.programme.definitions import Campaign
from shared.wire.supporters import Frequency, TrackingLevel

JOIN: Final = "join"
LEAVE: Final = "leave"
SAME: Final = ""
"""The value of what is left as it is."""
MOST_FIELDS: Final = 200

_POSTCODE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 -]{1,8}[A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class Choices:
    """What somebody wants to be otherwise; None, or absent, is what stays as it is.

    `tracking_wording`: the words by which `tracking` was chosen.
    """

    topics: Mapping[str, bool] = field(default_factory=dict)
    frequency: Frequency | None = None
    language: str | None = None
    postcode: str | None = None
    tracking: TrackingLevel | None = None
    tracking_wording: str = ""

    def __bool__(self) -> bool:
        return self != Choices()


class WrongPostcode(ValueError):
    """What was written cannot be one."""


def read_form(body: bytes, campaign: Campaign | None, words: Words) -> Choices:
    """What a posted form says. What is not among what can be chosen says nothing: the campaign may
    have changed while the page was open. Raises WrongPostcode.
    """
    fields = fields_of(body)
    topics = {
        name: fields[f"topic.{name}"] == JOIN
        for name in (campaign.topics if campaign is not None else ())
        if fields.get(f"topic.{name}") in (JOIN, LEAVE)
    }
    language = fields.get("language", SAME)
    tracking = next((each for each in get_args(TrackingLevel) if each == fields.get("seen")), None)
    return Choices(
        topics=topics,
        frequency=next((f for f in get_args(Frequency) if f == fields.get("often")), None),
        language=language if campaign is not None and language in campaign.languages else None,
        postcode=_postcode(fields.get("postcode", "")),
        tracking=tracking,
        tracking_wording=f"{words.seen}: {_seen(words)[tracking]}" if tracking else "",
    )


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    try:
        found = parse_qs(body.decode(errors="replace"), max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[-1].strip() for name, values in found.items()}


def form(
    words: Words,
    campaign: Campaign | None,
    stop_at: str,
    given: Mapping[str, str],
    *,
    wrong_postcode: bool = False,
) -> str:
    """The inside of the page. `stop_at` is where all mail is stopped; `given` what was chosen on
    this very page, when it is shown again because something was wrong.
    """
    parts = [
        _languages_of_page(words, campaign),
        _alert(words) if wrong_postcode else "",
        f"<h1>{escape(words.choose_heading)}</h1><p>{escape(words.choose_text)}</p>",
        '<form method="post">',
        _topics(words, campaign, given),
        _radios(words, "often", words.often, _often(words).items(), given),
        _language(words, campaign, given),
        _area(words, given, wrong=wrong_postcode),
        _radios(words, "seen", words.seen, _seen(words).items(), given, hint=words.seen_text),
        f'<button type="submit">{escape(words.save)}</button></form>',
        f'<p class="beside"><a href="{escape(stop_at)}">{escape(words.stop_all)}</a></p>',
    ]
    return "".join(parts)


def summary(words: Words, campaign: Campaign | None, choices: Choices) -> str:
    """The inside of the page that says what was changed."""
    if not choices:
        return (
            f'<h1 role="status">{escape(words.saved_heading)}</h1>'
            f"<p>{escape(words.nothing_changed)}</p><p>{escape(words.close)}</p>"
        )
    listed = "".join(f"<li>{escape(line)}</li>" for line in _lines(words, campaign, choices))
    return (
        f'<h1 role="status">{escape(words.saved_heading)}</h1><p>{escape(words.saved_text)}</p>'
        f"<ul>{listed}</ul><p>{escape(words.on_its_way)} {escape(words.close)}</p>"
    )


def _lines(words: Words, campaign: Campaign | None, choices: Choices) -> Iterable[str]:
    titles = campaign.topics if campaign is not None else {}
    for name, wanted in choices.topics.items():
        yield f"{titles.get(name, name)}: {words.topic_join if wanted else words.topic_leave}"
    if choices.frequency is not None:
        yield f"{words.often}: {_often(words)[choices.frequency]}"
    if choices.language is not None and campaign is not None:
        yield f"{words.language}: {campaign.languages[choices.language]}"
    if choices.postcode is not None:
        yield words.saved_area
    if choices.tracking is not None:
        yield f"{words.seen}: {_seen(words)[choices.tracking]}"


def _often(words: Words) -> dict[Frequency, str]:
    return {
        "everything": words.often_everything,
        "weekly": words.often_weekly,
        "important": words.often_important,
    }


def _seen(words: Words) -> dict[TrackingLevel, str]:
    return {"all": words.seen_all, "links": words.seen_links, "none": words.seen_none}


def _languages_of_page(words: Words, campaign: Campaign | None) -> str:
    offered = offered_words(campaign)
    if len(offered) < 2:
        return ""
    links = [
        f'<span aria-current="true">{escape(each.name)}</span>'
        if each.code == words.code
        else f'<a href="?lang={each.code}" lang="{each.code}" hreflang="{each.code}">'
        f"{escape(each.name)}</a>"
        for each in offered
    ]
    return f'<nav aria-label="{escape(words.language)}">{"".join(links)}</nav>'


def _alert(words: Words) -> str:
    return (
        f'<div class="alert" role="alert"><h2>{escape(words.wrong_heading)}</h2>'
        f'<p><a href="#postcode">{escape(words.area_wrong)}</a></p></div>'
    )


def _topics(words: Words, campaign: Campaign | None, given: Mapping[str, str]) -> str:
    if campaign is None or not campaign.topics:
        return ""
    options = {SAME: words.no_change, JOIN: words.topic_join, LEAVE: words.topic_leave}
    rows = [
        f'<div class="row"><label for="t{number}">{escape(title)}</label>'
        f"{_select(f't{number}', f'topic.{name}', options, given)}</div>"
        for number, (name, title) in enumerate(campaign.topics.items())
    ]
    return f"<fieldset><legend>{escape(words.topics)}</legend>{''.join(rows)}</fieldset>"


def _language(words: Words, campaign: Campaign | None, given: Mapping[str, str]) -> str:
    if campaign is None or len(campaign.languages) < 2:
        return ""
    options = {SAME: words.no_change, **campaign.languages}
    return (
        f'<div class="field"><label for="language">{escape(words.language)}</label>'
        f"{_select('language', 'language', options, given)}</div>"
    )


def _area(words: Words, given: Mapping[str, str], *, wrong: bool) -> str:
    described, invalid, said = "postcode-hint", "", ""
    if wrong:
        described, invalid = "postcode-hint postcode-wrong", ' aria-invalid="true"'
        said = f'<p class="hint wrong" id="postcode-wrong">{escape(words.area_wrong)}</p>'
    return (
        f'<div class="field"><label for="postcode">{escape(words.area)}</label>'
        f'<p class="hint" id="postcode-hint">{escape(words.area_hint)}</p>{said}'
        f'<input type="text" id="postcode" name="postcode" autocomplete="off" maxlength="12" '
        f'value="{escape(given.get("postcode", ""))}" aria-describedby="{described}"{invalid}>'
        "</div>"
    )


def _radios(
    words: Words,
    name: str,
    legend: str,
    options: Iterable[tuple[str, str]],
    given: Mapping[str, str],
    hint: str = "",
) -> str:
    chosen = given.get(name, SAME)
    said = {SAME: words.no_change, **dict(options)}
    rows = [
        f'<label class="choice"><input type="radio" name="{name}" value="{value}"'
        f"{' checked' if value == chosen else ''}><span>{escape(text)}</span></label>"
        for value, text in said.items()
    ]
    explained = f'<p class="hint">{escape(hint)}</p>' if hint else ""
    return f"<fieldset><legend>{escape(legend)}</legend>{explained}{''.join(rows)}</fieldset>"


def _select(
    identifier: str, name: str, options: Mapping[str, str], given: Mapping[str, str]
) -> str:
    chosen = given.get(name, SAME)
    listed = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(text)}</option>"
        for value, text in options.items()
    )
    return f'<select id="{identifier}" name="{escape(name)}">{listed}</select>'


def _postcode(text: str) -> str | None:
    """As it was written, in capitals; None for nothing. Which place it is, is not asked here."""
    if not text:
        return None
    if not _POSTCODE.fullmatch(text) or not any(sign.isdigit() for sign in text):
        raise WrongPostcode
    return " ".join(text.upper().split())
