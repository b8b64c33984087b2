"""What the image is made of, as far as that can be told without a Docker engine."""

import re
import subprocess
import sys

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from tests.support.deployment import ROLES, ROOT
from vpp_streams.app import ROLES as WORKERS
from vpp_streams.cli import build_app

DOCKERFILE = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
NOT_OURS = {"kafka", "postgres"}


def test_the_image_has_the_locked_libraries_that_running_needs_and_no_other() -> None:
    done = subprocess.run(
        [sys.executable, "deploy/image/runtime_lock.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_of_the_image_is_a_part_of_the_lock() -> None:
    lines = (ROOT / "requirements-runtime.lock").read_text().splitlines()
    assert set(lines) < set((ROOT / "requirements.lock").read_text().splitlines())
    assert not [line for line in lines if line.split("==")[0] in {"pytest", "mypy", "Sphinx"}]


@pytest.mark.parametrize("role", ROLES)
def test_the_command_of_each_role_exists(role: str) -> None:
    result = CliRunner().invoke(build_app(), [*ROLES[role], "--help"])
    assert result.exit_code == 0, result.output


def test_every_worker_role_is_deployed() -> None:
    deployed = {words[1] for words in ROLES.values() if words[0] == "worker"}
    assert deployed == set(WORKERS)


def test_compose_runs_every_role_with_its_command() -> None:
    commands = {}
    for name, service in COMPOSE["services"].items():
        if name not in NOT_OURS:
            words = service.get("command") or service["entrypoint"][-1].split("vpp ")[1].split()
            commands[name] = words[: len(ROLES[name])]
    assert commands == ROLES


def test_compose_runs_one_worker_for_both_halves_unless_told_otherwise() -> None:
    profiles = {name: service.get("profiles") for name, service in COMPOSE["services"].items()}
    assert [profiles[name] for name in ("flow", "ingest", "fleet")] == [
        ["system"], ["split"], ["split"],
    ]  # fmt: skip
    for name in ("flow", "fleet"):  # whichever runs answers for twins
        assert COMPOSE["services"][name]["networks"]["default"]["aliases"] == ["twins"]
    for name in ("web", "rpc"):
        assert COMPOSE["services"][name]["environment"]["VPP_FLEET_URL"] == "http://twins:6066"


def test_compose_has_no_secret_and_publishes_on_loopback_only() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("PASSWORD", "TOKEN", "SECRET"):
        for value in re.findall(rf"{name}: (\S+)", text):
            assert value.strip('"').startswith("${VPP_")
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_links_that_are_printed_in_a_container_lead_to_its_published_port() -> None:
    web = COMPOSE["services"]["web"]
    port = web["environment"]["VPP_WEB_PORT"]
    assert web["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert web["environment"]["VPP_WEB_URL"] == f"http://localhost:{port}"


def test_every_container_of_ours_is_confined() -> None:
    for name, service in COMPOSE["services"].items():
        if name in NOT_OURS:
            continue
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


def test_the_image_runs_as_a_user_without_rights_and_lets_secrets_out_of_its_context() -> None:
    assert "USER 10001" in DOCKERFILE
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"  # what is not named stays outside
    assert not [line for line in ignored if line.startswith("!.") or "env" in line]


def test_no_command_is_forgotten() -> None:
    """A command that serves until it is stopped belongs in the image's roles, or here."""
    served = {words[0] for words in ROLES.values()}
    here = {"up", "edge", "openadr", "broker"}  # a demo, a home, a utility's node, a local Kafka
    app = get_command(build_app())
    long_running = {
        name
        for name, command in app.commands.items()  # type: ignore[attr-defined]  # it is a group
        if {"run", "serve"} & set(getattr(command, "commands", ())) or name in served | here
    }
    assert long_running == served | here
