"""The fleet's shell against a small gateway of plain ``websockets``: no Kafka, real sockets."""

import asyncio
import socket

import pytest

from device_sim.fleet import demo_sites, device_token
from device_sim.runner import SimOptions, running_fleet
from schemas.protocol import (
    CLOSE_REPLACED,
    Drain,
)
from schemas.wire import encode_call
from tests.support.small_gateway import HANGS_S, QUICK, small_gateway
from vpp_streams import clock


async def test_every_device_connects_as_itself_and_all_it_makes_arrives() -> None:
    sites = demo_sites(homes=20, solar=15, megapacks=1)
    async with small_gateway() as gateway:
        options = SimOptions(url=gateway.url, secret="s", vendor_share=1.0, patience=QUICK)
        async with running_fleet(sites, options) as fleet:
            await fleet.until(lambda: fleet.connected == 36 and fleet.counters["acked"] > 60)
            await fleet.finish()
        assert fleet.connected == 0
    assert len(gateway.live | gateway.backfilled) == fleet.counters["made"]
    assert gateway.vendors == {"tesla_gateway", "fronius", "enphase"}
    for request in gateway.requests:
        device_id = request.path.removeprefix("/v1/")
        assert request.headers["Authorization"] == f"Bearer {device_token(device_id, 's')}"
        assert "Origin" not in request.headers
        assert "Sec-WebSocket-Extensions" not in request.headers


async def test_lost_links_come_back_and_their_readings_with_them() -> None:
    sites = demo_sites(homes=10, solar=0, megapacks=0)
    async with small_gateway() as gateway:
        options = SimOptions(url=gateway.url, outages_per_hour=1200.0, outage_s=0.5, patience=QUICK)
        async with running_fleet(sites, options) as fleet:
            await fleet.until(lambda: fleet.counters["reconnects"] >= 5)
            await fleet.finish()
    assert gateway.backfilled, "made while there was no link"
    assert len(gateway.live | gateway.backfilled) == fleet.counters["made"]


async def test_a_drained_device_leaves_and_comes_back() -> None:
    async with small_gateway() as gateway:
        options = SimOptions(url=gateway.url, patience=QUICK)
        async with running_fleet(demo_sites(1, 0, 0), options) as fleet:
            await fleet.until(lambda: fleet.connected == 1)
            left = gateway.sockets["home-0001"]
            await left.send(encode_call("d", Drain((10, 20))), text=True)
            await left.wait_closed()
            await fleet.until(lambda: fleet.connected == 1)
    assert left.close_code == 1000
    assert gateway.sockets["home-0001"] is not left


async def test_devices_of_a_gateway_that_ends_go_to_the_other() -> None:
    sites = demo_sites(20, 0, 0)
    async with small_gateway() as staying:
        async with small_gateway() as ending:
            options = SimOptions(url=f"{staying.url},{ending.url}", patience=QUICK)
            fleets = running_fleet(sites, options)
            fleet = await fleets.__aenter__()
            await fleet.until(lambda: fleet.connected == 20)
            there = set(ending.sockets)
            assert 0 < len(there) < 20, "they spread over both"
        try:
            await fleet.until(lambda: fleet.connected == 20)
            assert there <= set(staying.sockets)
        finally:
            await fleets.__aexit__(None, None, None)


async def test_a_device_that_was_replaced_stays_away() -> None:
    async with small_gateway() as gateway:
        options = SimOptions(url=gateway.url, patience=QUICK)
        async with running_fleet(demo_sites(2, 0, 0), options) as fleet:
            await fleet.until(lambda: fleet.connected == 2)
            await gateway.sockets["home-0001"].close(CLOSE_REPLACED)
            await fleet.until(lambda: "replaced" in fleet.troubles)
            made = fleet.counters["made"]
            await fleet.until(lambda: fleet.counters["made"] > made + 4)
    assert len([r for r in gateway.requests if r.path == "/v1/home-0001"]) == 1


async def test_a_refusal_is_told_and_overcome() -> None:
    async with small_gateway() as gateway:
        gateway.refuse = True
        options = SimOptions(url=gateway.url, patience=QUICK)
        async with running_fleet(demo_sites(1, 0, 0), options) as fleet:
            await fleet.until(lambda: "refused" in fleet.troubles)
            assert fleet.troubles["refused"] == "HTTP 401 wrong token"
            gateway.refuse = False
            await fleet.until(lambda: fleet.connected == 1)


