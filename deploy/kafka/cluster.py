"""One broker or three on this machine, started, killed, frozen and brought back at will."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.kafka.installation import Installation, installed
from deploy.kafka.processes import Processes, signal_group
from deploy.kafka.properties import Node, as_text, properties_of
from deploy.ports import free_ports

GRACE_SECONDS: Final = 20.0
_STORAGE_TOOL: Final = "kafka.tools.StorageTool"
_BROKER: Final = "kafka.Kafka"
_JVM: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_LOGGING: Final = """<Configuration status="ERROR" shutdownHook="disable">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT">
      <PatternLayout pattern="%d %-5p %m (%c{1})%n%throwable"/>
    </Console>
  </Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


class NotReady(Exception):
    """The brokers did not become ready; the text ends with what they said last."""


class Cluster:
    """Brokers numbered from 1, each a process of its own.

        with Cluster(folder, brokers=3) as cluster:
            use(cluster.bootstrap)
            cluster.kill(2)
            cluster.restart(2)

    `folder` keeps data and logs; a second Cluster over it goes on with the same data. Processes die
    with the one that started them, however it ends.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        *,
        ports: Sequence[int] = (),
        properties: Mapping[str, str] | None = None,
        heap: str = "512m",
        jvm_options: Sequence[str] = (),
        installation: Installation | None = None,
    ) -> None:
        """`ports`: one for each broker, then one for each controller; any free ones if empty.

        `properties` are added to each server.properties and win. Raises Missing where there is no
        Java or no broker to be had.
        """
        self._folder = folder.absolute()
        self._installation = installation or installed()
        numbers = range(1, brokers + 1)
        ports = ports or free_ports(2 * brokers)
        self.nodes: Final = tuple(
            Node(number, port, controller, self._folder / f"broker-{number}")
            for number, port, controller in zip(
                numbers, ports[:brokers], ports[brokers:], strict=True
            )
        )
        self._properties = dict(properties or {})
        self._options = (f"-Xmx{heap}", *_JVM, *jvm_options)
        self._processes = Processes()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._frozen: set[int] = set()

    @property
    def bootstrap(self) -> str:
        """`host:port` of every broker, joined by commas."""
        return ",".join(node.address for node in self.nodes)

    def start(self) -> Self:
        """Start all brokers and wait until they are ready. Raises NotReady."""
        try:
            for node in self.nodes:
                self._lay_out(node)
            for node in self.nodes:
                self.start_broker(node.number)
            self.wait_ready()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        return self

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """SIGTERM to all, and SIGKILL to those that take longer than the grace."""
        for process in self._running.values():
            signal_group(process, signal.SIGTERM)
            signal_group(process, signal.SIGCONT)
        deadline = time.monotonic() + grace_seconds
        for number in list(self._running):
            self._end(number, signal.SIGTERM, max(0.0, deadline - time.monotonic()))
        self._processes.close()

    def start_broker(self, number: int) -> None:
        """Start one that does not run. Does not wait: see `wait_ready`."""
        if self.is_running(number):
            raise ValueError(f"broker {number} runs already")
        node = self.nodes[number - 1]
        self._running[number] = self._processes.start(
            self._command(node, _BROKER, "server.properties"), self.log_of(number), node.folder
        )

    def stop_broker(self, number: int) -> None:
        """An orderly end of one: it hands its partitions over first."""
        self._end(number, signal.SIGTERM, GRACE_SECONDS)

    def kill(self, number: int) -> None:
        """SIGKILL, and see it out."""
        self._end(number, signal.SIGKILL, GRACE_SECONDS)

    def restart(self, number: int) -> None:
        """Start one again (killed first where it runs) and wait until it has its copies."""
        if number in self._running:
            self.kill(number)
        self.start_broker(number)
        self.wait_ready()
        self.wait_in_sync()

    def suspend(self, number: int) -> None:
        """SIGSTOP: the broker neither answers nor closes its connections."""
        signal_group(self._running[number], signal.SIGSTOP)
        self._frozen.add(number)

    def resume(self, number: int) -> None:
        """SIGCONT."""
        signal_group(self._running[number], signal.SIGCONT)
        self._frozen.discard(number)

    def is_running(self, number: int) -> bool:
        """Whether there is a process, frozen or not."""
        process = self._running.get(number)
        return process is not None and process.poll() is None

    def log_of(self, number: int) -> Path:
        """The file with what a broker said."""
        return self.nodes[number - 1].folder / "broker.log"

    def wait_for_end(self) -> NoReturn:
        """Wait until a broker ends on its own, and say so. Raises NotReady, never returns."""
        while True:
            self._look_for_ended()
            time.sleep(0.5)

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until every broker that runs answers and all know each other. Raises NotReady."""
        wanted = set(self._running) - self._frozen
        deadline = time.monotonic() + seconds

        def ready(admin: Any) -> bool:
            found = admin.describe_cluster()["brokers"]
            return wanted <= {broker["broker_id"] for broker in found}

        for number in sorted(wanted):
            # each by its own address: the others go on naming one that was killed just now
            address = self.nodes[number - 1].address
            self._wait(ready, deadline, address, f"broker {number} is not part of the cluster")

    def wait_in_sync(self, seconds: float = 60.0) -> None:
        """Wait until every partition has a leader and all its copies. Raises NotReady."""

        def in_sync(admin: Any) -> bool:
            partitions = [one for topic in admin.describe_topics() for one in topic["partitions"]]
            return all(
                one["leader_id"] >= 0 and set(one["isr_nodes"]) == set(one["replica_nodes"])
                for one in partitions
            )

        deadline = time.monotonic() + seconds
        self._wait(in_sync, deadline, self.bootstrap, "some partitions lack a leader or a copy")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _lay_out(self, node: Node) -> None:
        """Write a node's files, and format its data folder when it is new."""
        node.folder.mkdir(parents=True, exist_ok=True)
        (node.folder / "tmp").mkdir(exist_ok=True)
        (node.folder / "log4j2.xml").write_text(_LOGGING, encoding="utf-8")
        properties = properties_of(node, self.nodes, self._properties)
        (node.folder / "server.properties").write_text(as_text(properties), encoding="utf-8")
        if (node.folder / "data" / "meta.properties").is_file():
            return
        words = ("format", "--cluster-id", self._cluster_id(), "--config", "server.properties")
        formatted = subprocess.run(
            self._command(node, _STORAGE_TOOL, *words),
            cwd=node.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode:
            raise NotReady(f"{node.folder} cannot be formatted: {formatted.stderr[-2000:]}")

    def _cluster_id(self) -> str:
        """One for all nodes of this folder, as Kafka writes a UUID."""
        kept = self._folder / "cluster.id"
        if not kept.is_file():
            made = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            # the storage tool takes a leading dash for an option
            kept.write_text(made.replace("-", "A", 1) if made[0] == "-" else made, encoding="ascii")
        return kept.read_text(encoding="ascii")

    def _command(self, node: Node, *arguments: str) -> list[str]:
        local = (
            f"-Dlog4j2.configurationFile=file:{node.folder / 'log4j2.xml'}",
            f"-Djava.io.tmpdir={node.folder / 'tmp'}",  # what a killed broker leaves stays here
        )
        return self._installation.command(*arguments, options=(*self._options, *local))

    def _end(self, number: int, how: signal.Signals, grace_seconds: float) -> None:
        self._processes.end(self._running.pop(number), how, grace_seconds)
        self._frozen.discard(number)

    def _wait(
        self, ready: Callable[[Any], bool], deadline: float, address: str, complaint: str
    ) -> None:
        while time.monotonic() < deadline:
            self._look_for_ended()
            if _asked(ready, address):
                return
            time.sleep(0.05)
        raise NotReady(f"{complaint}: {self._last_words()}")

    def _look_for_ended(self) -> None:
        for number, process in self._running.items():
            if (status := process.poll()) is not None:
                raise NotReady(f"broker {number} ended with {status}: {self._last_words()}")

    def _last_words(self) -> str:
        logs = [self.log_of(node.number) for node in self.nodes]
        return "\n".join(
            f"{path}:\n{path.read_text(errors='replace')[-1500:]}"
            for path in logs
            if path.is_file()
        )


def _asked(ready: Callable[[Any], bool], address: str) -> bool:
    if not any(_listens(one) for one in address.split(",")):
        return False  # a client that finds nobody leaves its sockets open
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=address, bootstrap_timeout_ms=2_000, request_timeout_ms=5_000
        )
    except (KafkaError, OSError):
        return False
    try:
        return ready(admin)
    except KafkaError:
        return False
    finally:
        admin.close()


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True
