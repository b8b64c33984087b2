"""Where a gateway may listen, and what only its owner may look into."""

import stat
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from structlog.testing import capture_logs
from websockets import Headers, Request

from schemas.assets import Device, Site
from vpp_streams.domain.registry.demo_tokens import device_token, token_hash
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.listening import (
    check_demo_tokens,
    check_plain_text,
    sharing_port,
    warn_of_plain_text,
)
from vpp_streams.gateway.seam import Reply
from vpp_streams.gateway.server import Gateway
from vpp_streams.local.supervisor import Supervisor
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.ports import is_loopback
from vpp_streams.process.private_files import locked, private_directory, write_private
from vpp_streams.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost"])
def test_plain_text_is_for_loopback(host: str) -> None:
    assert is_loopback(host)
    check_plain_text(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example", ""])
def test_elsewhere_it_has_to_be_asked_for(host: str) -> None:
    with pytest.raises(InputError, match="VPP_GATEWAY_PLAIN=1"):
        check_plain_text(Settings(host=host))
    check_plain_text(Settings(host=host, gateway_plain=True))
    check_plain_text(Settings(host=host, tls_cert=Path("gateway.pem")))


def test_plain_text_that_others_can_reach_is_warned_of() -> None:
    with capture_logs() as logged:
        warning = warn_of_plain_text(Settings(host="0.0.0.0", gateway_plain=True))
    assert "0.0.0.0 without TLS" in warning
    assert [line["log_level"] for line in logged] == ["warning"]
    for harmless in (Settings(), Settings(host="0.0.0.0", tls_cert=Path("gateway.pem"))):
        assert warn_of_plain_text(harmless) == ""


async def test_the_health_page_shows_the_warning() -> None:
    gateway = Gateway(Settings(), 0, Limits(), MagicMock(), HealthReporter("gateway"))
    request = Request("/healthz", Headers())
    answer = gateway.answer(request, MagicMock())
    assert isinstance(answer, Reply)
    assert "warning" not in answer.body
    gateway.warning = "it listens on 0.0.0.0 without TLS"
    answer = gateway.answer(request, MagicMock())
    assert isinstance(answer, Reply)
    assert answer.body["warning"] == gateway.warning


def test_the_demos_tokens_are_warned_of_and_refused_where_others_could_use_them() -> None:
    demo = Device("d1", "solar", token_sha256=token_hash(device_token("d1")))
    own = Device("d2", "solar", token_sha256=token_hash("its own"))
    registry = Registry([Site("s1", "north", (demo, own))])
    with capture_logs() as logged:
        check_demo_tokens(Settings(), registry)
    assert [(line["log_level"], line["count"]) for line in logged] == [("warning", 1)]
    with pytest.raises(InputError, match="1 devices of the registry have the demo's tokens"):
        check_demo_tokens(Settings(host="0.0.0.0"), registry)
    with capture_logs() as logged:
        check_demo_tokens(Settings(host="0.0.0.0"), Registry([Site("s1", "north", (own,))]))
    assert logged == []


def test_a_port_is_shared_within_a_world_only(tmp_path: Path) -> None:
    one = Settings(
        gateway_port=4711, gateway_share_port=True, namespace="one", state_dir=tmp_path / "state"
    )
    other = one.model_copy(update={"namespace": "other"})
    with sharing_port(one), sharing_port(one):
        taken = pytest.raises(InputError, match="4711 is shared by gateways of another world")
        with taken, sharing_port(other):
            pass
        with sharing_port(other.model_copy(update={"gateway_port": 4712})):
            pass
    # The first world has gone: its port is anybody's.
    with sharing_port(other), pytest.raises(InputError), sharing_port(one):
        pass


def test_a_port_that_is_not_shared_needs_no_lock(tmp_path: Path) -> None:
    with sharing_port(Settings(gateway_port=4711, state_dir=tmp_path / "state")):
        assert not (tmp_path / "state").exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_of_the_state_are_their_owners_alone(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "deep" / "x.lock"):
        pass
    write_private(tmp_path / "b" / "token", b"")
    Supervisor([], tmp_path / "c" / "logs")
    private_directory(tmp_path / "d")
    made = [tmp_path / name for name in ("a", "a/deep", "b", "c", "c/logs", "d")]
    assert [mode(path) for path in made] == [0o700] * 6


def test_a_directory_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    private_directory(shared / "mine")
    assert (mode(shared), mode(shared / "mine")) == (0o777, 0o700)