async def test_a_gateway_that_is_not_there_is_told() -> None:
    with socket.socket() as taken:  # bound, so that nobody else listens there; nor do we
        taken.bind(("127.0.0.1", 0))
        options = SimOptions(url=f"ws://127.0.0.1:{taken.getsockname()[1]}", patience=QUICK)
        async with asyncio.timeout(HANGS_S), running_fleet(demo_sites(1, 0, 0), options) as fleet:
            await fleet.until(lambda: "unreachable" in fleet.troubles)
            await fleet.until(lambda: fleet.counters["made"] >= 2)
    assert fleet.unacked == fleet.counters["made"]


async def test_commands_are_answered_obeyed_and_told_about() -> None:
    sites = demo_sites(4, 1, 0)
    async with small_gateway() as gateway:
        options = SimOptions(url=gateway.url, refuse_share=0.5, patience=QUICK)
        async with running_fleet([s for s in sites if s.region == "north"], options) as fleet:
            refuses = fleet.world.leases.refuses.tolist()
            assert refuses.count(True) == 1
            names = [client.device_id for client in fleet.clients]
            willing = next(i for i, n in enumerate(names) if "home" in n and not refuses[i])
            await fleet.until(lambda: fleet.connected == len(names))
            for name in names:
                await gateway.command(name, 1, -1000.0, lasts_ms=1500)
            reports = gateway.reports.setdefault(names[willing], [])
            await fleet.until(lambda: len(reports) == 1)
            assert fleet.world.flows.battery_w[willing] == pytest.approx(-1000)
            await fleet.until(lambda: len(reports) == 2)
    states = [(r.id, r.state) for r in reports]
    assert states == [("c1", "applied"), ("c1", "completed")]
    assert reports[0].p == pytest.approx(-1000)
    answers = {name: gateway.answers[name] for name in names}
    assert answers.pop(names[willing]) == ["accepted"]
    assert all(answer == ["rejected"] for answer in answers.values())
    assert not [name for name in fleet.counters if name.startswith("breach")]


async def test_a_device_whose_link_is_cut_ends_its_lease_by_itself() -> None:
    async with small_gateway() as gateway:
        options = SimOptions(url=gateway.url, offline_share=0.4, patience=QUICK)
        async with running_fleet(demo_sites(10, 0, 0, regions=("one",)), options) as fleet:
            await fleet.until(lambda: fleet.connected == 6)
            for name in gateway.sockets:
                await gateway.command(name, 1, -1500.0, lasts_ms=3000)
            ends_ms = clock.now_ms() + 3000
            held = fleet.world.leases.held
            await fleet.until(lambda: held["applied"].sum() == 6)
            (cut,) = fleet.cut(0.1)
            row = [client.device_id for client in fleet.clients].index(cut)
            await gateway.sockets[cut].wait_closed()
            assert fleet.world.flows.battery_w[row] == pytest.approx(-1500)
            await fleet.until(lambda: not held["stands"][row])
            assert clock.now_ms() >= ends_ms - 100, "it ran to its end"
            assert fleet.world.flows.battery_w[row] != pytest.approx(-1500)
            assert fleet.connected == 5
    assert not [name for name in fleet.counters if name.startswith("breach")]
    assert len(gateway.sockets) == 6, "those offline never came"


async def test_a_share_is_cut_at_its_time() -> None:
    async with small_gateway() as gateway:
        options = SimOptions(url=gateway.url, cut_share=0.5, cut_after_s=2.0, patience=QUICK)
        async with running_fleet(demo_sites(6, 0, 0), options) as fleet:
            await fleet.until(lambda: fleet.connected == 6)
            await fleet.until(lambda: fleet.connected == 3)
            made = fleet.counters["made"]
            await fleet.until(lambda: fleet.counters["made"] > made + 12)
            assert fleet.connected == 3


async def test_an_error_in_the_simulation_is_not_swallowed() -> None:
    async def run_with_a_bug(url: str) -> None:
        async with running_fleet(demo_sites(1, 0, 0), SimOptions(url=url)) as fleet:
            fleet.clients[0].measure = None  # type: ignore[assignment]  # the bug
            await fleet.until(lambda: fleet.counters["acked"] > 5)

    async with small_gateway() as gateway:
        with pytest.raises(ExceptionGroup):
            await run_with_a_bug(gateway.url)
