"""What a device reports beyond what is registered for it is bad: it neither steers nor earns.

A home of 5 kW that reported -900 MW, or only -60 kW, moved every other battery of its region, and
was paid for it.
"""

import base64
import functools
import json
import math
from typing import Any

import pytest

from schemas.assets import Device, Site
from schemas.market import Award
from schemas.telemetry import Quality
from schemas.windows import RegionPartial, RegionWindow, RegionWindowPartial
from tests.support.pool_world import SITE_IDS, OnePartition, home
from vpp_streams.domain.control.supplies import supplies
from vpp_streams.domain.fleet.frames import Frame, Outputs
from vpp_streams.domain.fleet.regions import region_window
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.market.delivery import measured
from vpp_streams.domain.registry.belief import (
    ABSURD,
    MARGIN,
    MAX_FUTURE_MS,
    SLACK_W,
    UNREGISTERED_W,
)
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import Canonical, Source, canonicalize

T = 1_800_000_000_000
SOURCE = Source("raw.powerwall", 0, 1, T)
POWERWALL = Device("pw", "powerwall", "", 13_500.0, 3_000.0, 5_000.0, 4_000.0)
HOME = Site("home", "north", (POWERWALL,), export_limit_w=6_000.0, import_limit_w=20_000.0)


def believed(w: float) -> float:
    return w * MARGIN + SLACK_W


def power(field: str, watts: float) -> dict[str, Any]:
    return {field: watts}


def report(site: Site, device_id: str = "pw", seq: int = 1, **body: Any) -> Canonical:
    line = {"device_id": device_id, "received_at_ms": T, "boot": "1", "seq": seq}
    raw = json.dumps(line | {"body": {"t": T - 100} | body}).encode()
    return canonicalize(raw, SOURCE, Registry([site]), 8)


def quality(found: Canonical) -> Quality:
    (batch,) = found.batches.values()
    return Quality(batch.column("quality")[0].as_py())


MOST = [
    ("p", 5_000.0, "discharge"),
    ("p", -3_000.0, "charge"),
    ("g", 20_000.0, "import"),
    ("g", -6_000.0, "export"),
    ("pv", 4_000.0, "solar"),
    ("l", 20_000.0 + 5_000.0 + 4_000.0, "load"),
]


@pytest.mark.parametrize(("field", "rated_w", "what"), MOST)
def test_a_power_is_believed_up_to_what_is_registered_and_its_margin(
    field: str, rated_w: float, what: str
) -> None:
    edge = math.copysign(believed(abs(rated_w)), rated_w)
    inside = report(HOME, **power(field, edge))
    assert (quality(inside), inside.not_believed) == (Quality.OK, {})
    beyond = report(HOME, **power(field, edge * 1.001))
    assert (quality(beyond), beyond.not_believed) == (Quality.BAD, {what: 1})
    assert beyond.rejected == []


@pytest.mark.parametrize(("field", "rated_w", "what"), MOST)
def test_an_absurd_power_is_a_dead_letter_with_its_bytes(
    field: str, rated_w: float, what: str
) -> None:
    watts = math.copysign(believed(abs(rated_w)) * ABSURD * 1.001, rated_w)
    found = report(HOME, **power(field, watts))
    (letter,) = found.rejected
    assert found.batches == {}
    assert (letter.reason, letter.device_id, letter.site_id) == ("not_believed", "pw", "home")
    assert what in letter.detail
    assert json.loads(base64.b64decode(letter.original_base64))["body"][field] == watts


def test_a_vendor_s_document_is_held_against_the_registry_too() -> None:
    body = {
        "vendor": "tesla_gateway",
        "body": {"percentage": 50, "battery": {"instant_power": 9e3}},
    }
    assert quality(report(HOME, **body)) == Quality.BAD  # type: ignore[arg-type]


def test_a_solar_device_has_no_battery() -> None:
    site = Site("home", "north", (Device("pv", "solar", rated_solar_w=4_000.0),))
    assert quality(report(site, "pv", p=400.0, pv=1.0)) == Quality.OK
    assert quality(report(site, "pv", p=600.0, pv=1.0)) == Quality.BAD


def test_a_gateway_may_meter_the_panels_of_another_device_at_its_site() -> None:
    powerwall = Device("pw", "powerwall", "", 13_500.0, 5_000.0, 5_000.0)
    site = Site("home", "north", (powerwall, Device("pv", "solar", rated_solar_w=4_000.0)))
    assert quality(report(site, pv=5_000.0)) == Quality.OK
    assert quality(report(site, pv=6_000.0)) == Quality.BAD


def test_what_is_not_registered_is_taken_as_a_large_house() -> None:
    site = Site("home", "north", (Device("pw", "powerwall"),))
    edge = believed(UNREGISTERED_W)
    for field in ("p", "pv"):
        assert quality(report(site, **power(field, edge))) == Quality.OK
        assert quality(report(site, **power(field, edge * 1.001))) == Quality.BAD
    assert quality(report(site, g=believed(2 * UNREGISTERED_W) * 1.001)) == Quality.BAD
    assert report(site, p=-9e8).batches == {}


