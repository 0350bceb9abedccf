"""Definitions are checked against each other, and doubts are warnings."""

from __future__ import annotations

from datetime import datetime

import pytest

from shared.programme.checking import check_programme
from shared.programme.definitions import Segment, Send, Variant
from shared.programme.rules import AllOf, Attribute, HasTag, NoneOf, Rule
from tests.unit.programme.small_programme import CAMPAIGN, HTML, SEND, parse, problems, warnings


@pytest.mark.parametrize(
    ("send", "line", "message"),
    [
        (SEND.replace("everyone", "everyon"), 1, 'did you mean "everyone"?'),
        (SEND.replace(": ask", ": aks"), 4, 'there is no template "aks"'),
        (SEND + "areas: place\n", 5, 'did you mean "places"?'),
        (SEND + "  - {name: only, template: ask}\n", 3, 'two variants are called "only"'),
        (SEND + "  - {name: B 2, template: ask}\n", 5, '"B 2" cannot be a name'),
        (SEND + "    weight: 0\n", 5, "`weight`: must be at least 1"),
        (SEND.partition("variants")[0] + "variants: []\n", 2, "must not be empty"),
        (SEND + "reply_to: somebody\n", 5, "write it like team@example.org"),
        (SEND + "topic: Our News\n", 5, "use lower-case letters"),
        (SEND + "unless_done: [Voted!]\n", 5, '"Voted!" cannot be a name'),
        (
            SEND + "until: 2027-05-06 12:00 Europe/London\n",
            5,
            "only a send that goes on has an end",
        ),
        (
            SEND
            + "mode: newly_qualifies\nuntil: 2027-05-06 12:00 Z\ndeadline: 2027-05-06 11:00 Z\n",
            7,
            "it comes before `until`",
        ),
        (SEND + "    subject: Hi {{ suporter.name }}\n", 5, 'did you mean "supporter"?'),
    ],
)
def test_a_wrong_send_is_named_where_it_is_wrong(send: str, line: int, message: str) -> None:
    found = problems({"sends/ask.yaml": send})
    assert message in str(found[0])
    assert (found[0].file, found[0].line) == ("sends/ask.yaml", line)


def test_a_send_that_goes_on_needs_no_end() -> None:
    assert not problems({"sends/ask.yaml": SEND + "mode: newly_qualifies\n"})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{clicked: aks}", 'did you mean "ask"?'),
        ("{not_got: aks}", 'there is no send "aks"'),
        ("{acted: {send: aks, action: signed}}", 'there is no send "aks"'),
        ("{got: {send: ask, variant: onli}}", 'did you mean "only"?'),
        ("{area: {postcode_secter: [FK1 1]}}", 'did you mean "postcode_sector"?'),
        ("{area: {postcode_sector: [FK1 1, fk1-1]}}", '"fk1-1" is no postcode sector'),
        ("{area: {postcode_sector: [fk1 1]}}", 'did you mean "FK1 1"?'),
        ("{area: {postcode_district: [FK1 1]}}", '"FK1 1" is no postcode district'),
        ("{language: en_GB}", "write it like"),
    ],
)
def test_a_rule_that_names_what_is_not_there_is_wrong(rule: str, message: str) -> None:
    [problem] = problems({"segments/everyone.yaml": f"description: x\nwhere: {rule}\n"})
    assert message in str(problem)
    assert (problem.file, problem.line) == ("segments/everyone.yaml", 2)


def test_a_code_is_found_in_a_list_of_many_lines() -> None:
    rule = "where:\n  area:\n    postcode_sector: [\n      FK1 1,\n      FK11]\n"
    [problem] = problems({"segments/everyone.yaml": rule})
    assert (problem.line, problem.column) == (5, 7)


def test_a_kind_of_area_of_ones_own_is_declared_by_an_areas_file() -> None:
    rule = "where: {area: {wards: [north]}}\n"
    assert problems({"segments/everyone.yaml": rule})
    declared = {
        "segments/everyone.yaml": rule,
        "areas/wards.yaml": "kind: wards\ndefault: {a: b}\n",
    }
    assert warnings(dict(declared)) == ["`kind`: wards is a kind of your own"]


