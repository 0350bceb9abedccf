"""How mails appear, held against what Chromium computes for every element with text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.console import browser
from services.renderer.lint.appearance import looks
from services.renderer.lint.colours import read_colour
from services.renderer.lint.page import read_page
from services.renderer.lint.styles import Scheme, read_rules
from services.renderer.previewing import preview, sample
from services.renderer.trial import SAMPLES
from shared.programme.definitions import Areas, Send
from shared.programme.html_links import written_tags
from shared.programme.reading import read_programme
from tests.unit.renderer.building import DATE, SIGNING, a_book

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "forth-valley"
ASKED = """(() => {
  const found = {};
  for (const element of document.querySelectorAll("[data-n]")) {
    const style = getComputedStyle(element);
    let ground = "rgb(255, 255, 255)";
    for (let around = element; around; around = around.parentElement) {
      const colour = getComputedStyle(around).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") { ground = colour; break; }
    }
    found[element.dataset.n] =
      [style.color, ground, parseFloat(style.fontSize), Number(style.fontWeight)];
  }
  return JSON.stringify(found);
})()"""
ODD = """<html><head><style>
.a b { color: #102030 } .c { background: #eee; font-size: 150% } h2 { color: green !important }
@media (prefers-color-scheme: dark) { .c { background-color: #111 !important; color: #fafafa } }
@media (max-width: 100px) { p { color: red } }
</style></head><body bgcolor="#fdfdfd"><div class="a" style="font-size:14px">one <b>two</b>
<h2 style="color:#123">three</h2></div><p class="c">four <font color="navy">five</font>
<span style="font-size:1.5em;font-weight:600">six</span>
<p style="color:rgb(1, 2, 3)">seven</body></html>"""


def numbered(html: str) -> str:
    pieces, at = [], 0
    for number, tag in enumerate(written_tags(html)):
        pieces += [html[at : tag.name_end], f' data-n="{number}"']
        at = tag.name_end
    return "".join(pieces) + html[at:]


def computed(pages: list[str], scheme: Scheme, folder: Path) -> list[dict[str, Any]]:
    found = []
    with browser._started(browser.find_browser(), folder / "profile") as chromium:
        target = chromium.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = chromium.ask("Target.attachToTarget", targetId=target, flatten=True)
        chromium.session = str(attached["sessionId"])
        chromium.ask("Page.enable")
        chosen = {"name": "prefers-color-scheme", "value": scheme}
        chromium.ask("Emulation.setEmulatedMedia", features=[chosen])
        for number, html in enumerate(pages):
            page = folder / f"{number}.html"
            page.write_text(html)
            chromium._seen.clear()
            chromium.ask("Page.navigate", url=page.as_uri())
            chromium.wait_for("Page.loadEventFired")
            result = chromium.ask("Runtime.evaluate", expression=ASKED)["result"]
            found.append(json.loads(result["value"]))
    return found


def examples() -> list[str]:
    """Every mail of the example programme."""
    definitions = read_programme(EXAMPLE).definitions
    book = a_book(*definitions)
    [areas] = [each for each in definitions if isinstance(each, Areas)]
    edition, area = next(iter(areas.by_code.items()))
    return [
        preview(
            book, sample(send, variant.name, edition, area, SAMPLES["somebody"]), SIGNING, DATE
        ).html
        for send in definitions
        if isinstance(send, Send)
        for variant in send.variants
    ]  # fmt: skip


@pytest.mark.real("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_appears_as_in_a_browser(scheme: Scheme, tmp_path: Path) -> None:
    pages = [numbered(html) for html in (ODD, *examples())]
    seen = 0
    for number, theirs in enumerate(computed(pages, scheme, tmp_path)):
        page = read_page(pages[number])
        rules = read_rules("\n".join(page.styles))
        ours = looks(page, rules, scheme, dark_canvas=number > 0)
        for element, look in ours.items():
            if not (look.shown and element.text.strip()):
                continue
            colour, ground, size_px, weight = theirs[element.attributes["data-n"]]
            where = f"{element.tag} {element.text.strip()[:20]!r} of mail {number}"
            if look.colour is not None:
                assert look.colour == read_colour(colour), where
            assert look.ground == read_colour(ground), where
            assert look.size_px == pytest.approx(size_px, abs=0.1), where
            assert look.bold == (weight >= 700), where
            seen += 1
    assert seen > 60
