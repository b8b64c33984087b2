"""Enrolment over real sockets with real certificates; the topics are in memory."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from edge.identity import enrolment as device
from edge.identity import enrolment_http as device_http
from tests.support.enrolment_server import Served, enrolment_server
from tests.support.identity_world import Home, IdentityWorld, new_authority
from tests.support.waiting import PATIENCE_S
from vpp_streams.domain.identity.authority import fingerprint
from vpp_streams.identity.app import MAX_BODY_BYTES, create_app
from vpp_streams.identity.enrolment_server import PortCertificate, serve
from vpp_streams.settings import Settings


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with enrolment_server(tmp_path) as made:
        yield made


async def test_a_home_enrols_and_renews_over_the_network(served: Served) -> None:
    request = device.make_request("pw-1")
    code = served.world.code()
    granted = await asyncio.to_thread(
        device_http.enrol, served.url, code, served.ca_sha256, request.pem
    )
    assert isinstance(granted, device.Granted), granted
    assert granted.ca_pem == served.world.ca_pem
    new = device.make_request("pw-1")
    renewed = await asyncio.to_thread(
        device_http.renew,
        served.url,
        ca_pem=granted.ca_pem,
        certificate_pem=granted.certificate_pem,
        key_pem=request.key_pem,
        request_pem=new.pem,
    )
    assert isinstance(renewed, device.Granted), renewed
    assert [record.how for record in served.world.issued] == ["code", "renewal"]


async def test_a_code_is_sent_to_no_other_authority(served: Served) -> None:
    request, code = device.make_request("pw-1"), served.world.code()
    other = fingerprint(new_authority().certificate)
    refused = await asyncio.to_thread(device_http.enrol, served.url, code, other, request.pem)
    assert isinstance(refused, device.Refused)
    assert "fingerprint" in refused.sentence
    assert served.world.counters == {}, "the server has not seen it"


async def test_a_server_that_only_shows_the_authority_gets_no_code(
    served: Served, tmp_path: Path
) -> None:
    """Anybody has the authority's certificate; only its servers have one that it signed."""
    imposter = new_authority(served.world.now_ms)
    settings = Settings(state_dir=tmp_path / "imposter", enrol_port=0)
    certificate = PortCertificate(imposter, ["127.0.0.1"])
    async with AsyncExitStack() as stack:
        world = IdentityWorld()
        app = create_app(world.desk(), served.world.ca_pem)
        port = serve(stack, app, settings, certificate)
        url, pem = f"https://127.0.0.1:{port}", device.make_request("pw-1").pem
        code = served.world.code()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(device_http.enrol, url, code, served.ca_sha256, pem)
        assert world.counters == {}


async def test_refusals_over_the_network(served: Served) -> None:
    request = device.make_request("pw-1")
    refused = await asyncio.to_thread(
        device_http.enrol, served.url, "WRONG", served.ca_sha256, request.pem
    )
    assert isinstance(refused, device.Refused)
    assert refused.word == "unknown_code"
    async with served.client() as http:
        assert (await http.get("/v1/enrol")).status_code == 405
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        long = await http.post("/v1/enrol", content=b"x" * (MAX_BODY_BYTES + 1))
        assert (long.status_code, long.json()["code"]) == (413, "too_large")
        bad = await http.post("/v1/renew", content=b"{}")
        assert (bad.status_code, bad.json()["code"]) == (400, "bad_request")
        assert bad.headers["cache-control"] == "no-store"
    assert served.world.counters["enrol_refused:too_large"] == 1


async def test_plain_text_is_not_answered(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /v1/ca HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" not in await reader.read()
    writer.close()


async def test_the_ports_certificate_is_replaced_while_it_runs(served: Served) -> None:
    def shown() -> bytes:
        context = ssl.create_default_context(cadata=served.world.ca_pem)
        with (
            socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            der = tls.getpeercert(binary_form=True)
            assert der is not None
            return der

    before = await asyncio.to_thread(shown)
    assert await asyncio.to_thread(shown) == before
    served.certificate.replace()
    assert await asyncio.to_thread(shown) != before


async def test_the_expired_and_the_revoked_are_told_the_way_back(served: Served) -> None:
    world = served.world
    one = Home(world, world.desk())
    await one.enrol(world.code())
    assert one.certificate_pem is not None
    body = device.renewal_body(one.certificate_pem, one.key_pem, device.make_request("pw-1").pem)
    world.revoke("pw-1")
    async with served.client() as http:
        answer = await http.post("/v1/renew", content=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "revoked")
        world.now_ms += 91 * 86_400_000
        answer = await http.post("/v1/renew", content=body)
        assert answer.json()["code"] == "expired_certificate"
        assert "vpp ca code pw-1" in answer.json()["error"]
