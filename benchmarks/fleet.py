"""Canonical frames to state: twins, windows, ticks and snapshots, against idiomatic Faust.

    python -m benchmarks.fleet

Three things, in one run:

* one partition in process, as the fleet role's agent does it: frames of --rows readings decoded,
  applied, their outputs encoded, and every --snapshot-s of stream time what has changed made into
  the changelog's records. Devices keep their moment of the second; or come in another order each
  second, so that no frame's rows lie together;
* a real `vpp worker fleet` that is fed --readings from Kafka, as fast as it takes them (its
  snapshots come by the clock);
* `benchmarks.idiomatic_faust`, which does (less of) the same job a message at a time, likewise.

Rates are readings per CPU second of the process. The ratio is to the idiomatic worker.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Sequence

from benchmarks.fleet_workers import idiomatic_worker, real_worker
from benchmarks.homes import Homes
from benchmarks.report import Table, parser, progress, publish
from schemas.encoding import decode_frame, encode_frame, encode_json
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.settings import load_settings

BEGIN_S = 35
"""Second of the minute at which a run begins; 30 s later the minute is closed, by its lateness."""
PARTS = ("decode", "apply", "outputs", "snapshot")


def in_process(
    homes: Homes, seconds: int, rows: int, snapshot_s: int, shuffled: bool
) -> dict[str, float]:
    """CPU seconds by part, from the second second on (the first one creates the rows)."""
    registry = Registry(homes.sites())
    part = FleetPartition(0, "telemetry", registry, Policy())
    gc.collect()
    gc.freeze()  # as in the worker
    spent, offset, changelog = dict.fromkeys(PARTS, 0.0), 0, 0

    def timed(name: str, began: float) -> float:
        now = time.process_time()
        if second:
            spent[name] += now - began
        return now

    for second in range(seconds + 1):
        for value in [encode_frame(b) for b in homes.batches(BEGIN_S + second, rows, shuffled)]:
            began = time.process_time()
            frame = Frame(offset, Batch.of(decode_frame(value)))
            began = timed("decode", began)
            out = part.apply(frame)
            began = timed("apply", began)
            for record in (*out.windows, *out.partials, *out.rejected):
                encode_json(record)
            timed("outputs", began)
            offset += 1
        if second % snapshot_s == 0:
            began = time.process_time()
            writes = list(part.snapshot().writes())
            timed("snapshot", began)
            changelog += sum(len(value or b"") for _, value in writes) if second else 0
    return spent | {"changelog bytes": changelog / (homes.n * seconds)}


def table_of(args: argparse.Namespace) -> Table:
    """Measure in process and by workers."""
    idiomatic = None
    rates: dict[str, float] = {}
    if not args.pure:
        progress("the idiomatic worker")
        idiomatic = asyncio.run(idiomatic_worker(Homes(args.homes), args.messages))
        progress("the real worker")
        rates["worker over Kafka"] = asyncio.run(real_worker(Homes(args.homes), args.readings))
    table = Table(
        "Canonical frames to state",
        ("what", "x idiomatic", "readings per CPU-s", *(f"{p} us" for p in PARTS), "changelog B"),
    )
    for devices, shuffled in ((n, how) for n in args.devices for how in (False, True)):
        name = f"{devices:,} devices{', shuffled' if shuffled else ''}, in process"
        progress(f"one partition: {name}")
        homes = Homes(devices, partitions=(0,))
        runs = [
            in_process(homes, args.seconds, args.rows, args.snapshot_s, shuffled)
            for _ in range(args.repeat)
        ]
        spent = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        readings = devices * args.seconds
        rate = readings / sum(spent[p] for p in PARTS)
        each = (spent[p] / readings * 1e6 for p in PARTS)
        table.add(name, rate / idiomatic if idiomatic else None,
                  round(rate), *each, spent["changelog bytes"])  # fmt: skip
    nothing = [None] * (len(PARTS) + 1)
    for name, rate in rates.items():
        table.add(name, rate / idiomatic if idiomatic else None, round(rate), *nothing)
    if idiomatic:
        table.add("idiomatic Faust over Kafka", 1.0, round(idiomatic), *nothing)
    table.notes.append("us and B: CPU microseconds and changelog bytes per reading")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=1)
    options.add_argument("--devices", type=int, nargs="+", default=[10_000, 62_500],
                         help="in the one partition that is measured in process")  # fmt: skip
    options.add_argument("--seconds", type=int, default=60,
                         help="of stream time, in process; in 60 a minute is closed")  # fmt: skip
    options.add_argument("--rows", type=int, default=1000, help="readings in a frame")
    options.add_argument("--snapshot-s", type=int, default=5)
    options.add_argument("--homes", type=int, default=20_000, help="for the workers over Kafka")
    options.add_argument("--readings", type=int, default=1_000_000, help="fed to the real worker")
    options.add_argument("--messages", type=int, default=20_000, help="fed to the idiomatic one")
    options.add_argument("--pure", action="store_true", help="only in process, without Kafka")
    args = options.parse_args(argv)
    publish(args, [table_of(args)], None if args.pure else load_settings().kafka)


if __name__ == "__main__":
    main()
