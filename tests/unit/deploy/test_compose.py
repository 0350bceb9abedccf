"""The Compose files: every word known, every name defined, least rights, and secrets in files."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from deploy.compose.make_secrets import make
from deploy.kafka.properties import Node, properties_of
from deploy.ses_sandbox.command_line import read_command_line
from services.console.main import app
from services.console.topics import remarks
from shared.settings import PREFIX, Settings, known_names, read_settings
from tests.unit.deploy.dockerfile import exec_form, read
from tests.unit.deploy.metric_names import ROOT

FOLDER = ROOT / "deploy" / "compose"
OURS = ("segmenter", "renderer", "sender", "tracker", "console", "topics", "sandbox")
SERVICES = OURS[:4]
WRITES_ITS_OWN_ROOT = {"kafka"}  # its image writes a configuration beside its program at each start
ONE_SHOT = {"console", "topics"}
KAFKA_PORT = 9092
TARGETS = read(ROOT / "deploy" / "container" / "Dockerfile")
CHOSEN = {
    "TRACKING_URL": "https://links.example.org",
    "SES_REGION": "eu-west-2",
    "SNS_TOPIC_ARN": "arn:aws:sns:eu-west-2:123456789012:ses-events",
}
"""What compose.ses.yaml asks a person for."""


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return found


COMPOSE = load("compose.yaml")
ALL = COMPOSE["services"]
OVERLAY = load("compose.ses.yaml")["services"]


def test_every_word_is_one_of_the_format() -> None:
    schema = json.loads((Path(__file__).parent / "compose.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_everything_is_there() -> None:
    assert set(ALL) == {*OURS, "kafka", "postgres", "prometheus", "grafana"}
    assert set(OVERLAY) <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_names_lead_somewhere(name: str) -> None:
    service = ALL[name]
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", ())) <= set(ALL)
    for mount in service.get("volumes", ()):
        source = mount.rsplit(":", 2 if mount.endswith(":ro") else 1)[0]
        source = re.sub(r"^\$\{\w+:-(.+)\}$", r"\1", source)
        if source.startswith("."):
            assert (FOLDER / source).resolve().exists(), source
        else:
            assert source in COMPOSE["volumes"], source


def test_every_secret_and_volume_is_used() -> None:
    for kind in ("secrets", "volumes"):
        used = json.dumps([service.get(kind, []) for service in ALL.values()])
        assert all(re.search(rf'"{name}[:"]', used) for name in COMPOSE[kind]), kind


@pytest.mark.parametrize("name", ALL)
def test_it_has_least_rights(name: str) -> None:
    service = ALL[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) is (name not in WRITES_ITS_OWN_ROOT)
    if name in OURS:
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp:mode=1777"]
    assert not {"privileged", "user", "cap_add", "pid", "network_mode"} & set(service)


@pytest.mark.parametrize("name", ALL)
def test_what_runs_on_has_a_health_check_and_comes_back(name: str) -> None:
    service = ALL[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    built = service.get("build", {}).get("target")
    check = TARGETS[built].last("HEALTHCHECK") if built else service["healthcheck"]
    assert check not in {None, "NONE"} if built else check


@pytest.mark.parametrize("name", OURS)
def test_our_own_images_are_built_from_a_target_that_is_there(name: str) -> None:
    build = ALL[name]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert build["target"] in TARGETS
    assert ALL[name]["image"] == f"doorstep-{build['target']}"
    assert exec_form(TARGETS[build["target"]].last("ENTRYPOINT") or "")


@pytest.mark.parametrize("name", sorted(set(ALL) - set(OURS)))
def test_images_of_others_are_named_plainly_and_by_version(name: str) -> None:
    image, _, tag = ALL[name]["image"].partition(":")
    assert re.fullmatch(r"v?[0-9][0-9.]*", tag), "no `latest`, which is another one tomorrow"
    assert "." not in image, "no registry host"


def test_the_broker_is_the_one_that_the_tests_run() -> None:
    from deploy.kafka.artifacts import KAFKA_VERSION

    assert ALL["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


@pytest.mark.parametrize("name", OURS)
def test_settings_are_settings(name: str) -> None:
    for service in (ALL[name], OVERLAY.get(name, {})):
        names = {one for one in service.get("environment", {}) if one.startswith("DOORSTEP_")}
        assert names <= set(known_names())


def environment(name: str, overlay: dict[str, Any]) -> dict[str, str]:
    """What a container of ours finds: of the image and of the files, with what a person chose."""
    target = TARGETS[ALL[name]["build"]["target"]]
    in_image = " ".join(said for stage in (TARGETS["base"], target) for said in stage.all("ENV"))
    found = dict(word.split("=", 1) for word in in_image.split())
    found |= ALL[name].get("environment", {})
    found |= overlay.get(name, {}).get("environment", {})
    return {
        each: re.sub(r"\$\{(\w+):[-?][^}]*\}", lambda it: CHOSEN[it[1]], str(value))
        for each, value in found.items()
    }


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """The settings as a process in the container reads them."""

    def read_in_container(name: str, overlay: dict[str, Any]) -> Settings:
        with monkeypatch.context() as inside:
            for outside in [each for each in os.environ if each.startswith(PREFIX)]:
                inside.delenv(outside)
            for each, value in environment(name, overlay).items():
                inside.setenv(each, value)
            return read_settings()

    return read_in_container


@pytest.mark.parametrize("overlay", [{}, OVERLAY], ids=["rehearsal", "real mail"])
@pytest.mark.parametrize("name", [*SERVICES, "console", "topics"])
def test_settings_can_be_read(
    name: str, overlay: dict[str, Any], settings_of: Callable[..., Settings]
) -> None:
    settings = settings_of(name, overlay)
    assert settings.log == f"kafka:{KAFKA_PORT}"
    assert f"PLAINTEXT://:{KAFKA_PORT}," in ALL["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert settings.home == Path("/var/lib/doorstep")
    assert any(mount.endswith(":/var/lib/doorstep") for mount in ALL[name]["volumes"])
    assert settings.kafka.replication == settings.kafka.min_insync == 1, "there is one broker"
    for file in (settings.secret_file, settings.postgres_file):
        assert file is not None
        assert file.parent == Path("/run/secrets")
        assert file.name in ALL[name]["secrets"]
    if name == "sender":
        settings.sender.check_settle_window()


def test_the_console_asks_every_service_by_its_name(settings_of: Callable[..., Settings]) -> None:
    assert settings_of("console", {}).ask_hosts == {name: name for name in SERVICES}


@pytest.mark.parametrize("name", [*SERVICES, "topics"])
def test_the_command_line_has_such_a_command(name: str) -> None:
    entry = exec_form(TARGETS[ALL[name]["build"]["target"]].last("ENTRYPOINT") or "")
    program, *words = [*entry, *ALL[name].get("command", [])]
    assert program == "doorstep"
    parsed = CliRunner().invoke(app, [*words, "--help"])
    assert parsed.exit_code == 0, parsed.output
    if name == "topics":
        assert "--yes" in words, "nobody is there to be asked"
    else:
        assert words == ["run", name]


def test_the_sandbox_takes_its_options_and_speaks_as_the_topic_that_the_tracker_trusts(
    settings_of: Callable[..., Settings],
) -> None:
    entry = exec_form(TARGETS["sandbox"].last("ENTRYPOINT") or "")
    assert entry[:3] == ["python", "-m", "deploy.ses_sandbox"]
    sandbox, switches = read_command_line([*entry[3:], *ALL["sandbox"]["command"]])
    sender, tracker = settings_of("sender", {}).sender, settings_of("tracker", {}).tracker
    assert sender.ses_endpoint == f"http://sandbox:{sandbox.port}"
    assert switches.sns_endpoint == f"http://tracker:{tracker.port}/sns"
    assert switches.validity_seconds < sender.settle_seconds
    assert sandbox.topic_arn in tracker.topic_arns
    mounts = {name: set(ALL[name]["volumes"]) for name in ("sandbox", "tracker")}
    assert f"sandbox:{sandbox.directory}" in mounts["sandbox"]
    assert tracker.certificates == Path("/var/lib/ses/certificates")
    assert "sandbox:/var/lib/ses:ro" in mounts["tracker"]


def test_ports_are_those_that_answer(settings_of: Callable[..., Settings]) -> None:
    tracker = settings_of("tracker", {}).tracker
    assert tracker.host == "0.0.0.0"
    assert ALL["tracker"]["ports"] == [f"127.0.0.1:{tracker.port}:{tracker.port}"]
    for name in ("prometheus", "grafana"):
        (port,) = ALL[name]["ports"]
        assert f"localhost:{port.rpartition(':')[2]}/" in ALL[name]["healthcheck"]["test"][-1]
    source = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


def test_the_broker_remembers_positions_as_long_as_the_plan_wants() -> None:
    minutes = int(ALL["kafka"]["environment"]["KAFKA_OFFSETS_RETENTION_MINUTES"])
    assert remarks([], minutes) == []
    node = Node(1, 9092, 9192, Path("home"))
    assert int(properties_of(node, [node], {})["offsets.retention.minutes"]) == minutes


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_topics_broker_and_database(name: str) -> None:
    assert ALL[name]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "postgres": {"condition": "service_healthy"},
        "topics": {"condition": "service_completed_successfully"},
    }


def test_nobody_waits_for_the_health_of_what_has_no_check() -> None:
    for name, service in ALL.items():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in ALL[other], f"{name} waits for {other}"
            if wanted["condition"] == "service_completed_successfully":
                assert other in ONE_SHOT


def test_ports_are_published_on_this_machine_only() -> None:
    ports = {name: service.get("ports", []) for name, service in ALL.items()}
    published = {name for name, found in ports.items() if found}
    assert published == {"tracker", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for found in ports.values() for port in found)


def test_what_answers_questions_about_people_cannot_be_reached_from_outside() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("segmenter", "renderer", "kafka", "postgres", "console"):
        assert ALL[name]["networks"] == ["inside"]


def test_no_secret_is_written_in_the_file() -> None:
    for name, service in {**ALL, **OVERLAY}.items():
        for setting, value in service.get("environment", {}).items():
            if re.search(r"(?i)password|secret|credentials|postgres_file", setting):
                assert str(value).startswith("/run/secrets/"), f"{name}: {setting}"
                assert str(value).removeprefix("/run/secrets/") in service["secrets"]


def test_a_rehearsal_cannot_reach_amazon_and_real_mail_takes_no_certificate_of_the_sandbox() -> (
    None
):
    assert ALL["sender"]["environment"]["DOORSTEP_SENDER__SES_ENDPOINT"] == "http://sandbox:8025"
    assert OVERLAY["sender"]["environment"]["DOORSTEP_SENDER__SES_ENDPOINT"] == ""
    assert OVERLAY["sandbox"]["profiles"] == ["rehearsal"], "not started"
    pinned = OVERLAY["tracker"]["environment"]["DOORSTEP_TRACKER__CERTIFICATES"]
    assert not pinned.startswith("/var/lib/ses")


def test_prometheus_asks_the_services_at_the_ports_of_the_image() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    asked = {
        name: str(job["dns_sd_configs"][0]["port"])
        for job in config["scrape_configs"]
        for name in job.get("dns_sd_configs", [{"names": []}])[0]["names"]
    }
    assert asked == {name: TARGETS[name].all("EXPOSE")[0] for name in SERVICES}


def test_the_secrets_that_are_mounted_are_those_that_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = {path.name for path in make(folder)}
    mounted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert made == mounted
    assert all(secret["file"].startswith("secrets/") for secret in COMPOSE["secrets"].values())
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "deploy/compose/secrets/" in ignored


def test_secrets_are_made_once_and_the_folder_is_their_owners(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert make(folder) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # in the container another user reads them
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    password = before["postgres_password"].strip()
    assert f"doorstep:{password}@postgres:5432/doorstep" in before["doorstep_postgres"]
