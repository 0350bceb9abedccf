"""`python -m deploy.ses_sandbox`: run a sandbox in the foreground."""

from __future__ import annotations

import sys

import uvloop

from deploy.ses_sandbox.command_line import read_command_line
from deploy.ses_sandbox.journal import DamagedJournal
from deploy.ses_sandbox.sandbox import DirectoryInUse
from deploy.ses_sandbox.server import serve
from deploy.ses_sandbox.signing import WrongKey


def main() -> int:
    """0 after an orderly end, 1 when the sandbox could not start."""
    settings, switches = read_command_line(sys.argv[1:])
    try:
        uvloop.run(serve(settings, switches))
    except (DirectoryInUse, DamagedJournal, WrongKey, OSError) as error:
        print(f"ses_sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
