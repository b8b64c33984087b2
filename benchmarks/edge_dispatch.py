"""How soon a real agent's inverter follows a dispatch, and how soon the cloud sees it.

    python -m benchmarks.edge_dispatch
    python -m benchmarks.edge_dispatch --dispatches 40

Runs the loop of `vpp up --edge 1` in a namespace of its own. Region north has one home whose agent
is a process on an inverter that speaks Modbus, and one simulated home as the baseline. Dispatches
charge and discharge by turns. Measured is the time from the writing of each target until the
inverter has the power (read from its registers 20 times a second), and until each home's twin in
the cloud shows it (asked for 20 times a second).
"""

import asyncio
import statistics
import uuid
from collections.abc import Awaitable, Callable

import httpx

from benchmarks.report import Table, parser, progress, publish
from edge.driver import DriverError
from edge.drivers import sunspec
from edge.drivers.sunspec import SunSpec
from schemas.dispatch import Target
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.local import demo
from vpp_streams.local.demo_run import OpenDemo, open_demo
from vpp_streams.local.edge_homes import modbus_port
from vpp_streams.settings import Settings, load_settings

POWER_W = 3000.0
"""Of each dispatch; two homes share it."""
ENOUGH_W = 500.0
"""A home follows once it has this much in the direction of the dispatch."""
HELD_S = 6.0
LONGEST_S = 30.0
_POLL_S = 0.05

BatteryPower = Callable[[], Awaitable[float | None]]


async def _until(power_w: BatteryPower, sign: int, since_ms: int) -> float:
    """Milliseconds from ``since_ms`` until a power has a sign."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            now_w = await power_w()
            if now_w is not None and sign * now_w >= ENOUGH_W:
                return clock.now_ms() - since_ms
            await asyncio.sleep(_POLL_S)


def _twin(http: httpx.AsyncClient, settings: Settings, device_id: str) -> BatteryPower:
    url = f"http://{settings.host}:{settings.worker_port}/sites/site-{device_id}/twin"

    async def power_w() -> float | None:
        answer = await http.get(url)
        devices = answer.json().get("devices") if answer.status_code == httpx.codes.OK else None
        found: float | None = devices[0]["battery_w"] if devices else None
        return found

    return power_w


def _inverter(driver: SunSpec) -> BatteryPower:
    async def power_w() -> float | None:
        return next((r.value for r in await driver.read() if r.quantity == "battery_w"), None)

    return power_w


async def _measured(opened: OpenDemo, dispatches: int) -> dict[str, list[float]]:
    settings = opened.settings
    port = modbus_port(settings, "edge-01")
    driver = sunspec.driver(sunspec.Options(host="127.0.0.1", port=port))
    found: dict[str, list[float]] = {"inverter": [], "its twin": [], "a simulated home's twin": []}
    async with (
        demo.loop_running(opened.supervisor),
        httpx.AsyncClient() as http,
        producing(KafkaClients(settings), linger_ms=0) as producer,
    ):
        asked = {
            "inverter": _inverter(driver),
            "its twin": _twin(http, settings, "edge-01"),
            "a simulated home's twin": _twin(http, settings, "home-0001"),
        }
        await _until_measured(asked, driver)
        outlet = Outlet(producer, settings.namespace)
        for number in range(dispatches):
            sign = 1 if number % 2 else -1
            target = _target(sign * POWER_W)
            await outlet.write(topics.DISPATCH_TARGETS, target)
            took = await asyncio.gather(
                *(_until(power_w, sign, target.issued_at_ms) for power_w in asked.values())
            )
            for name, took_ms in zip(asked, took, strict=True):
                found[name].append(took_ms)
            shown = ", ".join(f"{took_ms:.0f}" for took_ms in took)
            progress(f"dispatch {number + 1} of {dispatches}: {shown} ms")
            await asyncio.sleep(HELD_S)
        await driver.close()
    return found


async def _until_measured(asked: dict[str, BatteryPower], driver: SunSpec) -> None:
    """Wait until every battery is known, and the agents command theirs."""
    async with asyncio.timeout(90):
        while True:
            try:
                if not driver.places:
                    await driver.identify()
                if None not in [await power_w() for power_w in asked.values()]:
                    break
            except (DriverError, httpx.TransportError) as error:
                progress(f"not yet: {error}")
            await asyncio.sleep(1)
    await asyncio.sleep(HELD_S)


def _target(export_w: float) -> Target:
    now_ms = clock.now_ms()
    return Target(
        request_id=f"edge-{uuid.uuid4().hex[:8]}",
        region="north",
        export_w=export_w,
        starts_at_ms=now_ms,
        ends_at_ms=now_ms + 600_000,
        priority="emergency",
        source="operator:bench",
        issued_at_ms=now_ms,
        best_effort=True,
    )


def main() -> None:
    """Run it."""
    options = parser(__doc__)
    options.add_argument("--dispatches", type=int, default=20)
    args = options.parse_args()
    settings = load_settings()
    if not settings.namespace:
        settings = settings.model_copy(update={"namespace": f"bench-{uuid.uuid4().hex[:8]}"})
    fleet = demo.DemoFleet(homes=1, solar=0, megapacks=0, seed=1, edge=1)
    with open_demo(settings, fleet, 60.0, progress) as opened:
        found = asyncio.run(_measured(opened, args.dispatches))
    baseline = statistics.median(found["a simulated home's twin"])
    table = Table(
        f"From a target's writing to a home's power, {args.dispatches} dispatches",
        ("where it is seen", "p50, x simulated", "p50 ms", "highest ms"),
    )
    for name, took in found.items():
        p50 = statistics.median(took)
        table.add(name, p50 / baseline, p50, max(took))
    publish(args, [table], settings.kafka)


if __name__ == "__main__":
    main()
