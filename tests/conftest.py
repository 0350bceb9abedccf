"""Real components as fixtures, each started once per test process and only when asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

from tests.components import require

hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")  # no test asserts time

if TYPE_CHECKING:  # heavy to import, and most test processes need neither
    from deploy.kafka.cluster import Cluster
    from tests.real_postgres import PostgresServer


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("real"):
        require(*marker.args)


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker for the whole test process: topics and groups need names of their own."""
    require("kafka")
    from deploy.kafka.cluster import Cluster

    folder = tmp_path_factory.mktemp("kafka")
    with Cluster(folder) as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers for the whole test process: a test that stops one starts it again."""
    require("kafka")
    from deploy.kafka.cluster import Cluster

    folder = tmp_path_factory.mktemp("kafka-of-three")
    with Cluster(folder, brokers=3) as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole test process: a test that stops it starts it again."""
    require("postgres")
    from tests.real_postgres import PostgresServer

    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A new, empty database."""
    dsn = postgres_server.dsn()
    yield dsn
    postgres_server.drop(dsn)
