"""Templates compiled once: faults in plain words, the sandbox, the pixel and the preheader."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
from markupsafe import Markup

from services.renderer.limits import MOST_BYTES, MOST_SECONDS
from services.renderer.quoted_printable import decoded
from services.renderer.template_faults import TemplateFault
from services.renderer.templates import SLOW_AT_MOST, CompiledTemplate, Printed
from shared.programme.links import HIDDEN_LINK
from tests.unit.renderer.building import OWED, a_template

BASE = '<html><body class="x"><h1>{% block top %}base{% endblock %}</h1>' + OWED
CHILD = '{% extends "base.html.j2" %}{% block top %}{{ super() }} and child{% endblock %}'


LINKS = "https://t.example.org/c/x/"


class Plain(NamedTuple):
    """What a template made, decoded."""

    subject: str
    html: str
    text: str


def rendered(
    pixel: str = "https://t.example.org/o/x.gif",
    links: str = LINKS,
    clock: Callable[[], float] = time.thread_time,
    **changes: Any,
) -> Plain:
    return plainly(CompiledTemplate(a_template(**changes), clock), pixel, links)


def plainly(template: CompiledTemplate, pixel: str = "", links: str = LINKS) -> Plain:
    context = {
        "supporter": {"first_name": "Ada", "attributes": {"items": "cake"}}, "area": {"slug": "s"},
        "send": {"name": "ask"}, "campaign": {"name": "c"},
    }  # fmt: skip
    made = template.render(
        context, subject="", disclaimer=Printed("A & B", Markup("A &amp; B")),
        unsubscribe_url=Printed("https://t/u/x"), links=Printed(links),
        pixel=pixel,
    )  # fmt: skip
    return Plain(made.subject, decoded(made.html), decoded(made.text))


def fault(**changes: Any) -> str:
    with pytest.raises(TemplateFault) as caught:
        rendered(**changes)
    return str(caught.value)


def test_a_missing_field_is_named_with_template_source_and_line() -> None:
    assert fault(html="<p>\n{{ supporter.shoe_size }}</p>") == (
        "template ask: mail.html.j2, line 2: there is no field 'shoe_size'; "
        "give it a default if it may be missing"
    )
    assert fault(text="\n\n{{ area.venue }}").startswith(
        "template ask: mail.txt.j2, line 3: there is no field 'venue'"
    )
    assert fault(subject="{{ area.venue }}").startswith(
        "template ask: subject, line 1: there is no field 'venue'"
    )
    assert fault(html="{{ nonsense }}").endswith("line 1: nothing is called 'nonsense'")


def test_a_fault_inside_of_a_partial_names_the_partial() -> None:
    partials = {
        "base.html.j2": f"{OWED}{{% include 'footer.html' %}}",
        "footer.html": "\n{{ area.x }}",
    }
    said = fault(html="{% extends 'base.html.j2' %}\n\n\n", partials=partials)
    assert said.startswith("template ask: footer.html, line 2: there is no field 'x'")


def test_a_fault_never_repeats_a_value() -> None:
    for expression in ("supporter.first_name + 1", "supporter.first_name|round", "1 // area.slug"):
        said = fault(html=f"{{{{ {expression} }}}}")
        assert "an expression does not fit its data" in said
        assert "Ada" not in said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("<p>\n{% if %}</p>", "mail.html.j2, line 2"),
        ("{% include 'gone' %}", "gone"),
        ("\n{{ x|nofilter }}", "mail.html.j2, line 2: No filter named 'nofilter'"),
    ],
)
def test_a_broken_template_says_where(source: str, said: str) -> None:
    assert said in fault(html=source)


@pytest.mark.parametrize(
    "attack",
    [
        "''.__class__.__mro__",
        "supporter.update({'a': 1})",
        "supporter.attributes.clear()",
        "supporter.__init__.__globals__",
        "area['__class__']",
        "tracked.__class__",
        "disclaimer.__class__",
        "cycler.__init__.__globals__",
        "self.__init__.__globals__",
        "'%s'.__mod__.__self__.__class__",
        "'{0.__class__}'.format(area)",
        "range(10**9)",
    ],
)
def test_the_sandbox_lets_nothing_out_and_nothing_in(attack: str) -> None:
    said = fault(html=f"{OWED}{{{{ {attack} }}}}")
    assert said.startswith("template ask: mail.html.j2, line 1: ")


def test_a_field_comes_before_a_method_of_the_same_name() -> None:
    assert "cake" in rendered(html="{{ supporter.attributes.items }}").html


def test_values_are_escaped_in_html_and_not_in_text() -> None:
    source = "{{ area.slug ~ '<&>' }} {{ disclaimer }}"
    made = rendered(html=source, text=source)
    assert "s&lt;&amp;&gt; A &amp; B" in made.html
    assert made.text == "s<&> A & B"


def test_links_are_numbered_the_same_in_partials_loops_and_text() -> None:
    made = rendered(
        html="{% for n in range(2) %}<a href='https://a.example'>{{ n }}</a>{% endfor %}"
        "{% include 'p.html' %}",
        text="https://b.example and https://a.example.",
        partials={"p.html": "<a href='https://b.example'>b</a>"},
    )
    assert made.html.count('"https://t.example.org/c/x/0"') == 2
    assert made.html.count('"https://t.example.org/c/x/1"') == 1
    assert made.text == "https://t.example.org/c/x/1 and https://t.example.org/c/x/0."


@pytest.mark.parametrize(
    ("html", "partials"),
    [
        ("<body><p>x</p></BODY >", {}),
        ("<p>x</p>", {}),
        (CHILD, {"base.html.j2": BASE}),
        (CHILD, {"base.html.j2": BASE + "</body></html>"}),
        ("{% extends 'mid' %}", {"mid": CHILD, "base.html.j2": BASE}),
    ],
)
def test_the_pixel_is_there_once_whatever_the_page_is_made_of(
    html: str, partials: dict[str, str]
) -> None:
    made = rendered(html=html, partials=partials)
    assert made.html.count('<img src="https://t.example.org/o/x.gif"') == 1
    assert "</body" not in made.html.lower().partition("<img")[0]
    assert "<img" not in made.text
    assert "<img" not in rendered(html=html, partials=partials, pixel="").html


def test_the_preheader_is_hidden_at_the_top_when_no_source_places_it() -> None:
    preheader = "Read me, {{ supporter.first_name }} <3"
    made = rendered(html=CHILD, partials={"base.html.j2": BASE}, preheader=preheader)
    body, _, rest = made.html.partition('<body class="x">')
    assert body == "<html>"
    assert rest.startswith('<div style="display:none;')
    assert rest.partition("</div>")[0].endswith("Read me, Ada &lt;3")


def test_the_preheader_stands_where_a_source_places_it_and_nowhere_else() -> None:
    html = "<body><i>{{ preheader }}</i></body>"
    assert rendered(html=html, preheader="Read me").html.count("Read me") == 1
    html = "<body>{% if preheader %}<i>{{ preheader }}</i>{% endif %}</body>"
    assert rendered(html=html, preheader="Read me").html.count("Read me") == 1
    assert "<div" not in rendered(html="<body></body>").html


def test_output_without_end_is_stopped() -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}abc{% endfor %}{% endfor %}"
    assert f"it makes more than {MOST_BYTES} bytes" in fault(text=loop, clock=lambda: 0.0)


GROWING = "{%% set n = namespace(x=%s) %%}{%% for i in range(60) %%}%s{%% endfor %%}"


@pytest.mark.parametrize(
    "growing",
    [
        GROWING % ("'ab'", "{% set n.x = n.x ~ n.x %}"),
        GROWING % ("'ab'", "{% set n.x = n.x + n.x %}"),
        GROWING % ("[1]", "{% set n.x = n.x + n.x %}"),
        GROWING % ("9", "{% set n.x = n.x * n.x %}"),
        GROWING % ("'ab'", "{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}"),
        "{{ 'x' * 10**9 }}",
        "{{ (range(9) | list) * 10**9 }}",
        "{{ 9**99999 }}",
    ],
)
def test_nothing_inside_of_a_template_grows_without_end(growing: str) -> None:
    for part in ("html", "text", "subject"):
        assert re.search(r"it makes more than|makes something too large", fault(**{part: growing}))


def seconds_a_look(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever it is looked at."""
    return partial(next, itertools.count(0.0, seconds))


