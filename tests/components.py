"""The real components that tests want, and what to do where one is missing.

At home a test that needs one is skipped by name; with CI=true it fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import pytest


def _moto() -> str | None:
    try:
        import moto.server  # noqa: F401
    except ImportError:
        return "the cross-check of our SES requests; it comes with requirements/dev"
    return None


def _kafka() -> str | None:
    from deploy.kafka.class_archive import prepared
    from deploy.kafka.missing import Missing

    try:
        prepared()
    except Missing as missing:
        return str(missing)
    return None


def _postgres() -> str | None:
    from tests.real_postgres import NoPostgres, programs

    try:
        programs()
    except NoPostgres as missing:
        return str(missing)
    return None


def _chromium() -> str | None:
    from services.console.browser import find_browser
    from shared.errors import Misconfigured

    try:
        find_browser()
    except Misconfigured as missing:
        return str(missing)
    return None


def _spamassassin() -> str | None:
    if shutil.which("spamassassin") is None:
        return "spam scores are read from the real program: install spamassassin"
    return None


def _promtool() -> str | None:
    if shutil.which("promtool") is None:
        return "alert rules are checked with promtool: install prometheus"
    return None


COMPONENTS: Final[Mapping[str, Callable[[], str | None]]] = {
    "moto": _moto,
    "kafka": _kafka,
    "postgres": _postgres,
    "promtool": _promtool,
    "chromium": _chromium,
    "spamassassin": _spamassassin,
}


@cache
def why_missing(component: str) -> str | None:
    """One line that says what to install, None where the component is here.

    Fetches the Kafka broker when it is not in the cache yet.
    """
    return COMPONENTS[component]()


def missing_components() -> list[str]:
    """A line for each component that this machine does not have."""
    return [f"{name}: {why}" for name in COMPONENTS if (why := why_missing(name)) is not None]


def require(component: str) -> None:
    """Skip the test that asks, or fail it in CI, unless the component is here."""
    if (why := why_missing(component)) is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{component} is missing, and CI=true: {why}")
    pytest.skip(f"{component} is missing: {why}")
