"""The Enphase driver against a gateway over TLS: sign-in, what it reads, and what misbehaves."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from edge.driver import DriverError, values_of
from edge.drivers import enphase
from edge.drivers.enphase import Enphase, Options, driver
from schemas.bodies import Quality
from tests.support.enphase_documents import home, inverter
from tests.support.enphase_gateway import TOKEN, EnphaseGateway, enphase_gateway
from tests.support.http_device import answer
from tests.support.waiting import PATIENCE_S
from vpp_streams.process.ports import free_port

READINGS, POWER = "/ivp/meters/readings", "/ivp/ensemble/power"


def token_file(folder: Path, token: str = TOKEN) -> str:
    (folder / "token").write_text(f"{token}\n")
    return str(folder / "token")


def at(gateway: EnphaseGateway, folder: Path, **options: str) -> Enphase:
    return driver(Options(host=gateway.host, **{"token_file": token_file(folder), **options}))


async def measured(home_driver: Enphase) -> dict[str, float]:
    found = await asyncio.wait_for(home_driver.read(), PATIENCE_S)
    return {str(name): value for name, value in values_of(found, Quality.OK).items()}


async def test_a_home_with_a_battery_is_measured_over_tls(tmp_path: Path) -> None:
    async with enphase_gateway(home(), tmp_path) as gateway:
        device = at(gateway, tmp_path)
        identity = await device.identify()
        assert (identity.model, identity.firmware) == ("Enphase IQ Gateway", "8.2.4286")
        assert identity.rated_energy_wh == 10_000
        found = await measured(device)
        assert (found["solar_w"], found["grid_w"], found["battery_w"]) == (3000, -500, -1700)
        assert (found["soc"], found["islanded"]) == (0.62, 0)
        assert "load_w" not in found
        assert {"battery_w", "soc", "grid_w", "solar_w", "load_w"} <= device.can.measure
        assert not device.can.commandable
        for call in (device.apply(0.0, 0), device.release()):
            with pytest.raises(DriverError, match="measured only"):
                await call
        await device.close()


async def test_a_second_costs_a_request_or_two(tmp_path: Path) -> None:
    async with enphase_gateway(home(), tmp_path) as gateway:
        device = at(gateway, tmp_path)
        await device.identify()
        before = gateway.requests.total()
        for _ in range(5):
            await device.read()
        assert gateway.requests.total() - before == 5
        assert gateway.requests[READINGS] == 6
        await device.close()


async def test_firmware_before_tokens_needs_none(tmp_path: Path) -> None:
    async with enphase_gateway(home(), tmp_path, firmware="R4.10.35") as gateway:
        device = driver(Options(host=gateway.host))
        assert (await device.identify()).firmware == "4.10.35"
        assert (await measured(device))["grid_w"] == -500
        await device.close()


async def test_a_token_that_is_needed_and_not_given_is_named(tmp_path: Path) -> None:
    async with enphase_gateway(home(), tmp_path) as gateway:
        device = driver(Options(host=gateway.host))
        with pytest.raises(DriverError, match=r"firmware 8\.2\.4286 .* needs token_file"):
            await device.identify()
        await device.close()


ENDED = "eyJhbGciOiJub25lIn0.eyJlbnBoYXNlVXNlciI6Im93bmVyIiwiZXhwIjoxNjAwMDAwMDAwfQ.eA"


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("another", "refuses the token .*token .*get another one at https"),
        (ENDED, r"it ended on 2020-09-13"),
        ("", "contains no token"),
        ("two words", "contains no token"),
        ("ümlaut", "contains no token"),
    ],
)
async def test_a_token_that_is_refused_is_named_with_the_way_out(
    tmp_path: Path, token: str, words: str
) -> None:
    async with enphase_gateway(home(), tmp_path) as gateway:
        device = driver(Options(host=gateway.host, token_file=token_file(tmp_path, token)))
        with pytest.raises(DriverError, match=words) as refused:
            await asyncio.wait_for(device.identify(), PATIENCE_S)
        assert not token or token == "another" or token not in str(refused.value)
        await device.close()


async def test_a_token_that_ends_while_it_runs_is_replaced_by_people(tmp_path: Path) -> None:
    async with enphase_gateway(home(), tmp_path) as gateway:
        device = at(gateway, tmp_path)
        await device.identify()
        gateway.token = "new"
        for _ in range(2):
            with pytest.raises(DriverError, match="refuses the token"):
                await asyncio.wait_for(device.read(), PATIENCE_S)
        token_file(tmp_path, "new")
        assert (await measured(device))["grid_w"] == -500
        await device.close()


LOGIN, TOKENS = "/login/login.json", "/tokens"


@asynccontextmanager
async def gateway_and_enphase(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EnphaseGateway]:
    """A gateway that is Enphase's server too, which gives its token for a session."""
    async with enphase_gateway(home(), folder) as gateway:
        gateway.open |= {LOGIN, TOKENS}
        gateway.pages[LOGIN] = {"session_id": "s1", "is_consumer": True}
        gateway.pages[TOKENS] = answer(gateway.token.encode())
        account = "pyenphase.auth.EnvoyTokenAuth"
        monkeypatch.setattr(f"{account}.JSON_LOGIN_URL", f"https://{gateway.host}{LOGIN}?")
        monkeypatch.setattr(f"{account}.TOKEN_URL", f"https://{gateway.host}{TOKENS}")
        trusted = ssl.create_default_context(cafile=folder / "gateway.pem")
        monkeypatch.setattr("pyenphase.auth.SSL_CONTEXT", trusted)
        yield gateway


