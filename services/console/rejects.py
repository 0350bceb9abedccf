"""The file of refused rows: as they came, with line and reason, ready to be mended and imported.

It holds addresses, so only its owner may read it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from services.console.columns import REFUSED_BECAUSE, REFUSED_LINE
from shared.errors import Misconfigured


class Rejects:
    """Made when the first row is refused; nothing is left behind when none is."""

    def __init__(self, path: Path, header: Sequence[str], delimiter: str) -> None:
        kept = (REFUSED_LINE, REFUSED_BECAUSE)
        self._columns = [index for index, name in enumerate(header) if name not in kept]
        self._header = [header[index] for index in self._columns]
        self._path, self._delimiter = path, delimiter
        self._file: IO[str] | None = None
        self._writer: Any = None
        self.count = 0

    @property
    def path(self) -> Path | None:
        """Where the refused rows are; None when there are none."""
        return self._path if self.count else None

    def add(self, line: int, cells: Sequence[str], reason: str) -> None:
        """Keep one refused row."""
        self.count += 1
        if self._file is None:
            self._open()
        # A row of the wrong length is kept whole, whatever its header.
        whole = len(cells) == len(self._columns) or not self._columns
        shown = cells if whole or len(cells) <= max(self._columns) else [
            cells[index] for index in self._columns
        ]  # fmt: skip
        self._writer.writerow([line, reason, *shown])

    def _open(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            raise Misconfigured(
                f"{self._path}: the refused rows cannot be written there: "
                f"{error.strerror or error}; say another place with --rejects"
            ) from error
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, delimiter=self._delimiter)
        self._writer.writerow([REFUSED_LINE, REFUSED_BECAUSE, *self._header])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
