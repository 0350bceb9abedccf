"""A renderer with a planted fault: it can handle no batch at all."""

from __future__ import annotations

import sys
from typing import Any

from services.renderer import handler
from services.renderer.__main__ import GROUP, RendererService
from shared.loop.process import run_service


def _fails(*_: Any) -> Any:
    raise ValueError("a planted fault")


if __name__ == "__main__":
    handler.render_batch = _fails
    sys.exit(run_service(GROUP, RendererService))
