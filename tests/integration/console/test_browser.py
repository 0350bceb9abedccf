"""Pictures by the installed Chromium: of the whole page, as wide as the device, light and dark."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from services.console.browser import DESKTOP, PHONE, find_browser, picture
from shared.errors import Misconfigured, RetryLater

PAGE = """<!doctype html><html><head><meta name="color-scheme" content="light dark"><style>
body { margin: 0; background: #ff0000 }
@media (prefers-color-scheme: dark) { body { background: #0000ff } }
</style></head><body><div style="height:1500px"></div>
<script>document.body.style.background = "#00ff00"</script></body></html>"""


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def plain(colour: str) -> str:
    return f'<body style="margin:0;background:{colour}"><div style="height:1500px"></div>'


@pytest.mark.real("chromium")
def test_the_whole_page_in_both_colour_schemes_and_without_its_scripts() -> None:
    light = picture(PAGE, DESKTOP)
    assert size(light) == (1200, 1500)
    assert light == picture(plain("#ff0000"), DESKTOP), "its script would have made it green"
    dark = picture(PAGE, PHONE, dark=True)
    assert size(dark) == (750, 3000), "two real pixels for one"
    assert dark == picture(plain("#0000ff"), PHONE)


def test_without_a_browser_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Misconfigured, match="needs Chromium, and none is on the PATH"):
        find_browser(str(tmp_path))
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert find_browser(str(tmp_path)) == str(program)
    before = open_files()
    with pytest.raises(RetryLater, match="ended before there was a picture"):
        picture(PAGE, DESKTOP, program=str(program))
    with pytest.raises(RetryLater, match="cannot be started"):
        picture(PAGE, DESKTOP, program=str(tmp_path / "gone"))
    assert open_files() == before, "nothing is left open"
