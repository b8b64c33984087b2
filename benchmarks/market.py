"""An hour in the simulated market: ``python -m benchmarks.market --minutes 60 --kills 6``.

The whole loop runs as `vpp up` starts it, with its fleet and its market, on the broker of
VPP_KAFKA (or a local one that it starts). Evenly over the time the optimizer is killed with -9 in
the middle of a cycle, which is a moment after it began to decide. Prints by region whether each
gate was met by one bid, and how near to the awards the deliveries were, as one-minute windows
measured them.
"""

import argparse
import asyncio
import os
import signal
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Cell, Table, machine
from benchmarks.world import delete_topics
from device_sim.fleet import demo_sites
from schemas.assets import Site
from schemas.market import (
    Award,
    Bid,
    Delivery,
    DeliveryRecord,
    Gate,
    MarketTopicRecord,
    Refusal,
    Shortfall,
)
from vpp_streams.domain.market.delivery import delivery_error
from vpp_streams.domain.market.gate_clock import cut_off_ms
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.ranges import records_since
from vpp_streams.local import broker, demo
from vpp_streams.local.supervisor import Supervisor
from vpp_streams.settings import Settings, load_settings

WARM_S = 120.0
"""The loop must run and every region must make offers within this time, s."""
INTO_CYCLE_S = 0.02
"""The optimizer is killed this long after its cut-off, s: it reads, plans or sends then."""
TOLERANCE = 0.03


@dataclass(slots=True)
class RegionRecords:
    """One region's records in the measured time."""

    bids: list[tuple[Bid, int]] = field(default_factory=list)
    """With the time at which Kafka had them, ms."""
    awards: dict[str, Award] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    refused: int = 0
    short: set[str] = field(default_factory=set)


COLUMNS = (
    "region", "delivered x awarded", "off, of energy", "intervals within 3 %", "worst interval",
    "gates", "met", "bid twice", "refused", "awards", "deliveries", "short", "money, USD",
)  # fmt: skip


def table(
    gates: Iterable[int], regions: dict[str, RegionRecords], minutes: float, kills: int
) -> Table:
    """A row per region; ``gates`` are the starts of the counted intervals."""
    wanted = set(gates)
    made = Table(f"{minutes:g} min of the simulated market, optimizer killed {kills} x", COLUMNS)
    for region, mine in sorted(regions.items()):
        made.add(region, *_row(mine, wanted))
    made.notes += [
        "delivered x awarded: energy delivered / energy awarded, both without sign.",
        "off: sum of |delivered - awarded| over the intervals / sum of |awarded|; an interval's is"
        " of its award, or of the usual one where that is greater.",
    ]
    return made


def _row(mine: RegionRecords, wanted: set[int]) -> list[Cell]:
    ids = Counter(bid.bid_id for bid, _ in mine.bids if bid.start_ms in wanted)
    met = {bid.start_ms for bid, at_ms in mine.bids if at_ms <= bid.gate_ms} & wanted
    awards = [award for award in mine.awards.values() if award.start_ms in wanted]
    measured = [d for d in mine.deliveries.values() if d.start_ms in wanted and d.coverage > 0]
    awarded_w = sum(abs(d.awarded_w) for d in measured)
    given_w = sum(abs(d.measured_w) for d in measured)
    off = delivery_error(measured)
    off_w = [abs(d.measured_w - d.awarded_w) for d in measured]
    # A share of an interval with a small award has no meaning, so it is a share of the usual award.
    usual_w = awarded_w / len(measured) if measured else 0.0
    shares = [
        off / max(abs(d.awarded_w), usual_w)
        for off, d in zip(off_w, measured, strict=True)
        if usual_w
    ]
    return [
        given_w / awarded_w if awarded_w else None,
        "-" if off is None else f"{off:.2%}",
        f"{sum(s <= TOLERANCE for s in shares) / len(shares):.1%}" if shares else "-",
        f"{max(shares):.2%}" if shares else "-",
        len(wanted), len(met), sum(count > 1 for count in ids.values()), mine.refused,
        len(awards), len(measured), len(mine.short), sum(d.money for d in measured),
    ]  # fmt: skip


class Story:
    """The records of the market topics."""

    def __init__(self) -> None:
        self.regions: dict[str, RegionRecords] = defaultdict(RegionRecords)
        self.gates: dict[int, Gate] = {}

    def take(self, read: Read[MarketTopicRecord] | Read[DeliveryRecord] | Read[Bid]) -> None:
        """Apply a record of one of the topics, from the oldest on."""
        record = read.record
        match record:
            case Gate():
                self.gates[record.start_ms] = record
            case Bid():
                self.regions[record.region].bids.append((record, read.written_at_ms))
            case Award():
                self.regions[record.region].awards.setdefault(record.bid_id, record)
            case Delivery():
                self.regions[record.region].deliveries.setdefault(record.bid_id, record)
            case Refusal():
                self.regions[record.region].refused += 1
            case Shortfall() if record.missing_w:
                self.regions[record.region].short.add(record.bid_id)


