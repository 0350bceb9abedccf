"""Where SES is and as whom we ask, found out by botocore: its rules for endpoints (region, FIPS,
AWS_ENDPOINT_URL), its certificates and proxies, its chain of credentials.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.session import Session
from botocore.utils import get_environ_proxies

from services.sender.signature import Keys, Scope
from shared.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client

ASK_AGAIN_SECONDS = 1.0
SIGN = "before-sign.sesv2.SendEmail"


class NoKeys(Exception):
    """There are no credentials, or they cannot be had now."""


@dataclass(frozen=True, slots=True)
class Route:
    """To where SendEmail is posted. `authority`: as the Host header has it. `tls` None: http."""

    authority: str
    host: str
    port: int
    path: str
    scope: Scope
    tls: ssl.SSLContext | None


class OnlyBoto3(Exception):
    """The way to SES is one that only boto3 knows to go; the text says why."""


class _FoundError(Exception):
    """Carries a request out of botocore before it is signed."""

    def __init__(self, request: AWSRequest, scope: Scope, version: str) -> None:
        super().__init__(str(request.url))
        self.request, self.scope, self.version = request, scope, version


def find_route(client: SESV2Client, session: Session) -> Route:
    """What botocore would do with a SendEmail; nothing is sent. Raises OnlyBoto3, Misconfigured."""
    found = _unsigned(client)
    url = urlsplit(str(found.request.url))
    if found.version != "v4":
        raise OnlyBoto3(f"SES wants the signature {found.version!r}")
    config: Any = client.meta.config  # its stubs do not know what it was made with
    proxies: dict[str, str] = config.proxies or get_environ_proxies(url.geturl())
    if proxies.get(url.scheme):
        raise OnlyBoto3("there is a proxy before SES")
    secure = url.scheme == "https"
    return Route(
        authority=url.netloc,
        host=url.hostname or "",
        port=url.port or (443 if secure else 80),
        path=url.path,
        scope=found.scope,
        tls=_context(session) if secure else None,
    )


class KeyRing:
    """The credentials of now, for the thread that signs.

    botocore is asked for them by another thread, once a second at most: when temporary ones come
    to their end, it asks a server for new ones and waits for it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._keys: Keys | None = None
        self._why_not = "not asked yet"
        self._ask_at = 0.0
        self._asking = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aws-keys")
        self._asking.acquire()
        self._ask()

    def now(self) -> Keys:
        """Raises NoKeys."""
        if time.monotonic() >= self._ask_at and self._asking.acquire(blocking=False):
            self._thread.submit(self._ask)
        if self._keys is None:
            raise NoKeys(self._why_not)
        return self._keys

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self) -> None:
        """What was known stays when it fails: it may be good still, and SES says if it is not."""
        try:
            found = self._session.get_credentials()
            if found is None:
                self._why_not = "no AWS credentials anywhere"
            else:
                frozen = found.get_frozen_credentials()
                self._keys = Keys(
                    frozen.access_key or "", frozen.secret_key or "", frozen.token or ""
                )
        except Exception as error:  # noqa: BLE001 - providers raise what they like
            self._why_not = f"no AWS credentials: {error}"
        finally:
            self._ask_at = time.monotonic() + ASK_AGAIN_SECONDS
            self._asking.release()


def _unsigned(client: SESV2Client) -> _FoundError:
    def stop(request: AWSRequest, signature_version: Any, **told: Any) -> None:
        signing = request.context.get("signing", {})
        scope = Scope(
            signing.get("region") or told["region_name"],
            signing.get("signing_name") or told["signing_name"],
        )
        raise _FoundError(request, scope, str(signature_version))

    handler: Callable[..., None] = stop
    client.meta.events.register(SIGN, handler)
    try:
        client.send_email(Content={"Raw": {"Data": b""}})
    except _FoundError as found:
        return found
    except BotoCoreError as error:
        raise Misconfigured(f"SES: {error}") from error
    finally:
        client.meta.events.unregister(SIGN, handler)
    raise AssertionError("botocore has sent what it was to show")


def _context(session: Session) -> ssl.SSLContext:
    bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    path = get_cert_path(bundle or True)  # type: ignore[arg-type]  # a path, too
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise Misconfigured(f"SES: the certificates in {path} cannot be read: {error}") from error
