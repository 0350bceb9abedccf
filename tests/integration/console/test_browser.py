"""Pictures by the installed Chromium: of the whole page, as wide as the device, light and dark."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from services.console.browser import DESKTOP, PHONE, find_browser, picture
from shared.errors import Misconfigured, RetryLater

PAGE = """<!doctype html><html><head><meta name="color-scheme" content="light dark"><style>
body { margin: 0; background: #ff0000 }
@media (prefers-color-scheme: dark) { body { background: #0000ff } }
</style></head><body><div style="height:1500px">x</div>
<script>document.body.style.background = "#00ff00"</script></body></html>"""


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def last_colour(png: bytes) -> bytes:
    """The colour of the last pixel, of a picture of one colour there: rows are filtered alike."""
    at, data, bytes_each = 8, b"", 3
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            bytes_each = {2: 3, 6: 4}[content[9]]
        data += content if kind == b"IDAT" else b""
        at += length + 12
    width, _ = size(png)
    stride = width * bytes_each + 1
    rows = zlib.decompress(data)
    above = bytes(stride - 1)
    for start in range(0, len(rows), stride):
        above = _unfiltered(rows[start], rows[start + 1 : start + stride], above, bytes_each)
    return above[-bytes_each:][:3]


def _unfiltered(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    made = bytearray()
    for at, value in enumerate(row):
        left = made[at - step] if at >= step else 0
        corner = above[at - step] if at >= step else 0
        guess = left + above[at] - corner
        nearest = min((left, above[at], corner), key=lambda each: abs(guess - each))
        added = (0, left, above[at], (left + above[at]) // 2, nearest)[kind]
        made.append((value + added) % 256)
    return bytes(made)


@pytest.mark.real("chromium")
def test_the_whole_page_in_both_colour_schemes_and_without_its_scripts() -> None:
    light = picture(PAGE, DESKTOP)
    assert size(light) == (1200, 1500)
    assert last_colour(light) == b"\xff\x00\x00"
    dark = picture(PAGE, PHONE, dark=True)
    assert size(dark) == (750, 3000), "two real pixels for one"
    assert last_colour(dark) == b"\x00\x00\xff"


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
