"""Every template we have, with hostile values: the mail is the one that the simple way makes.

The templates are those of examples/ and, where they are, real HTML mails of ../shared/data. Stock
Jinja2, `EmailMessage` and an HTML parser are the oracle. The last tests plant defects and see them
found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from services.renderer.preparing import Prepared, prepare
from services.renderer.rendering import render
from services.renderer.templates import CompiledTemplate
from shared.programme.definitions import Campaign, Send, Template, Variant
from shared.programme.links import number_template
from shared.programme.reading import read_programme
from shared.programme.template_language import CAMPAIGN_FIELDS, fields_used, parse
from shared.tokens import Token, edition_hash, send_hash, sign
from shared.wire.batches import Recipient, RenderedMessage
from tests.unit.renderer.building import DATE, OWED, SIGNING, a_campaign, a_recipient, a_send
from tests.unit.renderer.oracle import Expected, differences

ROOT = Path(__file__).parents[3]
MAILS = ROOT.parent / "shared" / "data" / "email-templates"
CAMPAIGN = a_campaign()

HOSTILE: Mapping[str, Any] = {
    "latin": "Zoë Ñandú Łukasz Þórr ß",
    "cyrillic and greek": "Ольга Ωμέγα",
    "arabic": "مرحبا بالعالم ١٢٣",
    "hebrew with latin": "שלום Ada עולם",
    "persian": "سلام‌ دنیا",
    "devanagari": "नमस्ते दुनिया",
    "tamil": "வணக்கம்",
    "thai": "สวัสดีชาวโลก",
    "chinese and japanese": "你好 世界 こんにちは",
    "korean": "안녕하세요",
    "ethiopic and georgian": "ሰላም გამარჯობა",
    "combining": "e\u0301\u0327 Z\u0351\u036b\u0343A\u0321",
    "turned round": "\u202eabc\u202c \u2067x\u2069 \u200f",
    "invisible": "a\u200b\u00ad\ufeffb\u00a0c",
    "emoji": "👋🏽 👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤️",
    "other planes": "𐍈 𓀀 🜁 \U0010ffff",
    "crlf": "Ada\r\nBcc: everybody@example.org\r\n\r\nbody",
    "lf": "Ada\nBcc: everybody@example.org\n\n.\n",
    "cr": "Ada\rBcc: everybody@example.org\r",
    "other line ends": "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g",
    "control characters": "\x00\x01\x1b[31m\x7f\x9f",
    "quotes": "\"O'Hara\" `x` “y” «z»",
    "markup": "</p></body></html><script>alert('x')</script><!-- ",
    "an attribute": '" onmouseover="x" style="',
    "references": "&amp; &lt; &#60; &copy=1 &nosuch;",
    "templates": "{{ campaign }} {% raw %} {# x #} ${x} %s",
    "encodings": "=3D =?utf-8?q?x?= =\r\n =C3=A9 =_doorstep --=_doorstep--",
    "equals at the last column": "x" * 75 + "=" + "y" * 80,
    "equals before the last column": "x" * 74 + "=" + "é" * 40,
    "a line of its own": "x" * 76,
    "as long as is plain": "x" * 72,
    "one longer": "x" * 73,
    "nothing but equals": "=" * 200,
    "spaces": "  a  \t\n  \t\n ",
    "dots": ".\n..\n.",
    "nothing": "",
    "markup that is meant": Markup('<b title="é=">é &amp; x</b>'),
    "a number": 42,
    "a fraction": -1.5e300,
    "yes": True,
    "no": False,
    "none": None,
    "a list": ["a", "é", "<"],
    "100 KB in a line": "long é = <&> " * 8_000,
    "100 KB without a gap": "x" * 100_000,
    "100 KB of lines": "line = é\r\n" * 10_000,
}  # fmt: skip
ONCE = {name for name in HOSTILE if name.startswith(("100 KB", "markup that is meant"))}
"""For one place: so long that it is enough, or of no use in an address."""


def of_examples() -> Iterator[tuple[str, Template]]:
    for folder in sorted(path.parent for path in (ROOT / "examples").glob("*/campaign.yaml")):
        for template in read_programme(folder).definitions:
            if isinstance(template, Template):
                yield f"{folder.name}/{template.name}", template


def of_real_mails() -> Iterator[tuple[str, Template]]:
    """Real mails made templates: their merge tags are ours, and there are some more values."""
    for path in sorted(MAILS.glob("*.html")):
        page = re.sub(r"\{\{\{?[^{}]*\}\}\}?", "{{ area.slug }}", path.read_text(encoding="utf-8"))
        page = page.replace("{#", "{ #").replace("{%", "{ %")
        page = re.sub(
            r"(<a\b[^>]*\bhref=)\"(?!https?:|mailto:|tel:|#|\{\{)[^\"]*\"",
            r'\1"https://www.example.org/{{ area.slug }}?a=1&amp;b=2"', page,
        )  # fmt: skip
        page = re.sub(r"(<p\b[^>]*>)", r"\1{{ supporter.first_name }} ", page)
        page = page.replace("</body>", "{{ supporter.last_name }}" + OWED + "</body>")
        text = path.with_suffix(".txt")
        words = text.read_text(encoding="utf-8") if text.is_file() else "https://a.example.org/x\n"
        words = re.sub(r"\{\{\{?[^{}]*\}\}\}?", "{{ supporter.first_name }}", words)
        yield path.name, Template(
            name="real", subject="Hello", html=page,
            text=f"{words}{{{{ supporter.last_name }}}}\n{OWED}",
        )  # fmt: skip


def merge_data(template: Template, name: str, value: Any) -> dict[str, Any]:
    """The value in every field that the template uses; one of ONCE in a single one."""
    everywhere = "Ada" if name in ONCE else value
    sources = [template.subject, template.preheader, template.html, template.text]
    trees = [parse(source) for source in (*sources, *template.partials.values())]
    area = {field: everywhere for tree in trees for field, _ in fields_used(tree, "area")}
    return {
        "supporter": {
            "first_name": everywhere, "last_name": value, "name": "Ada Byron", "language": "en",
            "postcode": everywhere, "attributes": {},
        },
        "area": area | {"reply_to": "office@example.org"},
    }  # fmt: skip


def a_plain_prepared(template: Template) -> Prepared:
    """With a subject that holds no value: what values do to headers is another test's."""
    variant = Variant(name="a", template=template.name, subject="Hello from the river")
    send: Send = a_send(variants=(variant,))
    return prepare(send, 0, CAMPAIGN, CompiledTemplate(template))


