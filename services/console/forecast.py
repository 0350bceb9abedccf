"""`doorstep send forecast`: how long what waits will take, and whether the deadlines hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil, inf
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer
from rich.text import Text

from services.console.books import read_books
from services.console.forecasting import Capacity, Forecast, Queued, forecast, remedies
from services.console.launching import Counted, last_moment
from services.console.options import JSON
from services.console.orders import NotPossible, Standing, standing_of
from services.console.programme_topic import ProgrammeTable, read_table
from services.console.screen import Cell, Column, duration, minute, moment, number
from services.console.send_states import OVER
from services.console.surroundings import Surroundings, here
from shared.programme.definitions import Campaign
from shared.programme.warm_ups import domain_of

WAITING: Final = frozenset({"held", "paused", "cancelling"})


@dataclass(frozen=True, slots=True)
class Queue:
    """What goes by itself, and what waits for somebody (name to why)."""

    going: tuple[Queued, ...]
    waiting: Mapping[str, str]


def show_forecast(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this send, launched or not.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """How long the sends that wait take at the present rate, quota and warm-up, in their order."""
    around = here(context)
    now = around.now()
    with around.log() as log:
        table = read_table(log)
    if name is not None and standing_of(table, name, now).state in OVER:
        raise NotPossible(
            f"{name} is over: see what became of it with `doorstep send status {name}`"
        )
    account = around.services.get("sender", "/ask/account")
    capacity = capacity_of(account, table.campaign, now)
    queue = _queue(around, table, name, now)
    found = forecast(queue.going, capacity, now)
    shown = [each for each in found if name in (None, each.name)]
    hints = {
        each.name: _hints(queue, capacity, table, each, now) for each in shown if not each.holds
    }
    if as_json:
        around.screen.json(_as_data(account, capacity, shown, hints, queue, table))
        return
    _print(around, table, account, capacity, shown, hints, queue, now)


def capacity_of(account: Mapping[str, Any], campaign: Campaign | None, now: datetime) -> Capacity:
    """From the sender's answer to `/ask/account`, and the warm-up of the campaign's domain."""
    said = account.get("said") or {}
    left, daily = account.get("quota_left"), float(said.get("daily_quota", -1))
    return Capacity(
        rate=float(account["permitted_rate"]),
        quota_left=inf if left is None else float(left),
        daily_quota=inf if daily < 0 else daily,
        days={} if campaign is None else _warm_up(campaign, now),
        sent_today=_sent_today(account, campaign),
        zone=ZoneInfo(campaign.timezone) if campaign else UTC,
    )


def _warm_up(campaign: Campaign, now: datetime) -> dict[date, int]:
    """The days to come of the warm-up of the domain that the campaign sends from."""
    warm_up = campaign.warm_up.get(domain_of(campaign.from_address))
    if warm_up is None:
        return {}
    today = now.astimezone(ZoneInfo(campaign.timezone)).date()
    days = (warm_up.begins - today).days + len(warm_up.days)
    coming = (today + timedelta(days=number) for number in range(days))
    return {day: most for day in coming if (most := warm_up.most_on(day)) is not None}


def _sent_today(account: Mapping[str, Any], campaign: Campaign | None) -> int:
    sent: Mapping[str, int] = account.get("sent_of_warm_up", {})
    return sent.get(domain_of(campaign.from_address), 0) if campaign else 0


def _queue(around: Surroundings, table: ProgrammeTable, wanted: str | None, now: datetime) -> Queue:
    going: list[Queued] = []
    waiting: dict[str, str] = {}
    for name in sorted({*table.orders, *([wanted] if wanted else [])}):
        standing = standing_of(table, name, now)
        if standing.state in OVER or (standing.state == "draft" and name != wanted):
            continue
        held = None
        if standing.state == "sending":
            held = around.services.get("sender", "/ask/books", send=name).get("held")
        if table.halted:
            waiting[name] = "everything is halted"
        elif standing.state in WAITING:
            waiting[name] = standing.state
        elif held:
            waiting[name] = f"held by the sender: {held}"
        else:
            going.append(_queued(around, table, standing, now))
    return Queue(tuple(going), waiting)


def _queued(
    around: Surroundings, table: ProgrammeTable, standing: Standing, now: datetime
) -> Queued:
    send, order = table.send(standing.name), standing.order
    last = last_moment(send, around.settings.sender) if send else None
    due = order.due_at if order is not None and order.due_at is not None else now
    return Queued(
        standing.name,
        _people(around, table, standing),
        max(due, now),
        last,
        send.priority if send else "normal",
    )


def _people(around: Surroundings, table: ProgrammeTable, standing: Standing) -> int:
    """Who is still to be mailed: open of a frozen set, approved before, counted before that."""
    if standing.state == "sending":
        books = read_books(around.services.get("segmenter", "/ask/books", send=standing.name))
        return books.on_their_way + books.not_released
    if standing.order is not None and standing.order.approved_count is not None:
        return standing.order.approved_count
    send = table.applied_send(standing.name)
    segment = table.segment(send.segment) if send else None
    if send is None or segment is None:
        return 0
    rule = segment.rule.model_dump(mode="json")
    question = {"rule": rule, "topic": send.topic, "send": send.name}
    return Counted.of(around.services.post("segmenter", "/ask/count", question)).mailable


def _hints(
    queue: Queue, capacity: Capacity, table: ProgrammeTable, late: Forecast, now: datetime
) -> list[str]:
    """What would make it hold, each alone, in a sentence."""
    found = remedies(queue.going, capacity, now, late.name)
    said = []
    if found.first:
        said.append("`priority: urgent`, before all others")
    if found.rate is not None:
        said.append(f"a rate of {ceil(found.rate):,} a second (now {capacity.rate:,.4g})")
    if found.daily_quota is not None:
        said.append(f"a daily quota of {found.daily_quota:,} (now {capacity.daily_quota:,.0f})")
    if found.warm_up:
        said.append("an end of the domain's warm-up")
    if found.later is not None:
        send, last = table.send(late.name), _last(queue, late.name)
        margin = send.deadline - last if send and send.deadline and last else timedelta()
        said.append(f"a deadline of {moment(found.later + margin, table.zone)} or later")
    return said or ["nothing of these alone: fewer people, or an account that may do more"]


def _last(queue: Queue, name: str) -> datetime | None:
    return next((one.last for one in queue.going if one.name == name), None)


def _print(
    around: Surroundings,
    table: ProgrammeTable,
    account: Mapping[str, Any],
    capacity: Capacity,
    shown: list[Forecast],
    hints: Mapping[str, list[str]],
    queue: Queue,
    now: datetime,
) -> None:
    screen, zone = around.screen, table.zone
    screen.say(_pace_line(capacity))
    if account.get("stopped"):
        screen.warn(f"no mail goes now: {account['stopped']}")
    for remark in account.get("remarks", ()):
        screen.warn(remark)
    if account.get("known_at") is None:
        screen.warn("SES has not said what the account may do: the rate is a guess")
    if shown:
        screen.table(_COLUMNS, [_row(table, each, queue, now) for each in shown])
        screen.note((f"Times are of {zone.key if zone else 'UTC'}.", "dim"))
    for name, remedies_ in hints.items():
        screen.say((name, "bold"), " would hold with one of:")
        for sentence in remedies_:
            screen.say(f"  {sentence}")
    for name, why in queue.waiting.items():
        screen.say((name, "bold"), f" waits for somebody and is not in this: {why}")
    if not shown and not queue.waiting:
        screen.say("No send waits: nothing is scheduled and nothing is under way")


_COLUMNS: Final = (
    Column("send", wrap=False), Column("to go", number=True),
    Column("begins", wrap=False, from_width=90), Column("ends", wrap=False),
    Column("deadline", wrap=False, from_width=70), Column(""),
)  # fmt: skip


def _row(table: ProgrammeTable, each: Forecast, queue: Queue, now: datetime) -> list[Cell]:
    send, last = table.send(each.name), _last(queue, each.name)
    if each.late:
        said = Text(f"{number(each.late)} would expire", "bold red")
    elif each.ends is None and each.people:
        said = Text("no end in sight", "bold red")
    elif last is not None and each.ends is not None:
        said = Text(f"in time, {duration((last - each.ends).total_seconds())} to spare", "green")
    else:
        seconds = ((each.ends or now) - (each.begins or now)).total_seconds()
        said = Text(f"takes {duration(seconds)}", "dim")
    return [
        Text(each.name, "bold"),
        each.people,
        minute(each.begins, table.zone),
        minute(each.ends, table.zone),
        minute(send.deadline, table.zone) if send else None,
        said,
    ]


def _pace_line(capacity: Capacity) -> Text:
    line = Text.assemble((f"{capacity.rate:,.4g} a second", "bold"))
    if capacity.daily_quota < inf:
        line.append(f", {capacity.quota_left:,.0f} left of {capacity.daily_quota:,.0f} in 24 hours")
    return line


def _as_data(
    account: Mapping[str, Any],
    capacity: Capacity,
    shown: list[Forecast],
    hints: Mapping[str, list[str]],
    queue: Queue,
    table: ProgrammeTable,
) -> dict[str, Any]:
    deadlines = {each.name: table.send(each.name) for each in shown}
    return {
        "permitted_rate": capacity.rate,
        "quota_left": account.get("quota_left"),
        "account_stopped": account.get("stopped"),
        "sends": [
            asdict(each)
            | {
                "deadline": send.deadline if (send := deadlines[each.name]) else None,
                "holds": each.holds,
                "would_hold_with": hints.get(each.name, []),
            }
            for each in shown
        ],
        "waiting": dict(queue.waiting),
    }
