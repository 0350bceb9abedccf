"""Logs as JSON lines. Every line has a machine-readable `action`; no address or name, ever."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, service, action, then the fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "action": getattr(record, "action", record.name),
        }
        line.update(getattr(record, "fields", {}))
        if "action" not in record.__dict__:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class Journal:
    """Says what happened: `journal.info("relay.published", records=12)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, action: str, **fields: Any) -> None:
        self._say(logging.DEBUG, action, fields)

    def info(self, action: str, **fields: Any) -> None:
        self._say(logging.INFO, action, fields)

    def warning(self, action: str, **fields: Any) -> None:
        self._say(logging.WARNING, action, fields)

    def error(self, action: str, **fields: Any) -> None:
        self._say(logging.ERROR, action, fields)

    def failure(self, action: str, error: BaseException, **fields: Any) -> None:
        """An error with its traceback."""
        self._logger.error(action, exc_info=error, extra={"action": action, "fields": fields})

    def _say(self, level: int, action: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, action, extra={"action": action, "fields": fields})


def configure(service: str, level: str) -> None:
    """Send this process's log lines to standard error, once, from the wiring."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("botocore", "urllib3", "uvicorn.access", "httpx", "httpcore", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
