"""Posts over connections that are kept: none is made twice, and each end means what happened."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.sender.connection import Response
from services.sender.posting import End, Lost, NotSent, Post, Posting
from tests.integration.sender.processes import until
from tests.integration.sender.test_gateway import self_signed, whole

REQUEST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE = 20

Serving = Callable[[socket.socket], None]


class Server:
    """Listens; each connection is served by what `serving` says then."""

    def __init__(self, serving: Serving, tls: ssl.SSLContext | None = None) -> None:
        self.serving, self._tls = serving, tls
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def read(self, connection: socket.socket) -> bytes:
        """One whole request; b"" when the other end has closed."""
        found = b""
        while not whole(found):
            more = connection.recv(65_536)
            if not more:
                return b""
            found += more
        self.requests.append(found)
        return found

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listening.accept()[0]
                self.connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self.connections[-1] = connection
            self.serving(connection)


@pytest.fixture
def server() -> Iterator[Server]:
    """Answers every request, until told otherwise."""
    made = Server(lambda connection: answer_all(made, connection))
    yield made
    made.close()


@pytest.fixture
def posting(server: Server) -> Iterator[Posting]:
    made = posting_to(server.port)
    yield made
    made.close()


def posting_to(
    port: int,
    *,
    connections: int = 2,
    read_timeout_seconds: float = 1,
    tls: ssl.SSLContext | None = None,
) -> Posting:
    return Posting(
        "localhost", port, tls, connections=connections, connect_timeout_seconds=5,
        read_timeout_seconds=read_timeout_seconds,
    )  # fmt: skip


def answer_all(server: Server, connection: socket.socket) -> None:
    while server.read(connection):
        connection.sendall(ANSWER)


def answer_with(server: Server, *parts: bytes) -> Serving:
    """Answer one request with these, each in a segment of its own, and close."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.read(connection):
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_RDWR)

    return serve


def post(posting: Posting, request: bytes = REQUEST) -> End:
    ends: queue.SimpleQueue[End] = queue.SimpleQueue()
    posting.begin(Post(lambda: request, ends.put))
    return ends.get(timeout=PATIENCE)


