"""A child process that does nothing but sign.

RSA costs most of a millisecond and holds the interpreter, so signing in the server would slow the
taking of mails. The child keeps no state and ends with its input: however the server ends, the
child ends too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from pathlib import Path
from typing import Final

from deploy.ses_sandbox.signing import SignatureVersion, load_key, sign

_HEAD_BYTES: Final = 5
_SIGNATURE_BYTES: Final = 256
_IMPORT_ROOT: Final = Path(__file__).resolve().parents[2]


class SigningFailed(Exception):
    """The signing child ended; what it had in hand must be signed again."""


class Signer:
    """Hands texts to a child process in order, and starts another when one has ended."""

    def __init__(self, key_path: Path) -> None:
        self._key_path = key_path
        self._child: _Child | None = None
        self._starting = asyncio.Lock()

    async def sign(self, version: SignatureVersion, text: bytes) -> bytes:
        """Raises SigningFailed when the child ends before it answered."""
        child = self._child
        if child is None or child.ended:
            child = await self.start()
        return await child.sign(version, text)

    async def start(self) -> _Child:
        """Start the child unless one is alive."""
        async with self._starting:
            if self._child is None or self._child.ended:
                self._child = await _Child.start(self._key_path)
            return self._child

    async def stop(self) -> None:
        """Close the child's input and see it out."""
        if self._child is not None:
            await self._child.stop()


class _Child:
    def __init__(
        self,
        process: asyncio.subprocess.Process,
        texts: asyncio.StreamWriter,
        signatures: asyncio.StreamReader,
    ) -> None:
        self.ended = False
        self._process = process
        self._texts = texts
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._reading = asyncio.create_task(self._read(signatures))

    @classmethod
    async def start(cls, key_path: Path) -> _Child:
        paths = filter(None, (str(_IMPORT_ROOT), os.environ.get("PYTHONPATH")))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.ses_sandbox.signer", str(key_path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # a Ctrl-C at the terminal is the server's to handle
        )
        if process.stdin is None or process.stdout is None:
            raise SigningFailed("the signing process has no pipes")
        return cls(process, process.stdin, process.stdout)

    async def sign(self, version: SignatureVersion, text: bytes) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        try:
            self._texts.write(len(text).to_bytes(4, "big") + version.encode() + text)
        except (RuntimeError, OSError) as error:
            # The pipe may be known to be broken before the end of the child's output is read.
            self.ended = True
            raise SigningFailed("the signing process has closed its input") from error
        self._waiting.append(answer)
        return await answer

    async def stop(self) -> None:
        self._texts.close()
        await self._process.wait()
        await self._reading

    async def _read(self, signatures: asyncio.StreamReader) -> None:
        try:
            while True:
                signature = await signatures.readexactly(_SIGNATURE_BYTES)
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(signature)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended = True
            for answer in self._waiting:
                if not answer.done():
                    answer.set_exception(SigningFailed("the signing process ended"))


def serve_signatures(key_path: Path) -> None:
    """The child's life: frames of (length, version, text) in, 256 bytes out for each."""
    key = load_key(key_path)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(_HEAD_BYTES)) == _HEAD_BYTES:
        text = source.read(int.from_bytes(head[:4], "big"))
        try:
            sink.write(sign(key, "1" if head[4:] == b"1" else "2", text))
            sink.flush()
        except BrokenPipeError:
            os._exit(0)  # the server is gone; a normal exit would flush once more and complain


if __name__ == "__main__":
    serve_signatures(Path(sys.argv[1]))