def test_generations_of_areas_are_not_misspellings_of_each_other() -> None:
    assert not problems({"segments/everyone.yaml": "where: {area: {constituency_2010: [S1]}}\n"})


def test_likely_misspellings_of_actions_and_empty_choices_are_doubts() -> None:
    rule = "where: {any: [{did: volunterred}, {any: []}, {did: knitted}]}\n"
    assert warnings({"segments/everyone.yaml": rule}) == [
        '"volunterred" is an action of your own making',
        "`any` without conditions holds for nobody",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hello@small.example.org", "hello", "`from_address`"),
        ("hello@small.example.org", "Small <hello@small.example.org>", "`from_address`"),
        ("office@small.example.org", "office@example", "`reply_to`"),
        ("name: small\n", "name: Small Campaign\n", 'did you mean "small-campaign"?'),
        ("from_name: Small Campaign", 'from_name: ""', "`from_name`: it is empty"),
        ("disclaimer:", "timezone: Europe/Londn\ndisclaimer:", 'did you mean "Europe/London"?'),
        ("disclaimer:", "language: english!\ndisclaimer:", "`language`"),
        ("disclaimer:", "configuration_set: a b\ndisclaimer:", "SES allows"),
        ("  promoter: A. Person\n", "", "`disclaimer.promoter` is missing"),
        ("  promoter_address: 1 Test Lane\n", "", "`disclaimer.promoter_address` is missing"),
        ("  promoter: ", "  on_behalf_of: B\n  promoter: ", "`disclaimer.on_behalf_of_address`"),
        ("disclaimer:", "topics: {Our News: News}\ndisclaimer:", '"Our News" cannot be a name'),
        ("disclaimer:", 'topics: {news: ""}\ndisclaimer:', '"news" has no words'),
        ("disclaimer:", "languages: {cy: Cymraeg}\ndisclaimer:", '"en" is not among them'),
        ("disclaimer:", "languages: {en: E, c!: C}\ndisclaimer:", "is no language code"),
        *(
            ("disclaimer:", f"webhooks: [{{{said}}}]\ndisclaimer:", message)
            for said, message in (
                ("name: C R M, url: https://a.example, events: [acted]", '"C R M"'),
                ("name: crm, url: http://a.example/, events: [acted]", "cannot be told of events"),
                ("name: crm, url: https://u:p@a.example/, events: [acted]", "cannot be told"),
                ("name: crm, url: https://a.example, events: [cliked]", "kind of event"),
                ("name: crm, url: https://a.example, events: []", "must not be empty"),
                ("name: crm, url: https://a.example, events: [opened], actions: [signed]", "acted"),
            )
        ),
        ("jurisdiction: uk", "jurisdiction: none", "`disclaimer.reason` is missing"),
        ("postal_address: 1 Test Lane", 'postal_address: " "', "`postal_address`: it is empty"),
        (
            "postal_address",
            "seeds: [a@example.org, me]\npostal_address",
            '"me" is no e-mail address',
        ),
    ],
)
def test_a_campaign_that_must_not_send_is_named(old: str, new: str, message: str) -> None:
    assert old in CAMPAIGN
    [problem] = problems({"campaign.yaml": CAMPAIGN.replace(old, new)})
    assert message in str(problem)
    assert problem.file == "campaign.yaml"


def test_a_us_disclaimer_is_the_organisation_and_its_address() -> None:
    assert not problems(
        {"campaign.yaml": CAMPAIGN.partition("disc")[0] + "disclaimer: {jurisdiction: us}"}
    )


def test_an_address_nobody_reads_is_a_doubt() -> None:
    campaign = CAMPAIGN.replace("office@", "no-reply@")
    assert warnings({"campaign.yaml": campaign}) == ["`reply_to` tells people not to answer"]
    send = SEND + "reply_to: donotreply@small.example.org\n"
    assert warnings({"sends/ask.yaml": send}) == ["`reply_to`: it tells people not to answer"]


