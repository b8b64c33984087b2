"""From `vpp ca init` to a revoked device that is out: a real Kafka, real TLS, the real gateway."""

import asyncio
import csv
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidHandshake

from edge.identity import enrolment as device
from edge.identity import enrolment_http as device_http
from schemas.assets import Device, Site
from schemas.protocol import CLOSE_REVOKED
from tests.support.certificates import make_certificate
from tests.support.certificates import revoke as revoke_in_list
from tests.support.gateway_kafka import (
    connect_device,
    gateway_with,
    refusal,
    send_hello,
    send_reading,
    wait_for_ack,
    wait_for_close,
)
from tests.support.kafka_world import until
from vpp_streams import clock
from vpp_streams.domain.identity.refusals import Subject
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import InputError
from vpp_streams.gateway import tls as gateway_tls
from vpp_streams.gateway.server import Gateway
from vpp_streams.identity.ca_files import create_authority, read_root, write_server_files
from vpp_streams.identity.enrolment_server import Running, running_enrolment
from vpp_streams.identity.operating import hand_out_codes, issue, newest_certificates, revoke
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


def home(number: int) -> Site:
    return Site(f"home-{number}", "north", (Device(f"pw-{number}", "powerwall"),))


@asynccontextmanager
async def plant(
    settings: Settings, tmp_path: Path
) -> AsyncIterator[tuple[Settings, Gateway, Running]]:
    """A gateway that requires certificates, and two servers that issue them."""
    settings = settings.model_copy(update={"ca": tmp_path / "ca", "enrol_port": 0})
    authority = create_authority(settings.ca, "test", clock.now_ms())
    cert, key = write_server_files(
        authority, ["127.0.0.1"], tmp_path / "tls", now_ms=clock.now_ms(), life_ms=DAY_MS
    )
    tls: dict[str, Any] = {
        "tls_cert": cert,
        "tls_key": key,
        "tls_client_ca": settings.ca / "ca.pem",
        "tls_client": "required",
    }
    async with (
        gateway_with(settings, home(1), home(2), **tls) as gateway,
        running_enrolment(settings, ["127.0.0.1"]) as running,
    ):
        yield settings, gateway, running


class HomeAgent:
    """A home that has files for its key and certificates."""

    def __init__(self, row: dict[str, str], directory: Path) -> None:
        self.row = row
        self.file = directory / f"{row['device_id']}.pem"
        self.ca = directory / f"{row['device_id']}-ca.pem"
        self.answer: device.Granted | device.Refused

    async def enrol(self, running: Running) -> None:
        request = device.make_request(self.row["device_id"])
        self.answer = await asyncio.to_thread(
            device_http.enrol,
            f"https://127.0.0.1:{running.port}",
            self.row["code"],
            self.row["ca_sha256"],
            request.pem,
        )
        if isinstance(self.answer, device.Granted):
            self.file.write_text(request.key_pem + self.answer.certificate_pem)
            self.ca.write_text(self.answer.ca_pem)

    def connection(self, gateway: Gateway) -> Any:
        tls = ssl.create_default_context(cafile=self.ca)
        tls.load_cert_chain(self.file)
        return connect_device(gateway, self.row["device_id"], additional_headers={}, ssl=tls)

    def is_let_in_by(self, gateway: Gateway) -> Callable[[], Awaitable[bool]]:
        async def try_it() -> bool:
            try:
                async with self.connection(gateway) as socket:
                    await send_hello(socket)
            except (OSError, InvalidHandshake):
                return False
            return True

        return try_it


async def report(socket: ClientConnection) -> None:
    await send_hello(socket)
    await send_reading(socket, 1)
    await wait_for_ack(socket, 1)


async def codes_for(settings: Settings, file: Path, *subjects: Subject) -> list[dict[str, str]]:
    await hand_out_codes(settings, subjects, file, read_root(settings.ca))
    return rows_of(file)


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


