"""A dispatch on the demo's fleet on a bad day: ``python benchmarks/dispatch.py --minutes 15``.

The whole loop runs in processes of its own, as `vpp up` starts it, on the broker of VPP_KAFKA (or
a local one that it starts); the simulated fleet runs in this one, so that its physics can be
looked at. One region is asked for power; a share of its homes is offline, another refuses every
setpoint, and in the middle a third loses its link for good. Prints, second by second of true
battery power (of all that are connected or on a lease; what the others do nobody can know), how
far from the target it was, and what the notices said.
"""

import argparse
import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from aiokafka import TopicPartition

from device_sim.fleet import demo_sites
from device_sim.runner import Fleet, SimOptions, running_fleet
from schemas.assets import Site
from schemas.dispatch import DispatchStatus, Notice, RequestEvent, Target
from schemas.encoding import decode_json, encode_json
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.local import broker, demo
from vpp_streams.local.supervisor import Supervisor
from vpp_streams.settings import Settings, load_settings

REGION = "north"
SHARE = 0.5
"""Share of what the region could hold for 15 minutes."""
SETTLE_S = 3
WITHIN = 0.02
RUNS_S = 90.0
"""Everything must be running and known within this time, s."""


@dataclass(slots=True)
class Run:
    """The observations of a run."""

    asked_w: float
    errors: list[float] = field(default_factory=list)
    """By second from the writing of the target: (true - requested) / requested."""
    cut_at_s: int = 0
    cut_homes: int = 0
    events: list[RequestEvent | Notice | DispatchStatus] = field(default_factory=list)


class DispatchEvents:
    """Follows ``dispatch.events``."""

    def __init__(self) -> None:
        self.records: list[RequestEvent | Notice | DispatchStatus] = []
        self.status: DispatchStatus | None = None
        """The region's newest status."""
        self.news = asyncio.Event()

    async def follow(self, settings: Settings) -> None:
        """Follow the topic until cancelled."""
        consumer = KafkaClients(settings).consumer()
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topics.DISPATCH_EVENTS.full(settings.namespace), 0)])
            async for record in consumer:
                event = decode_json(record.value, RequestEvent | Notice | DispatchStatus)  # type: ignore[arg-type]  # a union
                self.records.append(event)
                if isinstance(event, DispatchStatus) and event.region == REGION:
                    self.status = event
                    self.news.set()
        finally:
            await consumer.stop()

    async def capability_w(self, batteries: int) -> float:
        """Power that the region can hold for 15 minutes, W, once every battery there is counted."""
        while self.status is None or self.status.states.get("none", 0) < batteries:
            self.news.clear()
            await self.news.wait()
        return next(d.up_w for d in self.status.capability if d.duration_s == 900)


def export_w(fleet: Fleet) -> float:
    """True battery power of the region's devices that are connected or on a lease."""
    held, now_ms = fleet.world.leases.held, clock.now_ms()
    leased = held["stands"] & (held["not_before_ms"] <= now_ms) & (now_ms < held["valid_until_ms"])
    live = np.array([client.live for client in fleet.clients])
    mine = np.array([site.region == REGION for site in fleet.sites_of_devices])
    return float(fleet.world.flows.battery_w[mine & (leased | live)].sum())


