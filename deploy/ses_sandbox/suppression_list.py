"""The account's suppression list: who is on it, page by page, and how somebody gets there.

Kept as a line of JSON each, so that it outlives the process. It is only a list: which mailboxes
bounce is written in their addresses (see mailboxes), and no mail is refused for it.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from deploy.ses_sandbox.refusals import bad_request

REASONS: Final = ("BOUNCE", "COMPLAINT")
LARGEST_PAGE: Final = 1_000


class SuppressionList:
    """By address; a later putting replaces an earlier one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_address: dict[str, tuple[float, str]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                address, at, reason = json.loads(line)
                self._by_address[address] = (at, reason)

    def put(self, body: bytes, now: float) -> bytes:
        """PutSuppressedDestination. Raises the refusal of what cannot be one."""
        try:
            asked = json.loads(body)
            address, reason = str(asked["EmailAddress"]).casefold(), asked["Reason"]
        except (ValueError, KeyError, TypeError):
            raise bad_request("EmailAddress and Reason are required") from None
        if reason not in REASONS or "@" not in address:
            raise bad_request(f"Reason is one of {', '.join(REASONS)}; an address has an @")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([address, now, reason]) + "\n")
        self._by_address[address] = (now, reason)
        return b"{}"

    def page(self, query: str) -> bytes:
        """ListSuppressedDestinations, oldest first. Raises the refusal of a wrong question."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        try:
            since = _epoch(asked["StartDate"]) if "StartDate" in asked else 0.0
            size = min(LARGEST_PAGE, int(asked.get("PageSize", LARGEST_PAGE)))
            after = _mark(asked["NextToken"]) if "NextToken" in asked else (0.0, "")
        except ValueError as wrong:
            raise bad_request(f"not a question of this kind: {wrong}") from None
        wanted = sorted(
            (at, address, reason)
            for address, (at, reason) in self._by_address.items()
            if at >= since and (at, address) > after
        )
        answer: dict[str, object] = {
            "SuppressedDestinationSummaries": [
                {"EmailAddress": address, "Reason": reason, "LastUpdateTime": at}
                for at, address, reason in wanted[:size]
            ]
        }
        if len(wanted) > size:
            answer["NextToken"] = json.dumps(wanted[size - 1][:2])
        return json.dumps(answer).encode()


def _epoch(text: str) -> float:
    """Seconds of an ISO 8601 instant."""
    return datetime.fromisoformat(text).timestamp()


def _mark(token: str) -> tuple[float, str]:
    at, address = json.loads(token)
    return float(at), str(address)