async def test_enrolled_connected_revoked_and_back(settings: Settings, tmp_path: Path) -> None:
    subjects = [Subject(f"pw-{n}", f"home-{n}") for n in (1, 2)]
    async with plant(settings, tmp_path) as (own, gateway, running):
        rows = await codes_for(own, tmp_path / "codes.csv", *subjects)
        one, other = (HomeAgent(row, tmp_path) for row in rows)
        await asyncio.gather(one.enrol(running), other.enrol(running))
        async with one.connection(gateway) as socket, other.connection(gateway) as beside:
            await asyncio.gather(report(socket), report(beside))
            assert await revoke(own, "pw-1", "stolen", gateway.registry) == 1
            assert await wait_for_close(socket) == CLOSE_REVOKED
            await send_reading(beside, 2)
            await wait_for_ack(beside, 2)
        status, reason = await refusal(one.connection(gateway))
        assert (status, "vpp ca code pw-1" in reason) == (403, True)
        (row,) = await codes_for(own, tmp_path / "again.csv", subjects[0])
        again = HomeAgent(row, tmp_path)
        await again.enrol(running)
        assert isinstance(again.answer, device.Granted)
        # Its certificate begins up to a second after the revocation.
        await until(again.is_let_in_by(gateway), "the new certificate to be accepted")
        found = await newest_certificates(own)
        assert [(s.certificate.device_id, s.state) for s in found] == [
            ("pw-1", "valid"),
            ("pw-2", "valid"),
        ]


async def test_a_certificate_is_issued_by_hand_and_revoked_though_the_clock_is_slow(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plant(settings, tmp_path) as (own, gateway, _):
        request = device.make_request("pw-2")
        granted = await issue(own, "pw-2", request.pem, gateway.registry)
        with pytest.raises(InputError, match="not in the registry"):
            await issue(own, "pw-9", request.pem, gateway.registry)
        with pytest.raises(InputError, match="no device 'pw-9'"):
            await revoke(own, "pw-9", "", gateway.registry)
        (found,) = await newest_certificates(own)
        assert (found.state, found.certificate.how) == ("valid", "operator")
        assert found.certificate.not_after_ms == granted.not_after_ms
        monkeypatch.setattr(clock, "now_ms", lambda: 1_000_000)
        assert await revoke(own, "pw-2", "", gateway.registry) == 1
        (found,) = await newest_certificates(own)
        assert found.state == "revoked"


async def test_an_open_connection_ends_when_the_list_of_another_ca_revokes_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_tls, "LOOK_S", 0.1)
    ca = make_certificate("ca", None, tmp_path)
    make_certificate("gateway", ca, tmp_path)
    lost, _ = make_certificate("pw-1", ca, tmp_path)
    crl = tmp_path / "crl.pem"
    revoke_in_list(crl, ca)
    tls: dict[str, Any] = {
        "tls_cert": tmp_path / "gateway.pem",
        "tls_client_ca": tmp_path / "ca.pem",
        "tls_client_crl": crl,
    }
    client = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    client.load_cert_chain(tmp_path / "pw-1.pem")
    async with (
        gateway_with(settings, home(1), **tls) as gateway,
        connect_device(gateway, "pw-1", additional_headers={}, ssl=client) as socket,
    ):
        await report(socket)
        revoke_in_list(crl, ca, lost)
        assert await wait_for_close(socket) == CLOSE_REVOKED


async def test_two_servers_spend_a_code_once(settings: Settings, tmp_path: Path) -> None:
    async with (
        plant(settings, tmp_path) as (own, _, running),
        running_enrolment(
            own.model_copy(update={"state_dir": tmp_path / "second"}), ["127.0.0.1"]
        ) as second,
    ):
        rows = await codes_for(own, tmp_path / "codes.csv", Subject("pw-1", "home-1"))
        thieves = [HomeAgent(rows[0], tmp_path / name) for name in ("a", "b", "c", "d")]
        for name in ("a", "b", "c", "d"):
            (tmp_path / name).mkdir()
        await asyncio.gather(
            *(one.enrol(server) for one, server in zip(thieves, [running, second] * 2, strict=True))
        )
        words = [
            one.answer.word if isinstance(one.answer, device.Refused) else "" for one in thieves
        ]
        assert sorted(words) == ["", "used_code", "used_code", "used_code"]