def expected(template: Template, recipient: Recipient, prepared: Prepared) -> Expected:
    token = sign(
        Token(recipient.supporter_id, send_hash("ask"), 0, 0, edition_hash(recipient.edition)),
        SIGNING.key_id, SIGNING.key,
    )  # fmt: skip
    headers = {
        "From": "River Town <hello@river.example.org>", "To": "Ada Byron <ada@example.org>",
        "Reply-To": "office@example.org", "Subject": "Hello from the river", "Date": DATE,
        "List-Id": "<campaign.river.river.example.org>",
        "Feedback-ID": "ask:campaign:doorstep:river",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }  # fmt: skip
    fields = CAMPAIGN.model_dump(include=set(CAMPAIGN_FIELDS))
    common = {"campaign": fields, "send": {"name": "ask", "deadline": None}}
    return Expected(template, recipient, CAMPAIGN, SIGNING, token, common, headers)


def compared(name: str, template: Template) -> int:
    """Compare the mails of a template for every hostile value; how many there were."""
    prepared = a_plain_prepared(template)
    for value_name, value in HOSTILE.items():
        recipient = a_recipient(merge=merge_data(template, value_name, value))
        message = render(recipient, prepared, SIGNING, DATE)
        assert message.mail is not None, (name, value_name, message.refusal)
        found = differences(message.mail, expected(template, recipient, prepared))
        assert found == [], (name, value_name)
    return len(HOSTILE)


def test_mails_of_the_examples_are_those_of_the_simple_way() -> None:
    templates = dict(of_examples())
    assert len(templates) >= 5
    mails = sum(compared(name, template) for name, template in templates.items())
    assert mails == len(templates) * len(HOSTILE)


@pytest.mark.skipif(
    not MAILS.is_dir(), reason="the email templates of ../shared/data are not there"
)
def test_mails_of_real_templates_are_those_of_the_simple_way() -> None:
    templates = dict(of_real_mails())
    assert len(templates) >= 17
    assert sum(len(number_template(each).hrefs) for each in templates.values()) > 50
    mails = sum(compared(name, template) for name, template in templates.items())
    assert mails == len(templates) * len(HOSTILE)


def test_lone_surrogates_are_refused_wherever_they_are_printed() -> None:
    for _, template in of_examples():
        recipient = a_recipient(merge=merge_data(template, "x", "a\ud83d b"))
        message = render(recipient, a_plain_prepared(template), SIGNING, DATE)
        assert message.mail is None
        assert "characters that cannot be mailed (lone surrogates)" in str(message.refusal)


