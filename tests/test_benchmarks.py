"""Benchmarks run, and measure what they say: tiny sizes, no broker, no word on how fast."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    allocate,
    edge_ring,
    edge_soak,
    explorer,
    fleet,
    growth_points,
    ingest,
    ledger,
    live_cost,
    market,
    orders,
    plan,
    raw_forms,
    recovery,
    region,
    replay,
    reports,
    settle_core,
    tracing,
)
from benchmarks.__main__ import DOCS, document
from benchmarks.frame_bytes import digits, frames_of
from benchmarks.growth_plots import Plot, draw
from benchmarks.homes import FIRST_SEQ, Homes
from benchmarks.peers.recording import Recording, Reference
from benchmarks.peers.results import Comparison
from benchmarks.pipeline_tables import Run, tables
from benchmarks.report import Table, shown
from schemas.bounds import PARTITIONS
from schemas.encoding import encode_json
from schemas.market import Award, Bid, Delivery, EnergyOffer
from vpp_streams.domain.fleet.frames import Frame, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import Source, canonicalize, canonicalize_columns
from vpp_streams.gateway.gathering import MAX_FRAME_BYTES

NOW_S = 1_800_000_000
PURE: dict[str, tuple[Callable[[list[str]], None], list[str]]] = {
    "ingest": (ingest.main, ["--repeat", "1"]),
    "allocate": (allocate.main, ["--repeat", "1", "--devices", "100"]),
    "plan": (plan.main, ["--repeat", "1", "--steps", "12", "--cycles", "2"]),
    "orders": (orders.main, ["--repeat", "1", "--devices", "400", "--no-kafka"]),
    "fleet": (fleet.main, ["--pure", "--devices", "50", "--seconds", "2", "--rows", "20"]),
    "region": (region.main, ["--repeat", "1", "--ticks", "2", "--partitions", "8"]),
    "recovery": (recovery.main, ["--devices", "200", "--worker-devices", "0"]),
    "edge_soak": (edge_soak.main, ["--minutes", "0.02", "--begin", "0.2"]),
    "explorer": (explorer.main, ["--repeat", "1", "--sites", "60"]),
    "edge_ring": (edge_ring.main, ["--readings", "10", "--seconds", "100"]),
    "settle_core": (
        settle_core.main,
        ["--repeat", "1", "--sites", "50", "--intervals", "3", "--sample", "20"],
    ),
    "reports": (reports.main, ["--repeat", "1", "--sites", "5", "--days", "40"]),
    "raw_forms": (raw_forms.main, ["--repeat", "1"]),
    "tracing": (tracing.main, ["--repeat", "1", "--frames", "20"]),
    "replay": (replay.main, ["--pure", "--repeat", "1", "--devices", "50", "--seconds", "3"]),
}


@pytest.mark.parametrize("name", PURE)
def test_a_benchmark_tells_the_ratio_first(name: str, tmp_path: Path) -> None:
    main, options = PURE[name]
    file = tmp_path / "told.json"
    main([*options, "--json", str(file)])
    told = json.loads(file.read_text())
    assert told["machine"]
    for table in told["tables"]:
        assert table["rows"]
        assert "x " in table["columns"][1] or table["columns"][1].endswith(" x")
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}


@dataclass(frozen=True)
class Interval:
    bid: Bid
    award: Award
    delivery: Delivery


def test_a_day_booked_into_postgresql_is_measured(postgres: str, tmp_path: Path) -> None:
    file = tmp_path / "told.json"
    ledger.main(["--sites", "16", "--intervals", "2", "--days", "1", "--json", str(file)])
    day, layouts, queries = json.loads(file.read_text())["tables"]
    assert day["rows"][0][0] == "32"
    assert len(layouts["rows"]) == 2
    assert len(queries["rows"]) == 4
    assert all("x " in table["columns"][1] for table in (day, layouts, queries))


def interval(start_ms: int, awarded_w: float, measured_w: float) -> Interval:
    named: dict[str, Any] = {"bid_id": f"sim:north:{start_ms}", "market": "sim", "region": "north"}
    times: dict[str, Any] = {"start_ms": start_ms, "interval_ms": 60_000}
    named |= {"currency": "USD"}
    return Interval(
        Bid(
            **named, **times, gate_ms=start_ms + 10, made_at_ms=start_ms, rung="warm_lp",
            energy=EnergyOffer(awarded_w),
        ),
        Award(**named, **times, cleared_at_ms=start_ms, energy_w=awarded_w, prices={}),
        Delivery(
            **named, **times, awarded_w=awarded_w, measured_w=measured_w, coverage=1.0, money=0.0
        ),
    )  # fmt: skip


@pytest.mark.parametrize("by_columns", [False, True])
def test_generated_frames_are_those_of_a_gateway(by_columns: bool) -> None:
    homes = Homes(3000)
    registry = Registry(homes.sites())
    frames = frames_of(homes, flush_ms=500, by_columns=by_columns)
    read = canonicalize_columns if by_columns else canonicalize
    found: dict[tuple[str, int], dict[str, object]] = {}
    for n in range(12):  # the digits carry
        for frame in frames:
            raw = frame.at(digits(NOW_S + n, n))
            assert len(raw) <= MAX_FRAME_BYTES
            source = Source("raw.powerwall", frame.partition, 0, NOW_S * 1000)
            canonical = read(raw, source, registry, PARTITIONS)
            assert not canonical.rejected
            assert set(canonical.batches) == {frame.partition}
            for row in canonical.batches[frame.partition].to_pylist():
                found[row["device_id"], row["seq"]] = row
                assert row["measured_at_ms"] // 1000 == row["received_at_ms"] // 1000 == NOW_S + n
                assert row["quality"] == 0
    assert len(found) == 3000 * 12
    assert {seq for _, seq in found} == set(range(FIRST_SEQ, FIRST_SEQ + 12))


def test_canonical_homes_balance_and_keep_to_their_partition() -> None:
    homes = Homes(100, partitions=(3, 5))
    rows = [row for p, b in homes.by_partition(7, 30) for row in b.to_pylist() if p in (3, 5)]
    assert sorted(row["device_id"] for row in rows) == sorted(homes.device_ids)
    for row in rows:
        supply_w = row["grid_w"] + row["battery_w"] + row["solar_w"]
        assert row["load_w"] == pytest.approx(supply_w, abs=0.2)


def test_growth_measures_a_point_and_draws(tmp_path: Path) -> None:
    found = growth_points.measure(growth_points.Point(200, seconds=1, rows=20))
    assert found.changelog_bytes > 0
    assert found.reading_us > 0
    draw([Plot("a.png", "title", "x", "y", [1, 2], {"a": [1, 2], "b": [2, 3]})], tmp_path)
    assert (tmp_path / "a.png").stat().st_size > 0


def test_a_run_holds_only_if_nothing_is_lost_and_all_is_in_time() -> None:
    run = Run(10, sent=100, counted={"fleet": 100}, kept_up=True, ages_ms=(500.0, 900.0),
              decode_s=1e-6)  # fmt: skip
    assert run.holds(1500.0)
    assert not run.holds(800.0)
    run.counted["windows"] = 99
    assert run.lost == 1
    assert not run.holds(1500.0)
    run.counted["windows"] = 101
    assert not run.holds(1500.0)
    run.thirds = [(500.0, 0.0, 1.0)] * 3
    assert all(table.text() for table in tables([run], 20, 1500.0))


def test_every_benchmark_has_its_place_in_the_page() -> None:
    table = {"title": "T", "columns": ["a", "x b"], "rows": [["one", 1.5]], "notes": ["why"]}
    text = document(DOCS.read_text(), "fleet", {"machine": "M", "tables": [table]})
    assert "| one | 1.5 |" in text
    with pytest.raises(ValueError, match="no marks"):
        document("nothing", "fleet", {"machine": "M", "tables": []})


def test_cells_are_short_and_rows_whole() -> None:
    assert [shown(cell) for cell in (None, "x", 1234567, 123.4, 1.2345, 0)] == [
        "-", "x", "1,234,567", "123", "1.23", "0",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="2 cells under 1"):
        Table("t", ["a"]).add(1, 2)


def test_an_hour_in_the_market_counts_what_was_met_and_how_near_it_was_delivered() -> None:
    """Two intervals count: one off by 2 %, one that had two bids, one of them late, off by 10 %."""
    told = market.RegionRecords()
    for start_ms, awarded_w, measured_w in ((0, 1000.0, 980.0), (60_000, -500.0, -550.0)):
        made = interval(start_ms, awarded_w, measured_w)
        told.bids.append((made.bid, start_ms))
        told.deliveries[made.bid.bid_id] = made.delivery
        told.awards[made.bid.bid_id] = made.award
    late = interval(60_000, -500.0, -550.0).bid
    told.bids[1] = (late, late.gate_ms + 1)
    told.bids.append((late, late.gate_ms + 2))
    outside = interval(120_000, 1e6, 0.0)
    told.deliveries[outside.bid.bid_id] = outside.delivery
    made_table = market.table([0, 60_000], {"north": told}, minutes=2, kills=1)
    row = dict(zip(made_table.columns, made_table.rows[0], strict=True))
    assert row["delivered x awarded"] == pytest.approx(1530 / 1500)
    assert row["off, of energy"] == f"{70 / 1500:.2%}"
    assert (row["intervals within 3 %"], row["worst interval"]) == ("50.0%", "6.67%")
    assert (row["gates"], row["met"], row["bid twice"]) == (2, 1, 1)


def test_the_windows_that_peers_have_to_publish_are_ours() -> None:
    recording = Recording(Homes(40, partitions=(3,)), seconds=130, now_s=1_800_000_000)
    reference, registry = Reference(recording.homes), Registry(recording.homes.sites())
    part = FleetPartition(3, "telemetry", registry, Policy())
    compared = Comparison({})
    for offset, frame in enumerate(recording.frames()):
        reference.add(frame)
        compared.expected = reference.closed(recording.closed_ms)
        source = Source("raw.powerwall", 3, offset, 1_800_000_000_000)
        found = canonicalize(frame.value, source, registry, PARTITIONS)
        for batch in found.batches.values():
            for window in part.apply(Frame(offset, Batch.of(batch))).windows:
                compared.note(json.loads(encode_json(window)))
    assert recording.cut
    assert recording.repeats
    # One site of 40: three minutes begun, and a quarter of an hour.
    assert len(compared.expected) == 4
    assert compared.equal, compared.differences()
    compared.note({"window_id": next(iter(compared.expected)), "revision": 9, "readings": 1})
    assert not compared.equal


def test_live_cost_says_where_samples_belong_and_divides_by_readings() -> None:
    stacks = (
        "main (vpp/app.py:1);apply (/x/agents/fleet.py:2);add (/x/domain/fleet/windows.py:3) 30\n"
    )
    stacks += "main (vpp/app.py:1);send (/y/aiokafka/producer/sender.py:9) 10\n"
    stacks += "main (vpp/app.py:1) 5\n"
    cost = live_cost.Cost("flow", 1000, readings=60_000, cpu_s={"flow-0": 0.6})
    cost.parts = live_cost.parts_of(stacks)
    assert cost.reading_us == pytest.approx(10.0)
    assert list(cost.parts.values()) == [30, 10, 5]
    assert cost.parts[live_cost.REST] == 5
    split = live_cost.Cost("ingest+fleet", 1000, 60_000, {"ingest-0": 0.6, "fleet-0": 1.2})
    table, parts = live_cost.tables_of([split, cost], 2e-6, 60)
    assert [row[1] for row in table.rows] == [1.0, pytest.approx(3.0)]
    assert table.rows[1][5] == "100%"
    assert parts.rows[0][1] == pytest.approx(30 / 45)
