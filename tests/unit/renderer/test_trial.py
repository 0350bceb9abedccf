"""The trial render before a launch: what would go wrong is said, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from services.renderer.trial import SAMPLES, trial, trial_render
from shared.errors import RetryLater
from shared.programme.definitions import Areas, Disclaimer, Variant
from tests.unit.renderer.building import (
    HTML,
    OWED,
    SIGNING,
    TEXT,
    a_book,
    a_campaign,
    a_send,
    a_template,
)


def areas(default: dict[str, Any] | None = None, **by_code: dict[str, Any]) -> Areas:
    return Areas(name="n", kind="k", by_code=by_code, default=default)


def faults(template: dict[str, str] | None = None, **parts: Any) -> list[str]:
    values: dict[str, Any] = {"send": a_send(), "campaign": a_campaign(), "areas": None} | parts
    return trial_render(
        values["send"], values["campaign"], {"ask": a_template(**(template or {}))},
        values["areas"], SIGNING, values.get("samples", SAMPLES),
    )  # fmt: skip


def test_a_sound_send_has_no_faults() -> None:
    book = a_book(
        a_campaign(), a_template(), a_send(areas="n"), areas({"slug": "b"}, FK1={"slug": "a"})
    )
    assert trial(book, "ask", SIGNING) == []


def test_an_edition_that_lacks_a_field_is_named() -> None:
    uses = {"html": HTML.replace("Hello", "{{ area.venue }}")}
    (fault,) = faults(uses, areas=areas(FK1={"slug": "a", "venue": "hall"}, FK2={"slug": "b"}))
    assert fault == (
        "variant a, edition FK2, somebody: template ask: mail.html.j2, line 1: there is no field "
        "'venue'; give it a default if it may be missing (and 1 more like it)"
    )


def test_people_without_an_area_are_tried_too_and_a_list_without_any_is_no_crash() -> None:
    uses = {"html": HTML.replace("Hello", "{{ area.venue }}")}
    (fault,) = faults(uses, areas=areas({"slug": "x"}))
    assert fault.startswith("variant a, somebody: ")
    assert faults(uses, areas=areas()) == []


def test_every_variant_and_every_sample_is_tried() -> None:
    send = a_send(
        variants=(
            Variant(name="a", template="ask"),
            Variant(name="b", template="ask", subject="{{ supporter.nickname }}"),
        )
    )
    (fault,) = faults(send=send)
    assert fault.startswith("variant b, somebody: template ask: subject, line 1: there is no field")
    nameless = {"subject": "For {{ supporter.first_name[0] }}"}
    (fault,) = faults(nameless)
    assert fault.startswith("variant a, somebody without a name: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"html": "<p>{{ disclaimer }}</p>"}, "no {{ unsubscribe_url }} in the HTML part"),
        ({"text": "{{ disclaimer }}"}, "no {{ unsubscribe_url }} in the text part"),
        ({"html": "<p>{{ unsubscribe_url }}</p>"}, "no {{ disclaimer }} in the HTML part"),
        ({"text": "{{ unsubscribe_url }}"}, "no {{ disclaimer }} in the text part"),
        (
            {"text": TEXT.replace(
                "{{ disclaimer }}", "{% if supporter.name %}{{ disclaimer }}{% endif %}"
            )},
            "variant a, somebody without a name: template ask: there is no {{ disclaimer }}",
        ),
        ({"html": f"{OWED}{{{{ nonsense }}}}"}, "nothing is called 'nonsense'"),
        ({"html": "{% if %}"}, "variant a: template ask: mail.html.j2, line 1"),
    ],
)  # fmt: skip
def test_what_no_mail_may_go_without_is_looked_for(change: dict[str, str], said: str) -> None:
    found = faults(change)
    assert any(said in fault for fault in found)


@pytest.mark.parametrize(
    ("disclaimer", "lacks"),
    [
        (Disclaimer(jurisdiction="uk", promoter="P"), "promoter_address"),
        (Disclaimer(jurisdiction="uk", promoter_address="1 Lane"), "promoter"),
        (
            Disclaimer(
                jurisdiction="uk", promoter="P", promoter_address="1 Lane", on_behalf_of="Q"
            ),
            "on_behalf_of_address",
        ),
        (Disclaimer(jurisdiction="none"), "reason"),
    ],
)
def test_a_campaign_without_a_complete_disclaimer_is_refused(
    disclaimer: Disclaimer, lacks: str
) -> None:
    (fault,) = faults(campaign=a_campaign(disclaimer=disclaimer))
    assert f"disclaimer lacks {lacks}: no mail may go without it" in fault


def test_a_campaign_without_a_postal_address_is_refused() -> None:
    us = Disclaimer(jurisdiction="us", promoter="P")
    (fault,) = faults(campaign=a_campaign(disclaimer=us, postal_address=" "))
    assert "lacks postal_address" in fault


def test_what_was_approved_is_what_is_tried() -> None:
    sound, broken = a_template(), a_template(html="{{ nonsense }}")
    book = a_book(a_campaign(), a_send(), sound, broken)
    assert trial(book, "ask", SIGNING) != []
    assert trial(book, "ask", SIGNING, {"template/ask": sound.version()}) == []


def test_a_definition_that_has_not_arrived_is_waited_for() -> None:
    with pytest.raises(RetryLater, match="send 'ask' has not arrived"):
        trial(a_book(a_campaign()), "ask", SIGNING)
    book = a_book(a_campaign(), a_send(), a_template())
    with pytest.raises(RetryLater, match="version 012345678901 of the template 'ask'"):
        trial(book, "ask", SIGNING, {"template/ask": "012345678901"})