async def read_story(settings: Settings) -> Story:
    """Read everything up to now."""
    story = Story()
    clients = KafkaClients(settings)
    async for read in records_since(clients, topics.MARKET_AWARDS, 0):
        story.take(read)
    async for delivery in records_since(clients, topics.MARKET_DELIVERIES, 0):
        story.take(delivery)
    async for bid in records_since(clients, topics.MARKET_BIDS, 0):
        story.take(bid)
    return story


async def until_it_offers(settings: Settings, regions: set[str]) -> None:
    """Wait until each region has an award, so that every step has worked once."""
    async with asyncio.timeout(WARM_S + 3 * settings.market_interval_s):
        while True:
            story = await read_story(settings)
            if regions <= {name for name, records in story.regions.items() if records.awards}:
                return
            await asyncio.sleep(1.0)


async def kill_at_times(settings: Settings, supervisor: Supervisor, kills: int, ends_s: float,
                        stopping: asyncio.Event) -> int:  # fmt: skip
    """Kill the optimizer at even times, always in the middle of a cycle; returns how often."""
    interval_ms, gate_ms = settings.market_interval_ms, settings.market_gate_ms
    (optimizer,) = (c for c in supervisor.children if c.spec.name == "optimizer")
    every_s = (ends_s - time.time()) / (kills + 1)
    done = 0
    for _ in range(kills):
        after_ms = round((time.time() + every_s - 0.5 * settings.market_interval_s) * 1000)
        start_ms = -(-(after_ms + gate_ms) // interval_ms) * interval_ms
        at_s = cut_off_ms(start_ms - gate_ms, interval_ms) / 1000 + INTO_CYCLE_S
        if not await demo.pause(stopping, at_s - time.time()):
            break
        if optimizer.pid is not None:
            os.kill(optimizer.pid, signal.SIGKILL)
            done += 1
            print(f"  killed the optimizer, {start_ms / 1000 - gate_ms / 1000 - time.time():.1f} s"
                  " before a gate", flush=True)  # fmt: skip
    return done


async def run_it(settings: Settings, sites: Sequence[Site], args: argparse.Namespace) -> Table:
    """Start everything, let the market run, stop everything."""
    await demo.register(settings, sites)
    fleet = demo.DemoFleet(
        homes=args.homes, solar=args.solar, megapacks=args.megapacks, seed=args.seed
    )
    regions = {s.region for s in sites if any(d.rated_energy_wh for d in s.devices)}
    with TemporaryDirectory() as logs:
        supervisor = Supervisor(demo.specs(settings, fleet), Path(logs))
        async with demo.loop_running(supervisor) as stopping:
            print("starting; every region has to have an award first", flush=True)
            await until_it_offers(settings, regions)
            print(f"every region trades; measuring {args.minutes:g} min", flush=True)
            begins_ms = round(time.time() * 1000)
            ends_s = time.time() + args.minutes * 60
            kills = await kill_at_times(settings, supervisor, args.kills, ends_s, stopping)
            await demo.pause(stopping, ends_s - time.time())
            ended_ms = round(time.time() * 1000)
            # The last interval must be measured: its windows close a little after it.
            await demo.pause(stopping, 20.0)
            story = await read_story(settings)
    whole = [
        start_ms
        for start_ms, gate in story.gates.items()
        if begins_ms <= cut_off_ms(gate.gate_ms, gate.interval_ms)
        and start_ms + gate.interval_ms <= ended_ms
    ]
    return table(whole, story.regions, args.minutes, kills)


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument(
        "--kills", type=int, default=6, help="number of kills of the optimizer, in mid-cycle"
    )
    parser.add_argument("--homes", type=int, default=200)
    parser.add_argument("--solar", type=int, default=20)
    parser.add_argument("--megapacks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    settings = demo.with_a_quick_market(load_settings())
    settings = settings.model_copy(update={"namespace": f"market-{uuid.uuid4().hex[:8]}"})
    sites = demo_sites(args.homes, args.solar, args.megapacks, seed=args.seed)
    with broker.answering(settings, lambda text: print(text, flush=True)):
        settings, _ = demo.with_free_ports(settings)
        try:
            print(machine(settings.kafka), flush=True)
            print(asyncio.run(run_it(settings, sites, args)).text(), flush=True)
        finally:
            asyncio.run(delete_topics(settings))


if __name__ == "__main__":
    main()
