"""Which way to SES a sender takes: the one that was set, or boto3 where only it can go."""

from __future__ import annotations

from services.sender.aws_route import KeyRing, OnlyBoto3, find_route
from services.sender.gateway import MailGateway
from services.sender.lean_gateway import LeanGateway
from services.sender.ses_gateway import SesGateway
from shared.observability.logs import Journal
from shared.settings import SenderSettings


def open_gateway(settings: SenderSettings) -> MailGateway:
    """Raises Misconfigured."""
    plain = SesGateway(
        region=settings.region,
        endpoint=settings.ses_endpoint,
        connections=settings.window,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds,
    )
    if settings.gateway == "boto3":
        return plain
    try:
        route = find_route(plain.client, plain.session)
    except OnlyBoto3 as reason:
        Journal("sender.gateway").warning("sender.gateway_is_boto3", reason=str(reason))
        return plain
    return LeanGateway(
        plain,
        route,
        KeyRing(plain.session),
        connections=settings.window,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds,
    )