async def dispatch(
    settings: Settings, fleet: Fleet, dispatch_events: DispatchEvents, args: argparse.Namespace
) -> Run:
    """Write the request, cut homes off, and record each second."""
    batteries = sum(
        site.region == REGION and not away and any(d.rated_energy_wh for d in site.devices)
        for away, site in zip(fleet.away, fleet.sites_of_devices, strict=True)
    )
    async with asyncio.timeout(RUNS_S):
        able_w = await dispatch_events.capability_w(batteries)
    seconds = round(args.minutes * 60)
    run = Run(SHARE * able_w, cut_at_s=seconds // 2)
    now_ms = clock.now_ms()
    target = Target(
        request_id="bad-day", region=REGION, export_w=run.asked_w, starts_at_ms=now_ms,
        ends_at_ms=now_ms + seconds * 1000, priority="operator", source="operator:benchmark",
        issued_at_ms=now_ms, best_effort=True,
    )  # fmt: skip
    producer = KafkaClients(settings).producer(linger_ms=0)
    await producer.start()
    try:
        await producer.send_and_wait(
            topics.DISPATCH_TARGETS.full(settings.namespace), encode_json(target),
            key=b"bad-day", partition=0,
        )  # fmt: skip
    finally:
        await producer.stop()
    loop = asyncio.get_running_loop()
    starts = loop.time()
    print(
        f"requested: {run.asked_w / 1000:.1f} kW of {REGION} for {args.minutes:g} min", flush=True
    )
    for second in range(1, seconds):
        await asyncio.sleep(starts + second - loop.time())
        if second == run.cut_at_s:
            run.cut_homes = len(fleet.cut(args.cut))
        run.errors.append(export_w(fleet) / run.asked_w - 1)
        if second % 60 == 0:
            worst = max(map(abs, run.errors[-60:]))
            print(f"  {second // 60:3} min: worst second {worst:.2%} off", flush=True)
    run.events = dispatch_events.records
    return run


def report(run: Run, breaches: Counter[str]) -> None:
    """Print the table."""
    errors = np.abs(run.errors)
    settled = np.arange(1, len(errors) + 1) >= SETTLE_S
    before = settled & (np.arange(1, len(errors) + 1) < run.cut_at_s)
    after = np.arange(1, len(errors) + 1) >= run.cut_at_s
    longest = spell(errors[settled] > WITHIN)
    print(f"\n{'second by second':32} {'seconds':>8} {'within 2 %':>11} {'mean':>7} {'worst':>7}")
    for name, rows in (
        (f"from {SETTLE_S} s to the cut", before),
        ("from the cut on", after),
        (f"from {SETTLE_S} s to the end", settled),
    ):
        e = errors[rows]
        print(f"{name:32} {len(e):8} {np.mean(e <= WITHIN):11.2%} {e.mean():7.2%} {e.max():7.2%}")
    met = np.flatnonzero(errors <= WITHIN)
    print(f"\nfirst within 2 %                 {met[0] + 1 if len(met) else 'never'} s")
    print(f"cut                              {run.cut_homes} homes at {run.cut_at_s} s")
    print(f"longest time over 2 %            {longest} s")
    broken = sum(count for name, count in breaches.items() if name.startswith("breach"))
    print(f"limits broken                    {broken}")
    notices = [t for t in run.events if isinstance(t, Notice) and t.request_id == "bad-day"]
    print(f"notices                          {len(notices)}")
    for notice in notices[:5]:
        causes = ", ".join(f"{c.devices} {c.cause}" for c in notice.causes)
        print(f"  {notice.missing_w / 1000:.1f} kW missing: {causes}")


def spell(flags: np.ndarray) -> int:
    """The longest run of True."""
    longest = now = 0
    for flag in flags.tolist():
        now = now + 1 if flag else 0
        longest = max(longest, now)
    return longest


async def run_it(settings: Settings, sites: Sequence[Site], args: argparse.Namespace) -> None:
    """Start everything, run the dispatch, stop everything."""
    await demo.register(settings, sites)
    specs = [
        s
        for s in demo.specs(settings, demo.DemoFleet(homes=0, solar=0, megapacks=0, seed=args.seed))
        if s.name != "sim"
    ]
    with TemporaryDirectory() as logs:
        supervisor = Supervisor(specs, Path(logs))
        async with demo.loop_running(supervisor):
            dispatch_events = DispatchEvents()
            following = asyncio.create_task(dispatch_events.follow(settings))
            options = SimOptions(
                url=f"ws://{settings.host}:{settings.gateway_port}",
                seed=args.seed,
                offline_share=args.offline,
                refuse_share=args.refuse,
            )
            try:
                async with running_fleet(sites, options) as fleet:
                    run = await dispatch(settings, fleet, dispatch_events, args)
                    report(run, fleet.counters)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--homes", type=int, default=200)
    parser.add_argument("--megapacks", type=int, default=2)
    parser.add_argument("--offline", type=float, default=0.10, help="share of homes")
    parser.add_argument("--refuse", type=float, default=0.05, help="share of homes")
    parser.add_argument("--cut", type=float, default=0.30, help="share of homes, in the middle")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    settings = load_settings()
    settings = settings.model_copy(update={"namespace": f"dispatch-{uuid.uuid4().hex[:8]}"})
    with broker.answering(settings, lambda text: print(text, flush=True)):
        settings, _ = demo.with_free_ports(settings)
        asyncio.run(
            run_it(settings, demo_sites(args.homes, 20, args.megapacks, seed=args.seed), args)
        )


if __name__ == "__main__":
    main()
