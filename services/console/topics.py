"""`doorstep topics ...`: what the brokers have of our topics, and making it so.

What is missing is made; what differs is told, and set only when a person says so; a topic with
another number of partitions is refused and never altered, since people would change their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from services.console.home import is_rehearsal, with_log
from services.console.options import JSON, YES
from services.console.screen import Cell, Column, Screen, duration, some
from services.console.surroundings import Surroundings, here
from shared.errors import Misconfigured
from shared.log.opening import open_topics
from shared.log.topics import TopicAdmin, TopicPlan
from shared.settings import PREFIX, Settings

LEAST_MEMORY_DAYS: Final = 30
DAY_MINUTES: Final = 24 * 60
NOTHING: Final = "The embedded log makes its own topics: there is nothing to do."
KAFKA = Annotated[
    str | None,
    typer.Option("--kafka", metavar="BOOTSTRAP", help=f"The brokers; else {PREFIX}LOG."),
]

app = typer.Typer(help="The topics at the brokers of Kafka.", no_args_is_help=True)


@app.command("plan")
def plan(context: typer.Context, kafka: KAFKA = None, as_json: JSON = False) -> None:
    """Say which topics are missing and which differ from what is wanted; change nothing."""
    around = here(context)
    with _opened(around, kafka) as (admin, settings):
        if admin is None:
            _say_nothing(around, as_json=as_json)
            return
        plans = admin.plan()
        _tell(around.screen, admin, settings, plans, as_json=as_json)
    for sentence in refusals(plans):
        around.screen.warn(sentence)


@app.command("apply")
def apply(
    context: typer.Context,
    kafka: KAFKA = None,
    configure: Annotated[
        bool, typer.Option("--configure", help="Set what differs, too; else it is only told.")
    ] = False,
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """Make the topics that are missing; with --configure, set what differs."""
    around = here(context)
    with _opened(around, kafka) as (admin, settings):
        if admin is None:
            _say_nothing(around, as_json=as_json)
            return
        plans = admin.plan()
        if refused := refusals(plans):
            raise Misconfigured("\n".join([*refused, "Nothing was changed"]))
        missing = [each for each in plans if each.missing]
        drifted = [each for each in plans if each.drift]
        _enough_brokers(admin, missing)
        _tell(around.screen, admin, settings, plans, as_json=False, quiet=as_json)
        setting = drifted if configure else []
        if missing or setting:
            _confirm(around, missing, setting, yes=yes)
        admin.create(missing)
        admin.configure(setting)
    done = {"made": [each.at_brokers for each in missing],
            "configured": [each.at_brokers for each in setting]}  # fmt: skip
    if as_json:
        around.screen.json(done)
    elif missing or setting:
        around.screen.say(("✓ ", "green"), _sentence(len(missing), len(setting)))
    if drifted and not configure:
        names = ", ".join(each.at_brokers for each in drifted)
        raise Misconfigured(
            f"{names}: the settings differ from what is wanted and were left as they are; see how "
            "with `doorstep topics plan`, and set them with `doorstep topics apply --configure`"
        )
    if not (missing or setting or as_json):
        around.screen.say("All topics are as they should be; nothing was changed.")


def make_topics(settings: Settings) -> list[TopicPlan]:
    """Make what is missing, ask nobody; what was made. Raises Misconfigured."""
    with _admin(settings) as admin:
        if admin is None:
            return []
        plans = admin.plan()
        if refused := refusals(plans):
            raise Misconfigured("\n".join(refused))
        missing = [each for each in plans if each.missing]
        _enough_brokers(admin, missing)
        admin.create(missing)
        return missing


def require_topics(settings: Settings) -> None:
    """Raises Misconfigured when one is missing or cannot be used."""
    with _admin(settings) as admin:
        plans = admin.plan() if admin is not None else []
    if refused := refusals(plans):
        raise Misconfigured("\n".join(refused))
    if missing := [each for each in plans if each.missing]:
        raise Misconfigured(
            f"the brokers at {settings.log} lack {some(len(missing), 'topic')} of ours "
            f"({missing[0].at_brokers} ...): make them with `doorstep topics apply "
            f"--kafka {settings.log}`"
        )


def as_the_cluster_can(settings: Settings) -> Settings:
    """For a rehearsal: as many copies as there are brokers, at most those that are wanted."""
    with _admin(settings) as admin:
        if admin is None:
            return settings
        copies = min(settings.kafka.replication, admin.brokers())
    changed = {"replication": copies, "min_insync": min(settings.kafka.min_insync, copies)}
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update=changed)})


def refusals(plans: Sequence[TopicPlan]) -> list[str]:
    """A sentence for each topic with another number of partitions. Pure."""
    return [
        f"topic {each.at_brokers} has {some(each.found or 0, 'partition')}, wanted are "
        f"{each.partitions}; the number is never altered in place: set "
        f"{PREFIX}PARTITIONS to what is there, or make new topics under another "
        f"{PREFIX}KAFKA__PREFIX"
        for each in plans
        if each.refused
    ]


def remarks(plans: Sequence[TopicPlan], memory_minutes: int | None) -> list[str]:
    """What `apply` cannot set, and somebody should. Pure."""
    found = []
    few = [each for each in plans if each.copies is not None and each.copies < each.replication]
    if few:
        found.append(
            f"{some(len(few), 'topic')} (of them {few[0].at_brokers}) "
            f"{'has' if len(few) == 1 else 'have'} fewer copies than the {few[0].replication} "
            "wanted: add them with Kafka's own kafka-reassign-partitions"
        )
    if memory_minutes is not None and memory_minutes < LEAST_MEMORY_DAYS * DAY_MINUTES:
        found.append(
            f"the brokers forget the positions of a group that is stopped for "
            f"{duration(memory_minutes * 60)} (offsets.retention.minutes={memory_minutes}): a "
            "service that comes back later than that begins at the oldest record. Set it to "
            f"{LEAST_MEMORY_DAYS * DAY_MINUTES} or more at every broker"
        )
    return found


def state_of(plan: TopicPlan) -> str:
    """missing, refused, differs or right."""
    if plan.missing:
        return "missing"
    if plan.refused:
        return "refused"
    return "differs" if plan.drift else "right"


_STYLES: Final = {"missing": "yellow", "refused": "bold red", "differs": "yellow", "right": "green"}
_COLUMNS: Final = (
    Column("topic", wrap=False), Column("partitions", number=True), Column("copies", number=True),
    Column("kept", wrap=False), Column("", wrap=False), Column("is, and should be"),
)  # fmt: skip


def kept(plan: TopicPlan) -> str:
    """How long records are kept, as wanted."""
    if plan.configs["cleanup.policy"] == "compact":
        return "newest of a key"
    milliseconds = int(plan.configs["retention.ms"])
    return "for ever" if milliseconds < 0 else duration(milliseconds / 1000)


def _row(plan: TopicPlan) -> list[Cell]:
    state = state_of(plan)
    differing = "; ".join(
        f"{name}: {there or 'nothing'}, should be {wanted}"
        for name, (there, wanted) in plan.drift.items()
    )
    partitions = plan.partitions if plan.found is None else plan.found
    copies = plan.replication if plan.copies is None else plan.copies
    return [plan.at_brokers, partitions, copies, kept(plan), Text(state, _STYLES[state]), differing]


def _tell(
    screen: Screen,
    admin: TopicAdmin,
    settings: Settings,
    plans: Sequence[TopicPlan],
    *,
    as_json: bool,
    quiet: bool = False,
) -> None:
    memory = admin.shortest_memory_minutes()
    said = remarks(plans, memory)
    if as_json:
        screen.json(
            {
                "log": settings.log,
                "brokers": admin.brokers(),
                "offsets_retention_minutes": memory,
                "topics": [_as_data(each) for each in plans],
                "remarks": said,
            }
        )
    elif not quiet:
        screen.table(_COLUMNS, [_row(each) for each in plans])
    for sentence in said:
        screen.warn(sentence)


def _as_data(plan: TopicPlan) -> dict[str, Any]:
    return {
        "topic": plan.at_brokers,
        "state": state_of(plan),
        "partitions": {"is": plan.found, "wanted": plan.partitions},
        "copies": {"is": plan.copies, "wanted": plan.replication},
        "configs": dict(plan.configs),
        "differs": {
            name: {"is": there, "wanted": wanted} for name, (there, wanted) in plan.drift.items()
        },
    }


def _sentence(made: int, configured: int) -> str:
    parts = [f"{some(made, 'topic')} made"] if made else []
    parts += [f"{some(configured, 'topic')} configured"] if configured else []
    return ", ".join(parts)


def _confirm(
    around: Surroundings, missing: Sequence[TopicPlan], setting: Sequence[TopicPlan], *, yes: bool
) -> None:
    if yes:
        return
    if not around.screen.interactive:
        raise Misconfigured("nobody is here to be asked: say --yes")
    what = " and ".join(
        [f"make {some(len(missing), 'topic')}"] * bool(missing)
        + [f"configure {some(len(setting), 'topic')}"] * bool(setting)
    )
    if around.screen.ask(f"{what.capitalize()}? Type yes: ").casefold() != "yes":
        raise Misconfigured("nothing was changed")


def _enough_brokers(admin: TopicAdmin, missing: Sequence[TopicPlan]) -> None:
    if not missing:
        return
    wanted, there = max(each.replication for each in missing), admin.brokers()
    if there < wanted:
        raise Misconfigured(
            f"there {'is' if there == 1 else 'are'} {some(there, 'broker')}, and "
            f"{wanted} copies of each topic are wanted: start more brokers, or, where losing "
            f"records is no harm, set {PREFIX}KAFKA__REPLICATION={there} and "
            f"{PREFIX}KAFKA__MIN_INSYNC={max(1, there - 1)}"
        )


def _say_nothing(around: Surroundings, *, as_json: bool) -> None:
    if as_json:
        around.screen.json({"log": "embedded", "topics": [], "remarks": [NOTHING]})
    else:
        around.screen.say(NOTHING)


@contextmanager
def _opened(
    around: Surroundings, kafka: str | None
) -> Iterator[tuple[TopicAdmin | None, Settings]]:
    settings = with_log(around.settings, kafka)
    if is_rehearsal(settings.home):
        settings = as_the_cluster_can(settings)
    with _admin(settings) as admin:
        yield admin, settings


@contextmanager
def _admin(settings: Settings) -> Iterator[TopicAdmin | None]:
    admin = open_topics(settings)
    try:
        yield admin
    finally:
        if admin is not None:
            admin.close()
