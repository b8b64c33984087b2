"""How an agent is made of its configuration, and ended if it stands still."""

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config import ConfigError, read_config
from edge.loop_watch import EXIT_CODE
from edge.run import agent_of
from edge.store import InUseError
from tests.support.certificates import make_certificate
from tests.support.edge_agent import running
from tests.support.paths import ROOT
from tests.support.small_gateway import small_gateway

SECTIONS = """
[home]
backup_reserve = 0.2
[driver]
name = "simulated"
[storage]
path = "ring.db"
"""


def config_file(folder: Path, gateway: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(f"[gateway]\n{gateway}\n{SECTIONS}")
    return path


async def test_a_client_certificate_says_who_it_is(tmp_path: Path) -> None:
    ca = make_certificate("ca", None, tmp_path)
    for name in ("gateway", "home-1"):
        make_certificate(name, ca, tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(tmp_path / "gateway.pem")
    async with small_gateway(server) as gateway:
        path = config_file(
            tmp_path,
            f'url = "{gateway.url}"\ndevice_id = "home-1"\nca_file = "ca.pem"\n'
            'certificate_file = "home-1.pem"\nkey_file = "home-1.pem"',
        )
        async with running(agent_of(read_config(path))):
            await gateway.until(lambda: len(gateway.live) > 0)
            shown = gateway.sockets["home-1"].transport.get_extra_info("peercert")
    assert shown["subject"] == ((("commonName", "home-1"),),)
    assert "Authorization" not in gateway.requests[0].headers


def test_a_token_that_is_none_and_a_key_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    where = 'url = "wss://127.0.0.1:1"\ndevice_id = "home-1"\n'
    with pytest.raises(ConfigError, match="token_file: token contains no token"):
        agent_of(read_config(config_file(tmp_path, where + 'token_file = "token"')))
    words = 'certificate_file = "token"\nkey_file = "token"'
    with pytest.raises(ConfigError, match="certificate or key cannot be used"):
        agent_of(read_config(config_file(tmp_path, where + words)))


def test_two_agents_do_not_share_a_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.store.LOCKED_FOR_S", 0.0)
    (tmp_path / "token").write_text("secret")
    path = config_file(
        tmp_path, 'url = "ws://127.0.0.1:1"\ndevice_id = "home-1"\ntoken_file = "token"'
    )
    first = agent_of(read_config(path))
    with pytest.raises(InUseError):
        agent_of(read_config(path))
    first.ring.close()


def test_a_process_that_stands_still_is_ended() -> None:
    script = (
        "import time\n"
        "from edge.loop_watch import watching\n"
        "with watching(lambda: 0, still_s=0.1):\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False, timeout=50
    )
    assert done.returncode == EXIT_CODE
    assert b"time.sleep" in done.stderr or b'File "<string>", line 4' in done.stderr


@pytest.mark.parametrize("program", ["edge", "vpp_streams"])
def test_both_command_lines_say_what_happens(tmp_path: Path, program: str) -> None:
    (tmp_path / "token").write_text("secret\n")
    where = 'url = "ws://127.0.0.1:1"\ndevice_id = "home-1"\ntoken_file = "token"'
    path = config_file(tmp_path, where)
    run = [sys.executable, "-m", program, *(["edge"] if program == "vpp_streams" else []), "run"]
    with subprocess.Popen(
        [*run, str(path)], stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        try:
            first, second = process.stderr.readline(), process.stderr.readline()
        finally:
            process.kill()
    assert "INFO home-1 is a simulated" in first
    assert "WARNING no connection (unreachable: " in second
