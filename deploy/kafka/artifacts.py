"""The broker's jars: fetched once with Maven, checked, kept outside the checkout by version.

To move to another Kafka: change the versions here, fetch, and write `sha256sum *.jar` of what came
into jars.sha256.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.kafka.java import java_home
from deploy.kafka.missing import Missing

KAFKA_VERSION: Final = "4.3.1"
LOG4J_VERSION: Final = "2.25.4"  # the one that this Kafka brings; the binding must be of the same
FETCH_SECONDS: Final = 900.0
_CHECKSUMS: Final = Path(__file__).with_name("jars.sha256")
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM: Final = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>doorstep</groupId>
  <artifactId>kafka-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
      <scope>runtime</scope>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
      <scope>runtime</scope>
    </dependency>
  </dependencies>
</project>
"""


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where brokers are kept: KAFKA_CACHE, or below XDG_CACHE_HOME, or ~/.cache."""
    if told := environment.get("KAFKA_CACHE"):
        return Path(told).absolute()
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "doorstep" / "kafka"


def jars_in(cache: Path) -> tuple[Path, ...]:
    """The class path, always in the same order; empty when this version is not in the cache."""
    return tuple(sorted((cache / KAFKA_VERSION).glob("*.jar")))


def fetch(cache: Path, java: Path) -> tuple[Path, ...]:
    """The jars, fetched unless they are there. Raises Missing.

    Two processes may ask at once: one fetches, the other waits. The folder gets its name only when
    it is whole, so a fetch that was killed leaves nothing that looks like a broker.
    """
    if found := jars_in(cache):
        return found
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing(
            f"Kafka {KAFKA_VERSION} is not in {cache} and Maven is not here to fetch it: "
            "install maven"
        )
    with exclusive(cache):
        if not jars_in(cache):
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as made:
                whole = _copy_dependencies(maven, java, Path(made))
                check_jars(whole)
                whole.rename(cache / KAFKA_VERSION)
    return jars_in(cache)


@contextmanager
def exclusive(cache: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that held it."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_jars(folder: Path) -> None:
    """Raises Missing unless the folder holds exactly the files of jars.sha256."""
    listed = (line.split() for line in _CHECKSUMS.read_text(encoding="ascii").splitlines())
    wanted = {name: digest for digest, name in listed}
    came = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")
    }
    if came != wanted:
        differing = sorted(set(came.items()) ^ set(wanted.items()))
        raise Missing(
            f"what Maven fetched for Kafka {KAFKA_VERSION} is not what jars.sha256 says; "
            f"the first that differs is {differing[0][0]}"
        )


def _copy_dependencies(maven: str, java: Path, folder: Path) -> Path:
    pom, jars = folder / "pom.xml", folder / "jars"
    pom.write_text(_POM, encoding="utf-8")
    options = ("--batch-mode", "--quiet", "--file", str(pom))
    try:
        done = subprocess.run(
            [maven, *options, _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"],
            env={**os.environ, "JAVA_HOME": str(java_home(java))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Missing(
            f"Maven did not fetch Kafka {KAFKA_VERSION} within {FETCH_SECONDS:.0f} s"
        ) from error
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["no word"]
        raise Missing(f"Maven could not fetch Kafka {KAFKA_VERSION}: {said[0]}")
    return jars
