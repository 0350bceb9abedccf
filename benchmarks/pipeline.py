"""The whole pipeline against the stock way, over the same people.

Ours: `doorstep up` with sandbox, from the launch of the volunteer ask until the last message has
a final state: frozen, released, rendered, in the ledger, called, outcomes back in the books, every
hop durable. Reference: one loop of stock Jinja2, `EmailMessage` and boto3 with its defaults over
the same recipients, durable nowhere. Value and reference
are mails a second; the JSON also gives the CPU seconds per 1,000 mails of either side (the sandbox
not counted). Messages differ a little: ours are signed link by link, theirs carry the same text and
plain links.

    make bench NAME=pipeline [BENCH_OPTIONS="--people 6000"]
"""

from __future__ import annotations

import argparse
import email.policy
import json
import os
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from jinja2 import DictLoader, Environment

from examples.rehearsal.stage import ROOT, Stage
from examples.rehearsal.supporters import write_supporters
from services.segmenter.people.places.directory import Directory
from shared.programme.definitions import Areas, Campaign, Send, Template
from shared.programme.reading import read_programme

HOME = ROOT / ".doorstep" / "bench"
SERVICES = ("services.segmenter", "services.renderer", "services.sender", "services.tracker")
SETTINGS = {
    "SENDER__RATE": "100000", "SENDER__WINDOW": "32", "LOOP__POLL_SECONDS": "0.05",
    "SENDER__SETTLE_SECONDS": "30",
}  # fmt: skip
SEND = "volunteer-ask"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--people", type=int, default=8_000)
    people = options.parse_args().people
    with Stage(HOME, SETTINGS) as stage:
        ours = run_doorstep(stage, people)
        theirs = run_reference(stage, ours["recipients"])
    ours.pop("recipients")
    result = {
        "name": "pipeline",
        "value": round(ours["rate"], 1),
        "unit": "mails/s",
        "reference": round(theirs["rate"], 1),
        "ratio": round(ours["rate"] / theirs["rate"], 2),
        "mails": ours["mails"],
        "cpu_seconds_per_1000": round(ours["cpu"] / ours["mails"] * 1000, 2),
        "cpu_by_service_per_1000": ours["by_service"],
        "reference_cpu_seconds_per_1000": round(theirs["cpu"] / theirs["mails"] * 1000, 2),
        "cores": os.cpu_count(),
    }
    print(json.dumps(result))


def run_doorstep(stage: Stage, people: int) -> dict[str, Any]:
    """Launch and wait for the books; rate, CPU, and who got a mail."""
    directory = Directory.open(ROOT / ".doorstep" / "postcodes")
    file = stage.home / "supporters.csv"
    write_supporters(file, [k.postcode.canonical for k in directory.postcodes("FK")], people)
    stage.start()
    stage.doorstep("import", "supporters", str(file), "--source", "bench", "--wait", quiet=True)
    stage.doorstep("apply", str(ROOT / "examples" / "forth-valley"), "--yes", quiet=True)
    processes = {name: stage.process_of(name) for name in SERVICES}
    before = {name: cpu_seconds(pid) for name, pid in processes.items()}
    began = time.monotonic()
    stage.doorstep("send", "launch", SEND, "--yes", quiet=True)

    def closed() -> bool:
        books = stage.books(SEND)
        return bool(books["frozen"]) and not books["open"]

    stage.until(closed, 600, "the books to close")
    seconds = time.monotonic() - began
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
    mails = stage.books(SEND)["states"]["accepted"]
    return {
        "rate": mails / seconds,
        "mails": mails,
        "cpu": sum(spent.values()),
        "by_service": {
            name.rpartition(".")[2]: round(used / mails * 1000, 2) for name, used in spent.items()
        },
        "recipients": recipients(stage.mail),
    }


def recipients(mail: Path) -> list[tuple[str, str]]:
    """(address, variant) of every mail of the ask, from the sandbox's files."""
    found = []
    for path in sorted(mail.iterdir()):
        head = path.read_bytes().partition(b"\r\n\r\n")[0].decode("ascii", "replace")
        lines = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        if lines.get("X-SES-Tag-s") == SEND:
            found.append((lines["X-SES-Recipient"], lines["X-SES-Tag-v"]))
    return found


def run_reference(stage: Stage, people: list[tuple[str, str]]) -> dict[str, float]:
    """The stock way: render, build, send, one after the other."""
    programme = read_programme(ROOT / "examples" / "forth-valley").by_key()
    campaign, areas = _one(programme, Campaign), _one(programme, Areas)
    send = programme["send", SEND]
    assert isinstance(send, Send)
    pages = {v.name: _pages(programme["template", v.template]) for v in send.variants}
    port = (stage.home / "ses-sandbox" / "port").read_text().strip()
    client = boto3.client(
        "sesv2", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="x",
        aws_secret_access_key="y", config=Config(region_name="eu-west-2"),
    )  # fmt: skip
    area = next(iter(areas.by_code.values()))
    cpu, began = time.process_time(), time.monotonic()
    for address, variant in people:
        subject, html, text = pages[variant]
        context = {
            "supporter": {"first_name": address.partition(".")[0].title(), "attributes": {}},
            "area": area, "campaign": campaign.model_dump(), "send": {"name": SEND},
            "unsubscribe_url": f"https://example.org/u/{address}", "preheader": "",
            "disclaimer": campaign.disclaimer.promoter,
        }  # fmt: skip
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"], message["To"] = campaign.from_address, address
        message["Subject"] = subject.render(context)
        message.set_content(text.render(context))
        message.add_alternative(html.render(context), subtype="html")
        client.send_email(
            FromEmailAddress=campaign.from_address,
            Destination={"ToAddresses": [address]},
            Content={"Raw": {"Data": message.as_bytes()}},
        )
    seconds = time.monotonic() - began
    return {
        "rate": len(people) / seconds, "mails": len(people), "cpu": time.process_time() - cpu,
    }  # fmt: skip


def _one(programme: Any, model: type[Any]) -> Any:
    return next(one for one in programme.values() if isinstance(one, model))


def _pages(template: Any) -> tuple[Any, Any, Any]:
    assert isinstance(template, Template)
    sources = {**template.partials, "html": template.html, "text": template.text}
    pages = Environment(loader=DictLoader(sources), autoescape=True)
    plain = Environment(loader=DictLoader(sources), autoescape=False)
    return (
        plain.from_string(template.subject),
        pages.get_template("html"),
        plain.get_template("text"),
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