MACRO = "{%% macro m(n) %%}{%% if n %%}%s{%% endif %%}{%% endmacro %%}{{ m(60) }}"
AROUND = "{% macro around() %}{{ caller() }}{% endmacro %}"


@pytest.mark.parametrize(
    "endless",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(9) recursive %}{{ loop(range(9)) if loop.depth < 60 }}{% endfor %}",
        MACRO % "{{ m(n - 1) }}{{ m(n - 1) }}",
        AROUND + MACRO % "{% call around() %}{{ m(n - 1) }}{{ m(n - 1) }}{% endcall %}",
    ],
    ids=["loops", "recursive", "macros", "calls"],
)
def test_a_template_that_computes_for_long_is_stopped(endless: str) -> None:
    said = fault(html=f"\n{endless}", clock=seconds_a_look(MOST_SECONDS / 10))
    assert said.startswith("template ask: mail.html.j2, line 2: it computes for more than 0.5")


def test_a_block_that_shows_itself_ends_in_a_refusal() -> None:
    block = "{% block z %}{{ area.slug }}\n{{ self.z() }}\n{{ self.z() }}{% endblock %}"
    assert "recursion" in fault(html=block)
    assert "recursion" in fault(html="{% include 'p' %}\n{{ area.slug }}", partials={"p": block})


