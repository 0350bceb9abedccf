"""The whole pipeline against the stock way, over the same people.

Ours: `doorstep up` with sandbox, from the launch of the volunteer ask until the last message has
a final state: frozen, released, rendered, in the ledger, called, outcomes back in the books, every
hop durable. Reference: one loop of stock Jinja2, `EmailMessage` and boto3 with its defaults over
the same recipients, durable nowhere. Value and reference
are mails a second; the JSON also gives the CPU seconds per 1,000 mails of either side (the sandbox
not counted). Messages differ a little: ours are signed link by link, theirs carry the same text and
plain links.

    make bench NAME=pipeline [BENCH_OPTIONS="--people 6000 --body kafka"]

`--body kafka` runs the same on one real broker and a real PostgreSQL; their CPU is not counted.
`peak_mb` is each service's own peak of resident memory, from its start to the end of the send.
`--everybody` asks everybody instead of a third of the people; `--marks 100000,300000` also says how
it stood (`so_far`) when that many messages had their final state.
"""

from __future__ import annotations

import argparse
import email.policy
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from jinja2 import DictLoader, Environment

from deploy.kafka.cluster import Cluster
from examples.rehearsal.stage import ROOT, Stage
from examples.rehearsal.supporters import write_supporters
from services.segmenter.people.places.directory import Directory
from shared.log.kafka.topics import Topics
from shared.log.topics import TOPICS
from shared.programme.definitions import Areas, Campaign, Send, Template
from shared.programme.reading import read_programme
from shared.settings import KafkaSettings, Settings
from tests.real_postgres import PostgresServer

HOME = ROOT / ".doorstep" / "bench"
SERVICES = ("services.segmenter", "services.renderer", "services.sender", "services.tracker")
SETTINGS = {
    "SENDER__RATE": "100000", "SENDER__WINDOW": "32", "LOOP__POLL_SECONDS": "0.05",
    "SENDER__SETTLE_SECONDS": "30",
}  # fmt: skip
SEND = "volunteer-ask"
EVERYBODY = """\
description: Everybody who has not volunteered in the last three months
where: {did_not: {action: volunteered, within_days: 90}}
"""
REFERENCE_MAILS = 4_000
PATIENCE = 3_600


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--people", type=int, default=8_000)
    options.add_argument("--body", choices=("embedded", "kafka"), default="embedded")
    options.add_argument("--everybody", action="store_true")
    options.add_argument("--marks", type=_numbers, default=[])
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        body(given.body, Path(folder)) as settings,
        Stage(HOME, SETTINGS | settings) as stage,
    ):
        programme = programme_files(stage.home, everybody=given.everybody)
        ours = run_doorstep(stage, given.people, programme, given.marks)
        theirs = run_reference(stage, ours["recipients"])
    ours.pop("recipients")
    result = {
        "name": "pipeline" if given.body == "embedded" else "pipeline on kafka",
        "value": round(ours["rate"], 1),
        "unit": "mails/s",
        "reference": round(theirs["rate"], 1),
        "ratio": round(ours["rate"] / theirs["rate"], 2),
        "mails": ours["mails"],
        "cpu_seconds_per_1000": round(ours["cpu"] / ours["mails"] * 1000, 2),
        "cpu_by_service_per_1000": ours["by_service"],
        "reference_cpu_seconds_per_1000": round(theirs["cpu"] / theirs["mails"] * 1000, 2),
        "peak_mb": ours["peak_mb"],
        "cores": os.cpu_count(),
    }
    if given.marks:
        result["so_far"] = ours["so_far"]
    print(json.dumps(result))


def _numbers(words: str) -> list[int]:
    return sorted(int(word) for word in words.split(","))


def programme_files(home: Path, *, everybody: bool) -> Path:
    """The folder of the example programme, or of a copy that asks everybody."""
    example = ROOT / "examples" / "forth-valley"
    if not everybody:
        return example
    folder = home / "programme"
    shutil.copytree(example, folder)
    (folder / "segments" / "supporters-to-ask.yaml").write_text(EVERYBODY)
    return folder


@contextmanager
def body(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """Settings of the log and the stores, with the brokers and the server behind them running."""
    if name == "embedded":
        yield {}
        return
    with Cluster(folder / "kafka") as cluster, PostgresServer(durable=True) as server:
        kafka = KafkaSettings(replication=1, min_insync=1)
        topics = Topics(cluster.bootstrap, kafka, Settings().partitions, TOPICS)
        topics.create(topics.plan())
        topics.close()
        yield {
            "LOG": cluster.bootstrap, "POSTGRES": server.dsn(),
            "KAFKA__REPLICATION": "1", "KAFKA__MIN_INSYNC": "1",
        }  # fmt: skip


def run_doorstep(stage: Stage, people: int, programme: Path, marks: list[int]) -> dict[str, Any]:
    """Launch and wait for the books; rate, CPU, memory, and who got a mail."""
    directory = Directory.open(ROOT / ".doorstep" / "postcodes")
    file = stage.home / "supporters.csv"
    write_supporters(file, [k.postcode.canonical for k in directory.postcodes("FK")], people)
    stage.start()
    stage.doorstep("import", "supporters", str(file), "--source", "bench", "--wait", quiet=True)
    stage.doorstep("apply", str(programme), "--yes", quiet=True)
    processes = {name.rpartition(".")[2]: stage.process_of(name) for name in SERVICES}
    before = {name: cpu_seconds(pid) for name, pid in processes.items()}
    began = time.monotonic()
    stage.doorstep("send", "launch", SEND, "--yes", quiet=True)

    def state(mails: int) -> dict[str, Any]:
        spent = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
        return {
            "rate": mails / (time.monotonic() - began),
            "mails": mails,
            "cpu": sum(spent.values()),
            "by_service": {name: round(used / mails * 1000, 2) for name, used in spent.items()},
            "peak_mb": {name: peak_megabytes(pid) for name, pid in processes.items()},
        }

    so_far: list[dict[str, Any]] = []

    def closed() -> bool:
        books = stage.books(SEND)
        ended = sum(books["states"].values())
        if len(so_far) < len(marks) and ended >= marks[len(so_far)]:
            now = state(ended)
            so_far.append(now | {"rate": round(now["rate"], 1), "cpu": round(now["cpu"])})
        return bool(books["frozen"]) and not books["open"]

    stage.until(closed, PATIENCE, "the books to close", every=0.5 if people < 50_000 else 5.0)
    return state(stage.books(SEND)["states"]["accepted"]) | {
        "recipients": recipients(stage.mail, REFERENCE_MAILS),
        "so_far": so_far,
    }


def recipients(mail: Path, most: int) -> list[tuple[str, str]]:
    """(address, variant) of mails of the ask, from the sandbox's files."""
    found: list[tuple[str, str]] = []
    for path in sorted(mail.iterdir()):
        if len(found) == most:
            break
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


def peak_megabytes(pid: int) -> int:
    """The most resident memory a process ever had (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return round(int(peak) / 1024)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
