"""The demo, with fewer people: it ends well by itself, and its auditor agrees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.sender.processes import ROOT

PEOPLE = 2_500


@pytest.mark.timeout(400)
def test_the_demo_ends_with_books_that_balance(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--people", str(PEOPLE),
         "--home", str(tmp_path / "demo")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    assert f"Importing {PEOPLE:,} supporters" in done.stdout
    assert "doubled: 0" in done.stdout
    assert "missed: 0" in done.stdout
    assert list((tmp_path / "demo" / "ses-sandbox" / "mail" / "new").iterdir())
