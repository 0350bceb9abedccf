"""Whether a service in this container answers: the health check of the image.

`python -m deploy.container.health http://127.0.0.1:8701/healthz` ends with 0 or 1. It only looks at
this machine, never through a proxy.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

PATIENCE_SECONDS = 4.0


def answers(url: str) -> bool:
    """Whether a GET of it is answered with 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE_SECONDS) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m deploy.container.health URL", file=sys.stderr)
        return 64
    return 0 if answers(arguments[0]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
