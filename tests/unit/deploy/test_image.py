"""The image: no rights, no secrets, nothing fetched unseen, and all that its programs need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.container.health import answers, main
from shared.settings import Settings, known_names
from tests.unit.deploy.dockerfile import Stage, exec_form, read
from tests.unit.deploy.metric_names import ROOT

FOLDER = ROOT / "deploy" / "container"
STAGES = read(FOLDER / "Dockerfile")
SERVICES = ("segmenter", "renderer", "sender", "tracker")
FINAL = (*SERVICES, "sandbox", "console")


def test_there_is_a_target_for_each_service() -> None:
    assert set(STAGES) == {"packages", "base", *FINAL}
    assert {STAGES[name].source for name in FINAL} == {"base"}


def test_images_are_named_plainly_and_by_version() -> None:
    outside = {stage.source for stage in STAGES.values()} - set(STAGES)
    assert outside == {"python:3.11-slim"}


def test_packages_are_installed_by_their_hashes_only() -> None:
    runs = [said for stage in STAGES.values() for said in stage.all("RUN") if "pip" in said]
    assert len(runs) == 1
    assert "--require-hashes" in runs[0]
    assert "--no-deps" in runs[0]
    assert all("==" in line for line in pinned(ROOT / "requirements" / "run.txt"))


def pinned(path: Path) -> list[str]:
    """The lines that name a package."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith((" ", "#"))]


def test_nothing_is_added_from_an_address_and_nothing_else_fetches() -> None:
    for stage in STAGES.values():
        assert not stage.all("ADD")
        for said in stage.all("RUN"):
            assert not re.search(r"curl|wget|apt-get|https?://", said)


def test_it_runs_as_a_user_without_rights() -> None:
    assert STAGES["base"].last("USER") == "10001:10001"
    for name in FINAL:
        assert not STAGES[name].all("USER"), "keeps the user of the base"
        assert not STAGES[name].all("RUN"), "nothing is installed after the user is changed"


def test_no_secret_is_built_in() -> None:
    for stage in STAGES.values():
        assert not stage.all("ARG")
        for said in stage.all("ENV"):
            assert not re.search(r"(?i)secret|password|_key", said)
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert ignored.splitlines()[1] == "*", "all is kept from the builder but what is named"
    assert "!deploy/compose" not in ignored


def test_all_that_is_copied_is_let_through_and_is_there() -> None:
    let_through = {
        line[1:]
        for line in (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for source, _ in copied(*STAGES.values()):
        assert (ROOT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in let_through), source


def test_the_command_is_a_program() -> None:
    assert os.access(FOLDER / "doorstep", os.X_OK)


@pytest.mark.parametrize("name", FINAL)
def test_programs_are_started_without_a_shell_between(name: str) -> None:
    words = exec_form(STAGES[name].last("ENTRYPOINT") or "")
    assert words[0] in {"doorstep", "python"}
    if name in SERVICES:
        assert words == ["doorstep", "run", name]


@pytest.mark.parametrize("name", SERVICES)
def test_the_health_of_a_service_is_asked_at_the_port_it_has_by_default(name: str) -> None:
    check = STAGES[name].last("HEALTHCHECK") or ""
    port = getattr(Settings.model_construct(), name).port
    words = exec_form(check.partition("CMD ")[2])
    assert words == [
        "python", "-m", "deploy.container.health", f"http://127.0.0.1:{port}/healthz",
    ]  # fmt: skip
    assert STAGES[name].all("EXPOSE") == [str(port)]


def test_settings_in_the_image_are_settings() -> None:
    names = re.findall(
        r"\bDOORSTEP_\w+", " ".join(s for x in STAGES.values() for s in x.all("ENV"))
    )
    assert names
    assert set(names) <= set(known_names())


def copied(*stages: Stage) -> Iterator[tuple[str, str]]:
    """What is copied from the checkout, and whereto."""
    for stage in stages:
        for said in stage.all("COPY"):
            if not said.startswith("--from"):
                source, target = said.split()
                yield source, target


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the image where the image has them, below a folder."""
    root = tmp_path_factory.mktemp("image")
    for source, target in copied(STAGES["base"]):
        place = root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source, place, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )  # fmt: skip
        else:
            shutil.copy2(ROOT / source, place)
    return root


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "services.console", "--help"),
        ("-m", "deploy.ses_sandbox", "--help"),
        ("-c", "import " + ", ".join(f"services.{name}.__main__" for name in SERVICES)),
    ],
    ids=["console", "sandbox", "services"],
)
def test_all_that_the_programs_import_is_in_the_image(
    image: Path, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DOORSTEP_")}
    # -S and the packages by name: the checkout is not found by way of the environment's own path
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": f"{image / 'app'}:{packages}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stderr


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_the_check_ends_as_the_service_answers() -> None:
    with HTTPServer(("127.0.0.1", 0), _Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert main([f"{address}/healthz"]) == 0
        assert main([f"{address}/readyz"]) == 1
        server.shutdown()
    assert not answers(f"{address}/healthz")
    assert main([]) == 64
