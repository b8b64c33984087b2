"""Roles that the secured loop does not have, as processes: each does its work as its own user."""

import asyncio
import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from edge.identity import enrolment as device
from edge.identity import enrolment_http as device_http
from schemas.assets import Device, Site
from tests.support.kafka_world import read_all, until
from tests.support.openadr_world import SmallVtn, event, served
from tests.support.paths import ROOT
from tests.support.secured_roles import SecuredWorld
from vpp_streams import clock
from vpp_streams.domain.identity.refusals import Subject
from vpp_streams.identity.ca_files import create_authority, read_root
from vpp_streams.identity.operating import hand_out_codes
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.outlet import write_many
from vpp_streams.process.ports import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.nightly]


@contextmanager
def running(log: Path, environment: Mapping[str, str], *words: str) -> Iterator[None]:
    """A command of ``vpp`` during the body; it is killed at its end."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "vpp_streams", *words],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
        )
    try:
        yield
        assert process.poll() is None, log.read_text()[-2000:]
    finally:
        process.kill()
        process.wait()


def denied(secured: SecuredWorld, role: str) -> list[str]:
    """What the broker denied a role's user, since it started."""
    return [line for line in secured.kafka.denied() if f"User:vpp-{role} " in line]


async def test_identity_issues_a_certificate(secured: SecuredWorld, tmp_path: Path) -> None:
    before = denied(secured, "identity")
    settings = secured.settings("identity", ca=tmp_path / "ca", enrol_port=free_port())
    create_authority(settings.ca, "test", clock.now_ms())
    home = Site("home-1", "north", (Device("pw-1", "powerwall"),))
    await write_many(KafkaClients(secured.settings("operator")), topics.ASSETS, [home])
    codes, root = tmp_path / "codes.csv", read_root(settings.ca)
    await hand_out_codes(settings, [Subject("pw-1", "home-1")], codes, root)
    (row,) = csv.DictReader(codes.read_text().splitlines())
    environment = {
        **secured.environment("identity"),
        "VPP_CA": str(settings.ca),
        "VPP_ENROL_PORT": str(settings.enrol_port),
        "VPP_STATE_DIR": str(tmp_path / "state"),
    }
    url = f"https://127.0.0.1:{settings.enrol_port}"
    with running(tmp_path / "log", environment, "ca", "serve", "--name", "127.0.0.1"):

        async def answers() -> bool:
            async with httpx.AsyncClient(verify=False) as client:
                try:
                    return (await client.get(f"{url}/v1/ca")).status_code == httpx.codes.OK
                except httpx.TransportError:
                    return False

        await until(answers, "the server to answer")
        request = device.make_request("pw-1")
        granted = await asyncio.to_thread(
            device_http.enrol, url, row["code"], row["ca_sha256"], request.pem
        )
    assert isinstance(granted, device.Granted), granted
    name = topics.IDENTITY_CERTIFICATES.full(secured.namespace)
    assert await read_all(secured.admin, name)
    assert denied(secured, "identity") == before


async def test_openadr_makes_a_request_of_an_event(secured: SecuredWorld, tmp_path: Path) -> None:
    before = denied(secured, "openadr")
    vtn = SmallVtn()
    period = {"start": datetime.now(UTC).isoformat(), "duration": "PT1H"}
    vtn.put(event("DISPATCH_SETPOINT", -50, intervalPeriod=period))
    vtn.put(event("PRICE", 0.25, "e2", intervalPeriod=period))
    environment = {
        **secured.environment("openadr"),
        "VPP_OPENADR_CLIENT_ID": "ven-1",
        "VPP_OPENADR_CLIENT_SECRET": "s3cret",
        "VPP_STATE_DIR": str(tmp_path / "state"),
    }
    with served(vtn) as url:
        words = ("openadr", "--vtn", url, "--region", "north", "--every", "1")
        with running(tmp_path / "log", environment, *words):
            for topic in (topics.DISPATCH_TARGETS, topics.MARKET_PRICES):

                async def there(name: str = topic.full(secured.namespace)) -> bool:
                    return bool(await read_all(secured.admin, name))

                await until(there, f"a record in {topic.name}")
    assert denied(secured, "openadr") == before