def test_a_connection_is_kept_for_the_next(server: Server, posting: Posting) -> None:
    for _ in range(3):
        assert post(posting) == Response(200, {"content-length": "2"}, b"{}")

    assert len(server.connections) == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_over_tls_a_connection_is_kept_and_noticed_when_it_closes(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The tickets that a server sends by itself (TLS 1.3) are no sign of anything."""
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.minimum_version = context.maximum_version = version
    server = Server(lambda connection: answer_all(server, connection), context)
    trusting = ssl.create_default_context(cafile=certificate)
    posting = posting_to(server.port, read_timeout_seconds=PATIENCE, tls=trusting)
    large = b"x" * 500_000
    request = REQUEST.replace(b"Length: 2\r\n\r\n{}", b"Length: 500000\r\n\r\n") + large

    ends = [post(posting, request), post(posting), post(posting)]
    connections = len(server.connections)
    server.connections[-1].shutdown(socket.SHUT_RDWR)
    after = post(posting)

    posting.close()
    server.close()
    assert {type(end) for end in (*ends, after)} == {Response}
    assert server.requests[0] == request
    assert (connections, len(server.connections)) == (1, 2)


def test_many_at_once_wait_for_the_few_connections(server: Server, posting: Posting) -> None:
    ends: queue.SimpleQueue[End] = queue.SimpleQueue()
    for _ in range(50):
        posting.begin(Post(lambda: REQUEST, ends.put))
    found = [ends.get(timeout=PATIENCE) for _ in range(50)]

    assert {type(end) for end in found} == {Response}
    assert len(server.requests) == 50
    assert len(server.connections) <= 2


def test_a_connection_that_was_closed_while_idle_is_not_written_to(
    server: Server, posting: Posting
) -> None:
    """Otherwise nobody could say whether the request was taken."""
    for round_ in range(3):
        assert isinstance(post(posting), Response)
        server.connections[-1].shutdown(socket.SHUT_RDWR)
        assert len(server.connections) == round_ + 1


def test_a_connection_on_which_something_came_unasked_is_not_used_again(
    server: Server, posting: Posting
) -> None:
    server.serving = answer_with(server, ANSWER + b"HTTP/1.1 200 OK\r\n")
    assert isinstance(post(posting), Response)
    server.serving = lambda connection: answer_all(server, connection)

    assert isinstance(post(posting), Response)
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
        (b"something else\r\n\r\n",),
    ],
)
def test_what_is_no_whole_answer_leaves_the_request_in_doubt(
    server: Server, posting: Posting, parts: tuple[bytes, ...]
) -> None:
    server.serving = answer_with(server, *parts)

    assert isinstance(post(posting), Lost)
    assert len(server.requests) == 1, "and it is not made twice"


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"{", b"}  "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}  \r\n", b"0\r\n\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}  "),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{", b"}  "),
    ],
)
def test_an_answer_is_read_however_it_comes(
    server: Server, posting: Posting, parts: tuple[bytes, ...]
) -> None:
    server.serving = answer_with(server, *parts)

    end = post(posting)

    assert isinstance(end, Response)
    assert (end.status, end.body) == (200, b"{}  ")


@pytest.mark.parametrize("extra", [b"HTTP/1.1 408 Request Timeout\r\n", b"HTTP/1.1 503 Busy\r\n"])
def test_what_comes_behind_an_answer_does_not_change_it(
    server: Server, posting: Posting, extra: bytes
) -> None:
    """A server that closes for idleness may say 408: read as our answer, it would mail twice."""
    server.serving = answer_with(
        server, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}  " + extra
        + b"Connection: close\r\nContent-Length: 0\r\n\r\n",
    )  # fmt: skip

    end = post(posting)

    assert isinstance(end, Response)
    assert (end.status, end.body) == (200, b"{}  ")
    server.serving = lambda connection: answer_all(server, connection)
    assert isinstance(post(posting), Response), "over another connection"
    assert len(server.connections) == 2


def test_nobody_waits_for_ever_for_a_thread_that_has_ended(server: Server) -> None:
    """Also who was posted while it ended: nothing of that was written."""
    posting = posting_to(server.port)
    ends: queue.SimpleQueue[End] = queue.SimpleQueue()

    def break_it(_: End) -> None:
        posting._inbox.put(Post(lambda: REQUEST, ends.put))  # too late to be heard
        raise MemoryError

    posting.begin(Post(lambda: REQUEST, break_it))

    assert isinstance(ends.get(timeout=PATIENCE), NotSent)
    with pytest.raises(RuntimeError, match="has ended"):
        posting.begin(Post(lambda: REQUEST, ends.put))
    posting.close()


def test_silence_is_doubt_and_ends_only_its_own_call(server: Server, posting: Posting) -> None:
    def first_is_silent(connection: socket.socket) -> None:
        if server.read(connection) and len(server.connections) > 1:
            connection.sendall(ANSWER)
            answer_all(server, connection)
        else:
            server.read(connection)

    server.serving = first_is_silent
    ends: queue.SimpleQueue[End] = queue.SimpleQueue()
    posting.begin(Post(lambda: REQUEST, ends.put))
    until(lambda: len(server.requests) == 1, "the first request")

    assert isinstance(post(posting), Response)
    silent = ends.get(timeout=PATIENCE)
    assert isinstance(silent, Lost)
    assert isinstance(silent.error, TimeoutError)


def test_a_request_larger_than_the_systems_buffers_arrives_whole(
    server: Server,
) -> None:
    body = bytes(range(256)) * 10_000
    request = REQUEST.replace(b"Length: 2\r\n\r\n{}", b"Length: %d\r\n\r\n" % len(body)) + body

    posting = posting_to(server.port, read_timeout_seconds=PATIENCE)
    end = post(posting, request)
    posting.close()

    assert isinstance(end, Response)
    assert server.requests == [request]


def test_a_port_that_nobody_listens_on_is_told_to_everybody_who_waits() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        posting = posting_to(bound.getsockname()[1])
        ends: queue.SimpleQueue[End] = queue.SimpleQueue()
        for _ in range(5):
            posting.begin(Post(lambda: REQUEST, ends.put))
        found = [ends.get(timeout=PATIENCE) for _ in range(5)]
        posting.close()

    assert {type(end) for end in found} == {NotSent}


def test_a_request_that_is_withheld_leaves_the_connection_for_the_next(
    server: Server, posting: Posting
) -> None:
    def withhold() -> bytes:
        raise ValueError("too old")

    ends: queue.SimpleQueue[End] = queue.SimpleQueue()
    posting.begin(Post(withhold, ends.put))
    end = ends.get(timeout=PATIENCE)

    assert isinstance(end, NotSent)
    assert isinstance(end.error, ValueError)
    assert isinstance(post(posting), Response)
    assert len(server.connections) == len(server.requests) == 1


def test_whoever_waits_hears_of_it_when_it_is_closed(server: Server) -> None:
    server.serving = lambda connection: server.read(connection) and None
    posting = posting_to(server.port, connections=1)
    ends: queue.SimpleQueue[End] = queue.SimpleQueue()
    for _ in range(2):
        posting.begin(Post(lambda: REQUEST, ends.put))
    until(lambda: len(server.requests) == 1, "the request")

    posting.close()

    assert isinstance(ends.get(timeout=PATIENCE), Lost)
    assert isinstance(ends.get(timeout=PATIENCE), NotSent)
