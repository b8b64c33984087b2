"""Settlement of a region's day: closed windows to encoded entries, without Kafka or a database.

Each interval of five minutes: the energy of every site from its windows of a minute, the market's
money divided to the micro, the owners' shares, entries of revision 0, and their Arrow bytes. The
baseline is the same arithmetic as a plain Python loop over a sample of the sites, one dict per
entry and none encoded; its amounts must be equal. Memory is the largest resident set.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from benchmarks.report import Table, parser, progress, publish
from schemas.assets import Device, Site
from schemas.entry_frames import encode_entries
from schemas.market import Award, Delivery
from schemas.programs import Enrolment, Program
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.settle.agreements import Agreements, Enrolled
from vpp_streams.domain.settle.attribution import from_no_battery
from vpp_streams.domain.settle.corrections import by_partition, settled
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import Energies, SiteWindows, Span
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.money import micros_of
from vpp_streams.domain.settle.periods import Books

START_MS, MINUTE_MS, INTERVAL_MS = 1_763_856_000_000, 60_000, 300_000
MINUTES = 5
RATED_W = 5_000.0
PROGRAM = Program(
    program_id="share", version=1, name="", currency="EUR", effective_from_ms=0, owner_share=0.6
)
T = TypeVar("T")


@dataclass
class Spent:
    """CPU seconds by step."""

    by_step: dict[str, float] = field(default_factory=dict)

    def on(self, step: str, work: Callable[[], T]) -> T:
        """Do a step and add its time."""
        start = time.process_time()
        done = work()
        self.by_step[step] = self.by_step.get(step, 0.0) + time.process_time() - start
        return done


def sites(count: int) -> list[Site]:
    """Homes with a battery each."""
    return [
        Site(
            f"home-{k:06}",
            "north",
            (
                Device(
                    f"battery-{k:06}",
                    "powerwall",
                    rated_charge_w=RATED_W,
                    rated_discharge_w=RATED_W,
                ),
            ),
        )
        for k in range(count)
    ]


def minutes(count: int, rng: np.random.Generator) -> list[Energies]:
    """Five minutes of battery energy; 2 % of the windows are missing."""
    found = []
    for _ in range(MINUTES):
        wh = rng.uniform(-5.0, 83.0, count)
        wh[rng.random(count) < 0.02] = np.nan
        there = ~np.isnan(wh)
        found.append(Energies(wh, -wh, wh * 0, wh * 0, there.astype(float), np.where(there, 0, -1)))
    return found


def enrolled(fleet: Fleet) -> Enrolled:
    """All sites in one program."""
    known = Agreements()
    known.apply(PROGRAM)
    ids = fleet.site_ids.to_pylist()
    for site_id in ids:
        known.apply(Enrolment(site_id=site_id, program_id="share", effective_from_ms=0))
    return known.columns(ids, START_MS)


def award_of(start_ms: int, power_w: float) -> tuple[Award, Delivery]:
    """An award and its delivery, 95 EUR per MWh."""
    names: dict[str, Any] = {"bid_id": f"m:north:{start_ms}", "market": "m", "region": "north"}
    times: dict[str, Any] = {"start_ms": start_ms, "interval_ms": INTERVAL_MS, "currency": "EUR"}
    award = Award(
        **names, **times, cleared_at_ms=start_ms, energy_w=power_w, prices={"energy": 95.0}
    )
    money = power_w * 95.0 / 1e6 * INTERVAL_MS / 3_600_000
    return award, Delivery(
        **names, **times, awarded_w=power_w, measured_w=power_w, coverage=0.98, money=money
    )


def settle_day(fleet: Fleet, each: list[Energies], intervals: int, spent: Spent) -> int:
    """Settle a day as columns; returns the number of bytes."""
    books, terms, size = Books(ZoneInfo("Europe/Berlin")), enrolled(fleet), 0
    windows, ids = SiteWindows(), fleet.site_ids.to_pylist()
    takes_part = np.ones(len(fleet), bool)
    windows.put(60, START_MS, ids, each[0])
    rows = windows.rows(fleet.site_ids)
    power_w = float(np.nansum([e.battery_wh for e in each])) * 12
    for k in range(intervals):
        start_ms = START_MS + k * INTERVAL_MS
        for minute, energies in enumerate(each):
            windows.put(60, start_ms + minute * MINUTE_MS, ids, energies)
        span = start_ms, start_ms + INTERVAL_MS
        found = spent.on(
            "energies from windows",
            partial(energies_of, windows, rows, span, fleet),
        )
        award, delivery = award_of(start_ms, power_w)
        lines = spent.on(
            "money divided",
            partial(
                award_lines,
                award,
                delivery,
                fleet,
                from_no_battery(found),
                enrolled=terms,
                takes_part=takes_part,
            ),
        )
        entries = spent.on("entries", partial(settled, lines, books))
        size += spent.on("encoded by partition", partial(encoded, entries))
        windows.forget(start_ms)
        if k % 24 == 23:
            progress(f"{k + 1} of {intervals} intervals")
    return size


def energies_of(windows: SiteWindows, rows: Ints, span: Span, fleet: Fleet) -> Energies:
    """Energy of an interval, as far as ratings allow."""
    return windows.energies(rows, span).bounded(fleet, INTERVAL_MS)


def encoded(entries: pa.RecordBatch) -> int:
    """Bytes of the records of an interval."""
    return sum(len(encode_entries(part)) for _, part in by_partition(entries))


def loop(ids: list[str], each: list[Floats], money: int) -> dict[str, int]:
    """One interval of a sample of sites, as a plain loop: owner's micros by site."""
    limit_wh = RATED_W / 12
    weights: dict[str, int] = {}
    for row, site_id in enumerate(ids):
        measured = [wh for minute in each if not np.isnan(wh := float(minute[row]))]
        energy_wh = min(max(sum(measured), -limit_wh), limit_wh) if measured else 0.0
        weights[site_id] = max(round(energy_wh * 1000), 0)
    total = sum(weights.values())
    parts = {site_id: money * weight // total for site_id, weight in weights.items()}
    left = money - sum(parts.values())
    order = sorted(ids, key=lambda site_id: (-(money * weights[site_id] % total), site_id))
    for site_id in order[:left]:
        parts[site_id] += 1
    rows = []
    for site_id in ids:
        amount = parts[site_id] * 600_000 // 1_000_000
        rows.append(
            {
                "kind": "share", "site_id": site_id, "region": "north", "market": "m",
                "start_ms": START_MS, "debit": "revenue:m:north", "credit": f"site:{site_id}",
                "amount_micros": amount, "currency": "EUR", "share": 0.6, "price_per_mwh": 95.0,
            }
        )  # fmt: skip
    return {row["site_id"]: row["amount_micros"] for row in rows}  # type: ignore[misc]  # by name


def compared(count: int, repeat: int, rng: np.random.Generator) -> float:
    """CPU seconds of the loop for one site and interval; its amounts must be ours."""
    fleet, each = Fleet.of("north", sites(count)), minutes(count, rng)
    ids, wh = fleet.site_ids.to_pylist(), [one.battery_wh for one in each]
    power_w = float(np.nansum(wh)) * 12
    award, delivery = award_of(START_MS, power_w)
    windows = SiteWindows()
    for minute, energies in enumerate(each):
        windows.put(60, START_MS + minute * MINUTE_MS, ids, energies)
    found = windows.energies(windows.rows(fleet.site_ids), (START_MS, START_MS + INTERVAL_MS))
    lines = award_lines(
        award,
        delivery,
        fleet,
        from_no_battery(found.bounded(fleet, INTERVAL_MS)),
        enrolled=enrolled(fleet),
        takes_part=np.ones(count, bool),
    )
    ours = dict(zip(ids, lines[2].amounts.tolist(), strict=True))
    spent = Spent()
    for _ in range(repeat):
        theirs = spent.on("loop", lambda: loop(ids, wh, micros_of(delivery.money)))
        if theirs != ours:
            raise AssertionError("the loop divides the money otherwise")
    return spent.by_step["loop"] / repeat / count


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=5)
    options.add_argument("--sites", type=int, default=100_000)
    options.add_argument("--intervals", type=int, default=288)
    options.add_argument("--sample", type=int, default=5_000, help="sites of the plain loop")
    args = options.parse_args(argv)
    rng = np.random.default_rng(1)
    loop_s = compared(args.sample, args.repeat, rng)
    fleet, spent = Fleet.of("north", sites(args.sites)), Spent()
    size = settle_day(fleet, minutes(args.sites, rng), args.intervals, spent)
    rows = args.sites * args.intervals
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table = Table(
        f"{args.sites:,} sites x {args.intervals} intervals to entries",
        ("step", "loop x", "CPU-s", "µs per entry"),
    )
    total_s = sum(spent.by_step.values())
    table.add("all", loop_s * rows / total_s, total_s, total_s / rows * 1e6)
    for step, step_s in spent.by_step.items():
        table.add(step, None, step_s, step_s / rows * 1e6)
    table.notes.append(
        f"The plain loop takes {loop_s * 1e6:.1f} µs per entry, without encoding. Entries are"
        f" {size / rows:.0f} bytes each; the largest resident set was {memory_mb:,.0f} MB."
    )
    publish(args, [table])


if __name__ == "__main__":
    main()