def test_a_template_shows_only_what_every_area_has() -> None:
    changes: dict[str, str | bytes | None] = {
        "templates/ask/mail.html.j2": HTML + "{{ area.venue }}\n{{ area.organiser }}\n",
        "areas/places.yaml": (
            "kind: ward\ndefault: {venue: x, organiser: y}\n"
            "by_code:\n  W1: {venue: x, organiser: y}\n  W2: {venue: x}\n"
        ),
        "sends/ask.yaml": SEND + "areas: places\n",
    }
    [problem] = problems(changes)
    assert problem.message == "`organiser` is missing for W2"
    assert 'template "ask" shows area.organiser (html, line 6)' in problem.hint
    assert (problem.file, problem.line) == ("areas/places.yaml", 5)
    guarded = HTML + '{{ area.venue }} {{ area.organiser | default("us") }}\n'
    assert not problems({**changes, "templates/ask/mail.html.j2": guarded})


def test_a_field_that_no_area_has_is_a_misspelling_in_the_template() -> None:
    [problem] = problems(
        {
            "templates/ask/mail.html.j2": HTML + "{{ area.venu }}",
            "sends/ask.yaml": SEND + "areas: places\n",
        }
    )
    assert (problem.file, problem.line) == ("templates/ask/mail.html.j2", 5)
    assert problem.hint == 'did you mean "venue"?'


def test_a_template_that_shows_areas_or_a_deadline_needs_a_send_that_has_them() -> None:
    [problem] = problems({"templates/ask/mail.html.j2": HTML + "{{ area.venue }}"})
    assert "this send names no areas" in problem.message
    assert problem.file == "sends/ask.yaml"
    deadline: dict[str, str | bytes | None] = {
        "templates/ask/mail.html.j2": HTML + "{{ send.deadline }}"
    }
    [problem] = problems(deadline)
    assert "this send has none" in problem.message
    with_it = SEND + "deadline: 2027-05-06 21:30 Z\n"
    assert not problems({**deadline, "sends/ask.yaml": with_it})


def test_areas_without_a_default_leave_people_out() -> None:
    changes: dict[str, str | bytes | None] = {
        "templates/ask/mail.html.j2": HTML + "{{ area.venue }}",
        "areas/places.yaml": "kind: ward\nby_code: {W1: {venue: x}}\n",
        "sends/ask.yaml": SEND + "areas: places\n",
    }
    [message] = warnings(changes)
    assert "who is in none of its areas gets no mail" in message


def _messages(*definitions: Segment | Send) -> list[str]:
    return [finding.message for finding in check_programme([*parse().definitions, *definitions])]


def test_definitions_that_come_from_no_file_are_checked_the_same() -> None:
    naive = Send(
        name="late",
        segment="everyone",
        variants=(Variant(name="a", template="ask"),),
        deadline=datetime(2027, 5, 6, 21, 30),  # noqa: DTZ001 - that is what is wrong with it
    )
    assert _messages(naive) == ["`deadline`: no time zone"]
    assert _messages(Segment(name="everyone", rule=HasTag(tag="x"))) == [
        'two segment definitions "everyone"'
    ]
    odd = Attribute(name="age", comparison="is", values=(1, 2))
    assert _messages(Segment(name="odd", rule=odd)) == ["`is` with 2 values"]


def test_a_bottomless_rule_is_refused() -> None:
    rule: Rule = HasTag(tag="x")
    for _ in range(40):
        rule = NoneOf(parts=(AllOf(parts=(rule,)),))
    assert _messages(Segment(name="deep", rule=rule)) == ["nested too deep"]


def test_a_programme_has_exactly_one_campaign() -> None:
    campaign = parse().definitions[0]
    other = campaign.model_copy(update={"name": "second"})
    [finding] = check_programme([campaign, other])
    assert finding.message == "several campaigns: second, small"


def test_a_topic_that_nobody_can_choose_is_a_doubt() -> None:
    offering = CAMPAIGN + "topics: {campaing: Ours, events: Events}\n"
    [warning] = warnings({"campaign.yaml": offering})
    assert '"campaign" is no topic that people can choose' in str(warning)
    assert not warnings({"campaign.yaml": offering.replace("campaing", "campaign")})
