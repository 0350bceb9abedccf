"""`POST /sns`: notifications of SES, by way of SNS over HTTP.

Verified first, then kept as they are, then answered; what they mean is worked out when they are
forwarded. Mail that is not ours is counted and kept out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from services.tracker.certificates import Certificates, Unreachable
from services.tracker.intake import Intake, TooLarge, body_of
from services.tracker.raw_hits import SesHit
from services.tracker.ses_events import kind_of, read_notification, read_tags
from services.tracker.sns import (
    NotSns,
    SnsMessage,
    Untrusted,
    check_claims,
    check_signature,
    read_message,
)
from shared.clock import to_ms
from shared.observability.logs import Journal

KINDS: Final = frozenset(
    {
        "Send",
        "Delivery",
        "Bounce",
        "Complaint",
        "Reject",
        "DeliveryDelay",
        "Open",
        "Click",
        "Rendering Failure",
        "Subscription",
    }
)
"""The event types of SES; any other is counted as `other`."""


class Notifications:
    """The route."""

    def __init__(
        self,
        intake: Intake,
        certificates: Certificates,
        topic_arns: Sequence[str],
        *,
        oldest: timedelta,
        most_bytes: int,
    ) -> None:
        self._intake, self._certificates = intake, certificates
        self._topic_arns, self._oldest = frozenset(topic_arns), oldest
        self._most_bytes = most_bytes
        for kind in (*KINDS, "other", "foreign"):
            intake.metrics.ses_events.labels(kind)  # begins at nought, as an increase must
        self._journal = Journal("tracker.notifications")

    def routes(self) -> list[BaseRoute]:
        return [Route("/sns", self._take, methods=["POST"])]

    async def _take(self, request: Request) -> Response:
        try:
            message = read_message(await body_of(request, self._most_bytes))
            await self._verify(message)
        except TooLarge:
            return self._refuse(413, "sns_too_large", f"larger than {self._most_bytes} bytes")
        except NotSns as error:
            return self._refuse(400, "sns_malformed", str(error))
        except Untrusted as error:
            return self._refuse(403, "sns_untrusted", str(error))
        except (Unreachable, ClientDisconnect) as error:
            return self._refuse(503, "sns_unverified", str(error))
        return await self._answer(message)

    async def _answer(self, message: SnsMessage) -> Response:
        match message.type:
            case "Notification":
                return await self._notified(message)
            case "SubscriptionConfirmation":
                return await self._confirm(message)
            case "UnsubscribeConfirmation":
                self._journal.error(
                    "tracker.sns_unsubscribed",
                    topic=message.topic_arn,
                    reason="SNS will send no more events to this tracker: if nobody meant this, "
                    "subscribe it again; without events, messages in doubt cannot be settled",
                )
                return PlainTextResponse("noted")

    async def _verify(self, message: SnsMessage) -> None:
        now = self._intake.clock.now()
        check_claims(message, self._topic_arns, now, self._oldest)
        pem = await self._certificates.get(message.certificate_url, message.certificate_name)
        check_signature(message, pem, now)

    async def _notified(self, message: SnsMessage) -> Response:
        notification = read_notification(message.message)
        if notification is None:
            # SES greets a new destination in plain words.
            self._journal.info("tracker.sns_plain_text", message_id=message.message_id)
            return PlainTextResponse("noted")
        kind = kind_of(notification)
        if read_tags(notification) is None:
            self._intake.metrics.ses_events.labels("foreign").inc()
            return PlainTextResponse("not a mail of ours")
        now_ms = to_ms(self._intake.clock.now())
        text = message.message.encode("utf-8", "replace").decode()
        if not await self._intake.keep(SesHit(at_ms=now_ms, text=text), now_ms):
            return PlainTextResponse(
                "not kept; please send it again", status_code=503, headers={"Retry-After": "5"}
            )
        self._intake.metrics.ses_events.labels(kind if kind in KINDS else "other").inc()
        return PlainTextResponse("kept")

    async def _confirm(self, message: SnsMessage) -> Response:
        """Asked by a signed message of a topic we listen to; SNS asks again when this fails."""
        try:
            await self._certificates.confirm(message.subscribe_url)
        except (Unreachable, Untrusted) as error:
            self._journal.error(
                "tracker.sns_unconfirmed",
                topic=message.topic_arn,
                reason=f"{error}; SNS asks again, or confirm it in the AWS console",
            )
            return PlainTextResponse("could not confirm; please ask again", status_code=503)
        self._journal.info("tracker.sns_confirmed", topic=message.topic_arn)
        return PlainTextResponse("confirmed")

    def _refuse(self, status: int, reason: str, said: str) -> Response:
        self._intake.metrics.hits_refused.labels(reason).inc()
        self._journal.warning("tracker.sns_refused", status=status, reason=said)
        return PlainTextResponse(said, status_code=status)