def test_a_large_battery_needs_no_limit_for_its_own_power() -> None:
    site = Site("mega", "north", (Device("m", "megapack", "", 4e6, 1.9e6, 1.9e6),))
    assert quality(report(site, "m", p=-1.9e6, g=1.95e6, l=5e4, pv=0.0)) == Quality.OK


def test_new_ratings_count_at_once() -> None:
    registry = Registry([HOME])
    line = {"device_id": "pw", "received_at_ms": T, "seq": 1, "body": {"t": T, "p": 9_000.0}}

    def told() -> Quality:
        return quality(canonicalize(json.dumps(line).encode(), SOURCE, registry, 8))

    assert told() == Quality.BAD
    registry.apply(Site("home", "north", (Device("pw", "powerwall", "", 13.5e3, 11e3, 11e3),)))
    assert told() == Quality.OK


def test_a_reading_cannot_stand_for_a_time_that_nobody_has_seen() -> None:
    assert quality(report(HOME, p=1_000.0, iv=MAX_FUTURE_MS)) == Quality.OK
    found = report(HOME, p=1_000.0, iv=86_400_000)
    assert (quality(found), found.not_believed) == (Quality.BAD, {"interval": 1})


def test_a_frame_keeps_its_order_and_costs_nobody_else() -> None:
    lines = [
        {"device_id": "pw", "received_at_ms": T, "seq": seq, "body": {"t": T + seq, "p": watts}}
        for seq, watts in enumerate((100.0, 9e8, 200.0, 9e3, 300.0))
    ]
    raw = b"\n".join(json.dumps(line).encode() for line in lines)
    found = canonicalize(raw, SOURCE, Registry([HOME]), 8)
    (batch,) = found.batches.values()
    assert batch.column("battery_w").to_pylist() == [100.0, 200.0, 9e3, 300.0]
    assert batch.column("quality").to_pylist() == [0, 0, 3, 0]
    assert [letter.line for letter in found.rejected] == [1]
    assert found.not_believed == {"discharge": 2}


# A region of four homes, one of which lies


LIAR = 3


class Liar(OnePartition):
    """Four homes; the owner of the last has opted out, and its device reports what it likes."""

    def __init__(self) -> None:
        super().__init__([home(i) for i in range(4)])
        self.liar = SITE_IDS[LIAR]
        self.silent.add(self.liar)
        self.connect()
        self.outputs: list[Outputs] = []
        apply = self.fleet.apply

        def kept(frame: Frame) -> Outputs:
            self.outputs.append(apply(frame))
            return self.outputs[-1]

        self.fleet.apply = kept  # type: ignore[method-assign]

    def lie(self, watts: float | None, after_ms: int = 1000, **body: object) -> None:
        """A second passes; the liar reports, as its device would, through ingest."""
        self.measure(after_ms)
        if watts is None:
            return
        self._seq += 1
        native = {"t": self.now_ms - 100, "p": watts, "g": 500.0 - watts, "pv": 0.0, "l": 500.0,
                  "soc": 0.8} | body  # fmt: skip
        line = {"device_id": f"{self.liar}-pw", "received_at_ms": self.now_ms, "seq": self._seq}
        raw = json.dumps(line | {"body": native}).encode()
        found = canonicalize(raw, SOURCE, Registry(self.sites), 8)
        for batch in found.batches.values():
            self.fleet.apply(Frame(self._seq, Batch.of(batch)))

    def opt_out(self) -> None:
        frames = self.order(3_000.0)
        for frame in frames:
            for row in frame.rows:
                refused = row.device_id == f"{self.liar}-pw"
                self.tell(row.device_id, frame.rank, "opted_out" if refused else "accepted")


LIES = pytest.mark.parametrize("watts", [-9e8, 9e8, -6e4, 6e4, -8e3, 8e3])


@LIES
def test_one_home_that_lies_does_not_move_the_others(watts: float) -> None:
    asked, told = [], []
    for says in (0.0, watts):
        w = Liar()
        w.lie(0.0)
        w.opt_out()
        for _ in range(12):
            w.lie(says)
        (partial,) = supplies(w.pool, w.look(), {})
        told.append([(s.uncontrolled_w, s.power_w) for s in partial.supplies])
        told[-1].append((partial.measured_w, partial.commanded_w))  # type: ignore[arg-type]
        w.order(4_000.0)
        asked.append(w.rows["setpoint_w"][:LIAR].tolist())
    assert told[0] == told[1]
    assert asked[0] == asked[1]
    assert sum(asked[1]) == pytest.approx(4_000.0)


def test_what_a_home_does_that_is_not_commanded_counts_up_to_its_rating() -> None:
    w = Liar()
    w.lie(-6_500.0)  # within the margin of 5 kW
    w.opt_out()
    w.lie(-6_500.0)
    (partial,) = supplies(w.pool, w.look(), {})
    assert partial.supplies[0].uncontrolled_w == -5_000.0


