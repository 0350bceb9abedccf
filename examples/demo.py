"""The demo: a neighbourhood programme through all services, on real postcodes, in one command.

20,000 made-up supporters, an ask in two variants, people who open, click and volunteer over real
HTTP, a follow-up to exactly the right ones, a sender killed half way, and books that balance to the
last person. Exit status 0 only if they do and the independent auditor agrees.

    make demo [DEMO_OPTIONS="--people 5000"]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from examples.rehearsal import telling
from examples.rehearsal.stage import ROOT, Stage, read_json
from examples.rehearsal.supporters import write_supporters
from services.segmenter.people.places.directory import ATTRIBUTION, Directory

HOME = ROOT / ".doorstep" / "demo"
PROGRAMME = ROOT / "examples" / "forth-valley"
SUPPORTERS = 20_000
SENDS = ("volunteer-ask", "follow-up", "thank-you")
PATIENCE = 150.0
QUIET_SECONDS = 4.0
SETTINGS = {
    "SENDER__RATE": "500",
    "SENDER__SETTLE_SECONDS": "16",
    "SENDER__READ_TIMEOUT_SECONDS": "3",
    "SEGMENTER__SWEEP_SECONDS": "10",
    "SEGMENTER__DOUBTFUL_HIT_SECONDS": "3",
    "LOOP__POLL_SECONDS": "0.1",
}


class Demo:
    """One run, from an empty folder to the verdict."""

    def __init__(self, stage: Stage, people: int = SUPPORTERS) -> None:
        self.stage, self.people = stage, people
        self.console = Console(highlight=False)
        self.began = time.monotonic()

    def run(self) -> int:
        """The story, step by step; the exit status."""
        self.say("Made-up supporters on known postcodes of the Forth Valley")
        csv_file = self.make_supporters()
        self.say("Starting segmenter, renderer, sender, tracker and an SES sandbox")
        self.stage.start()
        self.stage.switch(bounce_rate=0.012, complaint_rate=0.0002, latency_ms=5)
        self.say(f"Importing {self.people:,} supporters")
        self.doorstep("import", "supporters", str(csv_file), "--source", "sign-ups", "--wait")
        self.say("The programme: plan, apply, count")
        self.doorstep("plan", str(PROGRAMME))
        self.doorstep("apply", str(PROGRAMME), "--yes")
        self.doorstep("segment", "list")
        self.say("Launching: the follow-up and the thank-you wait for people, the ask goes out")
        for send in ("follow-up", "thank-you", "volunteer-ask"):
            self.doorstep("send", "launch", send, "--yes")
        crowd = self.let_the_crowd_in()
        self.say("Half way, the sender is killed with SIGKILL, and comes back")
        self.kill_half_way()
        self.wait_for_books()
        crowd.terminate()
        crowd.wait(timeout=20)
        return self.verdict()

    def make_supporters(self) -> Path:
        """The CSV, on every known FK postcode."""
        directory = Directory.open(ROOT / ".doorstep" / "postcodes")
        postcodes = [known.postcode.canonical for known in directory.postcodes("FK")]
        self.console.print(f"  {len(postcodes):,} postcodes. {ATTRIBUTION}", style="dim")
        path = self.stage.home / "supporters.csv"
        write_supporters(path, postcodes, self.people)
        return path

    def let_the_crowd_in(self) -> subprocess.Popen[bytes]:
        """People, a proxy and a scanner begin to read the delivered mails."""
        return self.stage.process(
            "crowd", "-m", "examples.rehearsal.crowd",
            "--mail", str(self.stage.mail),
            "--tracker", self.stage.tracker,
            "--action-key", (self.stage.home / "action-key").read_text().strip(),
            "--report", str(self.stage.home / "crowd.json"),
        )  # fmt: skip

    def kill_half_way(self) -> None:
        """SIGKILL for the sender when half of the ask is out."""
        self.stage.until(
            lambda: self.stage.ledger("volunteer-ask").get("accepted", 0) > 0,
            PATIENCE, "the first mail: by then every partition has frozen its part",
        )  # fmt: skip
        half = self.stage.books("volunteer-ask")["frozen"] // 2
        self.stage.until(
            lambda: self.stage.ledger("volunteer-ask").get("accepted", 0) >= half,
            PATIENCE, "half of the ask to be accepted",
        )  # fmt: skip
        sender = self.stage.process_of("services.sender")
        os.kill(sender, signal.SIGKILL)
        self.console.print(f"  killed process {sender} with {half:,} messages to go, more or less")
        self.stage.until(
            lambda: self.stage.process_of("services.sender") not in {0, sender}, 30, "a new sender"
        )

    def wait_for_books(self) -> None:
        """Until nothing is open anywhere and nothing moves any more."""
        since, shown, picture = time.monotonic(), 0.0, ""

        def quiet() -> bool:
            nonlocal since, shown, picture
            books = {send: self.stage.books(send) for send in SENDS}
            crowd = read_json(self.stage.home / "crowd.json")
            now, fresh = time.monotonic(), json.dumps([books, crowd], sort_keys=True)
            if fresh != picture:
                since, picture = now, fresh
            if now - shown > 4:
                shown = now
                telling.progress(self.console, books)
            still_open = any(one["open"] or one["in_doubt"] for one in books.values())
            return not still_open and now - since > QUIET_SECONDS

        self.stage.until(quiet, PATIENCE, "every book to be closed", every=1.0)

    def verdict(self) -> int:
        """Books, rates, movements, the auditor; 0 only if all of it balances."""
        home = self.stage.home
        books = {send: self.stage.books(send) for send in SENDS}
        self.say("Books")
        telling.books(self.console, books)
        telling.areas(self.console, books["volunteer-ask"])
        self.say("True rates of the crowd, and what was measured")
        telling.rates(self.console, books)
        self.say("Segments after it, and who moved")
        telling.movements(self.console, home, read_json(home / "crowd.json"))
        self.say("The independent auditor: mail files against ledger against frozen sets")
        audit = subprocess.run(
            [sys.executable, "-m", "deploy.auditor", "--mail", str(home / "ses-sandbox"),
             "--ledger", str(home / "sender" / "ledger.db"),
             "--frozen", str(home / "segmenter" / "people.db"), "--kills", "1"],
            cwd=ROOT, check=False,
        )  # fmt: skip
        unbalanced = telling.unbalanced(books)
        for line in unbalanced:
            self.console.print(f"[red]{line}[/red]")
        shown = home.relative_to(ROOT) if home.is_relative_to(ROOT) else home
        telling.farewell(self.console, shown, time.monotonic() - self.began)
        return 1 if unbalanced or audit.returncode else 0

    def doorstep(self, *words: str) -> None:
        """A command as a person would type it."""
        shown = " ".join(word.replace(f"{ROOT}/", "") for word in words)
        self.console.print(f"  [bold]$ doorstep {shown}[/bold]")
        self.stage.doorstep(*words)

    def say(self, text: str) -> None:
        """The head of a step, with the seconds since the beginning."""
        self.console.print()
        seconds = time.monotonic() - self.began
        self.console.rule(f"[bold]{text}[/bold]  [dim]{seconds:.0f} s[/dim]", align="left")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo")
    parser.add_argument("--people", type=int, default=SUPPORTERS)
    parser.add_argument("--home", type=Path, default=HOME, help="emptied first")
    given = parser.parse_args(arguments)
    # Being told to stop is as good as Ctrl-C: the stage is cleared in either case.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Stage(given.home, SETTINGS) as stage:
        return Demo(stage, given.people).run()


if __name__ == "__main__":
    sys.exit(main())