def test_includes_count_as_turns() -> None:
    tree = {str(n): f"{{% include '{n + 1}' %}}{{% include '{n + 1}' %}}" for n in range(40)}
    said = fault(
        html="{% include '0' %}", partials={**tree, "40": ""}, clock=seconds_a_look(MOST_SECONDS)
    )
    assert "it computes for more than" in said


def test_a_template_within_its_time_is_not_stopped_by_a_slow_machine() -> None:
    loop = "{% for a in range(99999) %}{% endfor %}"
    assert rendered(text=loop + "end", clock=lambda: 7.0).text == "end"


def test_a_template_that_is_too_slow_again_and_again_is_given_up() -> None:
    clock = [0.0]

    def looked_at() -> float:
        clock[0] += MOST_SECONDS
        return clock[0]

    loop = "{% for a in range(99999) %}{% endfor %}"
    template = CompiledTemplate(a_template(text=loop), looked_at)
    said = []
    for _ in range(SLOW_AT_MOST + 1):
        with pytest.raises(TemplateFault) as caught:
            plainly(template)
        said.append(str(caught.value))
    assert all("it computes for more than" in each for each in said[:-1])
    assert "it is given up" in said[-1]
    at = clock[0]
    with pytest.raises(TemplateFault, match="it is given up"):
        plainly(template)
    assert clock[0] == at


def test_long_output_with_gaps_is_whole() -> None:
    source = "{% for a in range(30000) %}{{ '' }}{% endfor %}end {{ '<' }}"
    made = rendered(html=source, text=source, pixel="", links="")
    assert made.html == "end &lt;"
    assert made.text == "end <"


def test_links_may_not_carry_the_supporter() -> None:
    with pytest.raises(TemplateFault, match="data about the supporter"):
        CompiledTemplate(a_template(html='<a href="https://x.example/{{ supporter.name }}">x</a>'))


def test_a_link_that_no_person_sees_or_reaches_stands_at_the_end_of_every_mail_with_links() -> None:
    made = rendered(html="<html><body><p>Hello</p></body></html>").html
    before, hidden, after = made.partition(f'<a href="{LINKS}{HIDDEN_LINK}"')
    assert hidden
    assert before.endswith("<p>Hello</p>")
    assert "</body>" in after
    tag, _, rest = after.partition(">")
    assert rest.startswith("</a>")  # nothing to read, nothing to press
    for part in ("display:none", 'tabindex="-1"', 'aria-hidden="true"', 'rel="nofollow"'):
        assert part in tag
    assert str(HIDDEN_LINK) not in rendered(html="<body></body>", links="").html