def test_a_battery_with_a_bad_reading_is_not_asked_and_is_taken_at_what_it_was_asked() -> None:
    w = Liar()
    w.lie(0.0)
    w.answer(w.order(8_000.0))
    w.lie(2_000.0)
    before = w.rows["setpoint_w"][:4].tolist()
    w.lie(60_000.0)
    view = w.look()
    assert not view.able[LIAR]
    assert view.room.most_w[LIAR] == 0.0
    (partial,) = supplies(w.pool, view, {})
    assert partial.supplies[0].uncontrolled_w == pytest.approx(2_000.0)
    assert {m.cause: m.devices for m in partial.missing}["not_believed"] == 1
    w.order(6_000.0)  # the region takes off what the fourth does
    assert w.rows["setpoint_w"][:4].tolist() == pytest.approx(before)


@LIES
def test_a_region_s_numbers_stay_as_they_are(watts: float) -> None:
    shown = []
    for says in (None, watts):
        w = Liar()
        for _ in range(5):
            w.lie(says, after_ms=700)
        ticks = [p for out in w.outputs for p in out.partials if isinstance(p, RegionPartial)]
        shown.append(ticks[-1].aggregate)
    assert shown[0] == shown[1]
    assert (shown[1].sites_reporting, shown[1].sites_expected) == (3, 4)


def test_the_twin_shows_the_bad_reading_as_bad() -> None:
    w = Liar()
    w.lie(0.0)
    w.lie(-60_000.0)
    row = w.fleet.twins.row(f"{w.liar}-pw")
    assert row is not None
    twin = w.fleet.twins.describe(row)
    assert (twin["battery_w"], twin["quality"], twin["bad"]) == (-60_000.0, Quality.BAD, 1)
    assert w.fleet.not_believed() == 1


@functools.cache
def honest_minute() -> RegionWindow:
    return minute_of(None)


def minute_of(watts: float | None, **body: Any) -> RegionWindow:
    """The first whole minute of the region, in which the three others give 1 kW each."""
    w = Liar()
    w.power_w = dict.fromkeys(w.power_w, 1_000.0)
    for _ in range(130):
        w.lie(watts, **body)
    partials = [p for out in w.outputs for p in out.partials]
    shares = [p for p in partials if isinstance(p, RegionWindowPartial)]
    (share,) = (p for p in shares if p.start_ms == T + 60_000 and p.size_s == 60)
    return region_window("north", {0: share}, {0: 4})


AWARD = Award(
    bid_id="sim:north:1", market="sim", region="north", start_ms=T + 60_000, interval_ms=60_000,
    cleared_at_ms=T, energy_w=-54_000.0, prices={"energy": 100.0}, currency="USD",
)  # fmt: skip


@LIES
def test_a_lie_is_not_energy_and_not_money(watts: float) -> None:
    honest, lied = honest_minute(), minute_of(watts)
    assert lied.sums.battery == honest.sums.battery
    assert lied.mean_grid_w == honest.mean_grid_w
    assert (lied.coverage, lied.sums.sites_reporting) == (pytest.approx(0.75), 3)
    deliveries = [measured(AWARD, {AWARD.start_ms: window}) for window in (honest, lied)]
    assert deliveries[0] == deliveries[1]
    assert deliveries[1].measured_w == pytest.approx(3_000.0)
    assert deliveries[1].money == pytest.approx(3_000.0 / 1e6 / 60 * 100.0)


def test_what_is_believed_within_the_margin_is_paid_up_to_the_rating() -> None:
    window = minute_of(6_500.0)
    assert window.coverage == pytest.approx(1.0)
    assert window.sums.battery.energy_wh == pytest.approx((3_000.0 + 5_000.0) / 60)


def test_time_that_is_told_twice_counts_once() -> None:
    """Readings of a second that claim to stand for a quarter of an hour each."""
    window = minute_of(5_000.0, iv=900_000)
    assert window.sums.battery.energy_wh <= (3_000.0 + 5_000.0) / 60 + 1e-9


def test_site_windows_count_bad_readings_and_leave_them_out_of_sums() -> None:
    w = Liar()
    for second in range(130):
        w.lie(60_000.0 if 80 <= second < 90 else 1_000.0)
    records = [record for out in w.outputs for record in out.windows]
    (window,) = (r for r in records if r.site_id == w.liar and r.start_ms == T + 60_000)
    assert (window.readings, window.bad) == (60, 10)
    assert window.coverage == pytest.approx(50 / 60)
    assert window.battery.max_w == 1_000.0
    assert window.battery.energy_wh == pytest.approx(1_000.0 * 50 / 3600)


def test_a_bad_reading_of_another_kind_does_not_earn_either() -> None:
    """Powers out of balance: which of them is wrong, nobody knows."""
    w = Liar()
    w.lie(4_000.0, l=9_000.0)
    latest, row = w.fleet.twins.latest(), w.fleet.twins.row(f"{w.liar}-pw")
    assert math.isnan(latest.battery_w[row])
    assert math.isnan(latest.soc[row])