def with_account(gateway: EnphaseGateway, folder: Path) -> Enphase:
    (folder / "password").write_text("secret\n")
    return driver(
        Options(
            host=gateway.host,
            token_file=str(folder / "token"),
            email="owner@example.org",
            password_file=str(folder / "password"),
        )
    )


async def test_a_token_is_fetched_by_the_account_and_kept_privately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_and_enphase(tmp_path, monkeypatch) as gateway:
        device = with_account(gateway, tmp_path)
        await device.identify()
        sent = parse_qs(gateway.sent[LOGIN])
        assert sent == {"user[email]": ["owner@example.org"], "user[password]": ["secret"]}
        assert json.loads(gateway.sent[TOKENS]) == {
            "session_id": "s1", "serial_num": "123456789012", "username": "owner@example.org"
        }  # fmt: skip
        kept = tmp_path / "token"
        assert kept.read_text() == f"{TOKEN}\n"
        assert kept.stat().st_mode & 0o777 == 0o600
        await device.close()
        again = with_account(gateway, tmp_path)
        await again.identify()
        assert gateway.requests[TOKENS] == 1
        gateway.token = "next-year"
        gateway.pages[TOKENS] = answer(gateway.token.encode())
        with pytest.raises(DriverError, match=r"refuses the token .*: it is fetched again"):
            await asyncio.wait_for(again.read(), PATIENCE_S)
        assert (await measured(again))["grid_w"] == -500
        assert kept.read_text() == "next-year\n"
        await again.close()


async def test_enphase_is_not_asked_for_a_token_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_and_enphase(tmp_path, monkeypatch) as gateway:
        gateway.pages[TOKENS] = answer(b"one that the gateway refuses")
        device = with_account(gateway, tmp_path)
        for words in ("no token for owner@example.org", "has no token; Enphase is asked again"):
            with pytest.raises(DriverError, match=words):
                await asyncio.wait_for(device.identify(), PATIENCE_S)
        assert gateway.requests[LOGIN] == 1
        assert not (tmp_path / "token").exists()
        await device.close()