def test_no_value_ends_a_header() -> None:
    """A name or a subject that would is refused; any other arrives as it is."""
    template = Template(name="ask", subject="{{ supporter.first_name }}", html=OWED, text=OWED)
    prepared = prepare(a_send(), 0, CAMPAIGN, CompiledTemplate(template))
    sent = 0
    for value_name, value in HOSTILE.items():
        name = str(value)[:200]
        supporter = {"first_name": value, "name": name}
        message = render(
            a_recipient(merge={"supporter": supporter, "area": {}}), prepared, SIGNING, DATE
        )
        if message.mail is None:
            assert re.search(r"line end or control|too many|too long", str(message.refusal))
            continue
        sent += 1
        head = message.mail.partition("\r\n\r\n")[0]
        names = [line.partition(":")[0] for line in head.split("\r\n") if line[0] not in " \t"]
        assert len(names) == len(set(names)) == 11, (value_name, names)
        assert "Bcc" not in names
        assert all(len(line) <= 998 for line in head.split("\r\n"))
    assert sent > 20


def a_mail() -> tuple[str, Expected]:
    template = dict(of_examples())["forth-valley/ask-direct"]
    prepared = a_plain_prepared(template)
    value = "<b>Zoë</b> & " + "y" * 20
    recipient = a_recipient(merge=merge_data(template, "x", value))
    message: RenderedMessage = render(recipient, prepared, SIGNING, DATE)
    assert message.mail is not None
    return message.mail, expected(template, recipient, prepared)


DEFECTS: Mapping[str, Callable[[str], str]] = {
    "a value that is not escaped": lambda mail: mail.replace("&lt;b&gt;", "<b>", 1),
    "a value that is escaped twice": lambda mail: mail.replace("&lt;b&gt;", "&amp;lt;b&amp;gt;", 1),
    "a letter that is lost": lambda mail: mail.replace("neighbourhood", "neighborhood", 1),
    "a byte that is lost": lambda mail: mail.replace("=C3=AB", "=C3", 1),
    "a soft break that is lost": lambda mail: mail.replace("=\r\n", "\r\n", 1),
    "a soft break too many": lambda mail: re.sub(r"(\w\w)=\r\n", r"\1==\r\n", mail, count=1),
    "another link": lambda mail: re.sub(r"(/c/[\w=\r\n-]+/[=\r\n]*)0", r"\g<1>1", mail),
    "a link of somebody else": lambda mail: re.sub(r"/c/\w", "/c/-", mail, count=1),
    "a header more": lambda mail: mail.replace("To: ", "Bcc: all@example.org\r\nTo: ", 1),
    "another recipient": lambda mail: mail.replace("To: Ada", "To: Eve", 1),
    "a bare line feed": lambda mail: mail.replace("\r\n", "\n", 1),
    "a line too long": lambda mail: mail.replace("=\r\n", "", 3),
    "a boundary that is lost": lambda mail: mail.replace("--=_doorstep--", "", 1),
    "a part that is lost": lambda mail: mail.replace("--=_doorstep\r\n", "", 1),
    "a tag too many": lambda mail: mail.replace("</body>", "<hr></body>", 1),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_comparison_finds_a_planted_defect(defect: str) -> None:
    mail, simple = a_mail()
    assert differences(mail, simple) == []
    planted = DEFECTS[defect](mail)
    assert planted != mail
    assert differences(planted, simple) != []


def test_the_comparison_finds_an_encoder_that_forgets_the_last_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As an encoder without the split of a full last line would write it."""
    template = Template(
        name="ask", subject="s", html=f"{'x' * 76}{{{{ area.x }}}}{OWED}", text=OWED
    )
    recipient = a_recipient(merge={"supporter": {"name": "Ada Byron"}, "area": {"x": "y"}})
    simple = expected(template, recipient, a_plain_prepared(template))
    monkeypatch.setattr("services.renderer.quoted_printable._LONGEST_LINE", 77)
    message = render(recipient, a_plain_prepared(template), SIGNING, DATE)
    assert message.mail is not None
    assert "a line of a body over 76 characters" in differences(message.mail, simple)


def test_the_campaign_of_the_comparison_has_a_disclaimer_to_escape() -> None:
    assert isinstance(CAMPAIGN, Campaign)
    assert "&" in CAMPAIGN.disclaimer.on_behalf_of
