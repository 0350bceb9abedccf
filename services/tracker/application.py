"""The one application: pixel and links in front, then pages, actions, notifications, and health.

The rate limit stands before all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from services.tracker.actions import Actions
from services.tracker.certificates import Certificates
from services.tracker.client_addresses import ClientAddresses
from services.tracker.hits import Hits
from services.tracker.intake import Intake
from services.tracker.notifications import Notifications
from services.tracker.pages import not_found_page, preview_page
from services.tracker.preferences import Preferences
from services.tracker.rate_limits import Allowances, RateLimited
from services.tracker.security import Secured
from services.tracker.unsubscribing import Unsubscribing
from shared.observability.metrics import Metrics
from shared.settings import Settings


def application(
    intake: Intake,
    settings: Settings,
    certificates: Certificates,
    *,
    programme_ready: Callable[[], bool],
    healthy: Callable[[], bool],
    ready: Callable[[], bool],
    beside: Callable[[], str] = lambda: "",
) -> ASGIApp:
    """Every route of the tracker. Raises Misconfigured when the secret is missing.

    `beside`: what a person should know although it is ready.
    """
    own = settings.tracker
    actions = Actions(
        intake,
        [key.get_secret_value() for key in settings.action_keys],
        settings.identity_secret(),
        own.max_body_bytes,
        settings.action_signers(),
    )
    notifications = Notifications(
        intake,
        certificates,
        own.topic_arns,
        oldest=timedelta(seconds=own.sns_oldest_seconds),
        most_bytes=own.max_body_bytes,
    )
    pages = Starlette(
        routes=[
            *Unsubscribing(intake).routes(),
            *Preferences(intake).routes(),
            *actions.routes(),
            *notifications.routes(),
            Route("/preview/{rest:path}", _preview, methods=["GET", "POST"]),
            *_health(intake.metrics, healthy, ready, beside),
        ],
        exception_handlers={404: _not_found},
    )
    whole = Hits(intake, programme_ready, Secured(pages))
    addresses = ClientAddresses(own.trusted_proxies)
    if not own.rate_per_address:
        return whole
    allowances = Allowances(own.rate_per_address, own.burst_per_address)
    refused = intake.metrics.hits_refused.labels("rate")
    return RateLimited(whole, allowances, addresses, refused)


def _health(
    metrics: Metrics,
    healthy: Callable[[], bool],
    ready: Callable[[], bool],
    beside: Callable[[], str],
) -> list[BaseRoute]:
    async def say_metrics(_: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def say_healthy(_: Request) -> Response:
        return _answer(healthy(), "healthy", "a thread of the tracker has ended")

    async def say_ready(_: Request) -> Response:
        word = beside()
        said = f"ready, but {word}" if word else "ready"
        return _answer(ready(), said, "not ready: still reading the programme")

    return [
        Route("/metrics", say_metrics),
        Route("/healthz", say_healthy),
        Route("/readyz", say_ready),
    ]


def _answer(good: bool, yes: str, no: str) -> Response:
    return PlainTextResponse(yes if good else no, status_code=200 if good else 503)


async def _preview(_: Request) -> Response:
    return preview_page()


async def _not_found(_: Request, __: Exception) -> Response:
    return not_found_page()