@pytest.mark.parametrize(
    "login", [answer(b"", "401 Unauthorized"), answer(b"<html>"), {"message": "second factor"}]
)
async def test_an_account_that_gives_no_token_is_named_and_not_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: Any
) -> None:
    async with gateway_and_enphase(tmp_path, monkeypatch) as gateway:
        gateway.pages[LOGIN] = login
        device = with_account(gateway, tmp_path)
        with pytest.raises(DriverError, match=r"no token for owner@example\.org") as refused:
            await asyncio.wait_for(device.identify(), PATIENCE_S)
        assert "secret" not in str(refused.value)
        await device.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"email": "a@b"}, "belong together"),
        ({"password_file": "p"}, "belong together"),
        ({"email": "a@b", "password_file": "/nowhere/p"}, "token_file is missing"),
        ({"email": "a@b", "password_file": "/nowhere/p", "token_file": "t"}, "there is no file"),
        ({"token_file": "/nowhere/token"}, "get a token at https"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Options(host="x", **options)


FAULTS: dict[str, Any] = {
    "cut short": answer(b'[{"eid": 704643328}]')[:-5],
    "not JSON": answer(b"<html>"),
    "deep": answer(b"[" * 100_000),
    "an error": answer(b"", "500 Internal Server Error"),
    "a redirect": answer(b"", "301 Moved", "Location: https://localhost/\r\nContent-Length: 0\r\n"),
    "no HTTP": b"SSH-2.0-dropbear\r\n\r\n",
    "nothing": b"",
    "endless": answer(b"[" + b" " * 2_000_000),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_wrong_is_an_error_and_the_next_read_works(
    tmp_path: Path, fault: str
) -> None:
    pages = home()
    async with enphase_gateway(pages, tmp_path) as gateway:
        device = at(gateway, tmp_path)
        await device.identify()
        right, pages[READINGS] = pages[READINGS], FAULTS[fault]
        with pytest.raises(DriverError):
            await asyncio.wait_for(device.read(), PATIENCE_S)
        pages[READINGS] = right
        assert (await measured(device))["grid_w"] == -500
        await device.close()


async def test_a_gateway_that_hangs_is_an_error_and_the_next_read_works(tmp_path: Path) -> None:
    async with enphase_gateway(home(), tmp_path) as gateway:
        device = at(gateway, tmp_path)
        await device.identify()
        gateway.stuck.add(READINGS)
        with pytest.raises(DriverError, match="Timeout"):
            await asyncio.wait_for(device.read(), PATIENCE_S)
        gateway.stuck.clear()
        assert (await measured(device))["grid_w"] == -500
        await device.close()


async def test_a_page_that_is_refused_or_broken_takes_only_its_own_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = home()
    pages["/ivp/ensemble/inventory"] = answer(b"", "401 Unauthorized")
    async with enphase_gateway(pages, tmp_path) as gateway:
        device = at(gateway, tmp_path)
        await device.identify()
        found = await measured(device)
        assert "soc" not in found
        assert (found["grid_w"], found["battery_w"]) == (-500, -1700)
        assert [record for record in caplog.messages if "/ivp/ensemble/inventory" in record]
        await device.close()


async def test_without_meters_the_microinverters_are_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = 1_000_000
    monkeypatch.setattr(enphase, "monotonic_ms", lambda: now_ms)
    pages: dict[str, Any] = {"/ivp/meters": [], "/api/v1/production/inverters": [inverter(290)]}
    async with enphase_gateway(pages, tmp_path) as gateway:
        device = at(gateway, tmp_path)
        await device.identify()
        (only,) = await device.read()
        assert (only.quantity, only.value, only.quality) == ("solar_w", 290, Quality.ESTIMATED)
        pages["/api/v1/production/inverters"] = answer(b"", "500 Internal Server Error")
        now_ms += 15_000
        for _ in range(3):  # one document is read again each time, and this one is the last
            await device.read()
        with pytest.raises(DriverError, match="status 500"):
            await device.read()
        await device.close()


async def test_a_call_that_was_cancelled_while_it_signed_in_is_taken_up(tmp_path: Path) -> None:
    async with enphase_gateway(home(), tmp_path) as gateway:
        device = at(gateway, tmp_path)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(device.identify(), 0.001)
        assert (await asyncio.wait_for(device.identify(), PATIENCE_S)).rated_energy_wh == 10_000
        assert gateway.requests["/auth/check_jwt"] == 1
        await device.close()


async def test_a_gateway_that_is_not_there_or_is_none_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enphase, "_CONNECT_S", 0.5)  # the library tries again for half a minute
    nowhere = driver(Options(host=f"127.0.0.1:{free_port()}", token_file=token_file(tmp_path)))
    with pytest.raises(DriverError):
        await asyncio.wait_for(nowhere.identify(), PATIENCE_S)
    await nowhere.close()
    for info in (b"<html>", b"", b"<a><device></device></a>", answer(b"{}"), answer(b"<a/>")):
        async with enphase_gateway({"/info": info}, tmp_path) as gateway:
            device = at(gateway, tmp_path)
            with pytest.raises(DriverError):
                await asyncio.wait_for(device.identify(), PATIENCE_S)
            await device.close()


async def test_meters_that_repeat_their_last_answer_are_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = 1_000_000
    monkeypatch.setattr(enphase, "monotonic_ms", lambda: now_ms)
    pages = home()
    async with enphase_gateway(pages, tmp_path) as gateway:
        device = at(gateway, tmp_path)
        await device.identify()
        now_ms += 59_000
        for _ in range(4):  # documents that change slowly are read again, one at a time
            assert "grid_w" in await measured(device)
        now_ms += 2_000
        assert not {"grid_w", "solar_w", "battery_w"} & (await measured(device)).keys()
        for entry in pages[READINGS]:
            entry["timestamp"] += 61
        assert (await measured(device))["grid_w"] == -500
        await device.close()
