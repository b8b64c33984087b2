"""What it is worth to know the homes when a market is metered at their connections.

    python -m benchmarks.connection --days 60

Recorded homes with a battery each, as one region, bid hour by hour into a market that settles
energy as measured at the connections, with a network fee for each MWh imported. Bids are those of
the optimizer, from what was known before each gate; load and solar power are forecast as the
optimizer does it, from the weeks before. Ways to bid differ only in what they know of the load.
Where an award cannot be kept, the batteries give what they can. Bills include the energy left in
the batteries at the end, valued at the mean price and fee, and their wear.

The homes of Fontana pay their tariff (its energy price is what is above the fee). The French home
has the German day-ahead prices of the same days of another year: prices and load are not of one
place, so the bill is realistic in its shape, not in its level.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import Table, parser, progress, publish
from schemas.forecast import QuantityForecast, RegionForecast
from schemas.market import Bid
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.forecast.region import SLOT_MS, SLOTS, Seen, forecast_region
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage
from vpp_streams.domain.market.value import W_PER_MW, feasible_power, stored_after
from vpp_streams.domain.moments import HOUR_MS

DATA = Path(__file__).parents[2] / "shared" / "data"
HOME = Storage(13_500.0, 5_000.0, 5_000.0, 0.95, 0.95, 10.0)
"""A battery of a home, above its owner's reserve."""
TRAIN_DAYS = 28
PER_HOUR = HOUR_MS // SLOT_MS


@dataclass(frozen=True, slots=True, eq=False)
class Homes:
    """Hours of some homes with a price; all arrays have a value per hour."""

    name: str
    count: int
    start_ms: int
    load_w: Floats
    solar_w: Floats
    price: Floats
    """Per MWh, without the fee."""
    import_fee: float

    @property
    def net_w(self) -> Floats:
        """Load less solar power."""
        return self.load_w - self.solar_w

    @property
    def storage(self) -> Storage:
        """All batteries as one."""
        k = float(self.count)
        return replace(
            HOME, energy_wh=k * HOME.energy_wh, charge_w=k * HOME.charge_w,
            discharge_w=k * HOME.discharge_w,
        )  # fmt: skip

    def rules(self, metered_at: str) -> MarketRules:
        """The market's rules as a bidder takes them."""
        at_connection = metered_at == "connection"
        return MarketRules(
            name="homes", currency="EUR", interval_ms=HOUR_MS, gate_ms=60_000, floor=-500.0,
            cap=4000.0, metered_at="connection" if at_connection else "battery",
            import_fee=self.import_fee if at_connection else 0.0,
        )  # fmt: skip


def fontana() -> Homes:
    """Five homes of Fontana, California, with their time-of-use tariff."""
    at = DATA / "citylearn_fontana_homes_hourly"
    peak_kw = (4.0, 4.0, 4.0, 5.0, 4.0)
    homes = [pd.read_csv(at / f"Building_{k}.csv") for k in range(1, 6)]
    load_w = sum(home["non_shiftable_load"].to_numpy() * 1000 for home in homes)
    sun = zip(homes, peak_kw, strict=True)
    solar_w = sum(home["solar_generation"].to_numpy() * kw for home, kw in sun)
    tariff = pd.read_csv(at / "pricing.csv")["electricity_pricing"].to_numpy() * 1000
    return Homes(
        "Fontana, 5 homes", 5, 23 * HOUR_MS, np.asarray(load_w), np.asarray(solar_w),
        tariff - 150.0, 150.0,
    )  # fmt: skip


def french_home() -> Homes:
    """A French home of 2024 with the German day-ahead prices of 2016."""
    home = pd.read_csv(DATA / "emhass_home" / "home_30min_2024.csv", parse_dates=["time_utc"])
    hourly = home.set_index("time_utc")[["load_w", "pv_w"]].resample("h").mean()
    load_w = hourly["load_w"].interpolate(limit_direction="both").to_numpy()
    solar_w = hourly["pv_w"].fillna(0.0).to_numpy()
    prices = pd.read_csv(DATA / "epf_day_ahead_hourly" / "DE.csv", parse_dates=["time"])
    of_hour = prices.drop_duplicates("time").set_index("time")["Real price"]
    times = [t.replace(year=2016, tzinfo=None) for t in hourly.index]
    price = of_hour.reindex(times).interpolate(limit_direction="both").to_numpy()
    start_ms = int(hourly.index[0].timestamp() * 1000)
    return Homes("France, 1 home", 1, start_ms, load_w, solar_w, price, 100.0)


Forecasts = Callable[[int], RegionForecast | None]
"""The forecast that is known at the start of an hour, by its row."""


def forecasts_of(homes: Homes) -> Forecasts:
    """As the optimizer makes them, from the hours before."""
    made: dict[int, RegionForecast | None] = {}
    never = np.full((3, SLOTS), np.nan)

    def known(row: int) -> RegionForecast | None:
        if row not in made:
            at_ms = homes.start_ms + row * HOUR_MS
            load, solar = (
                Seen(values[max(row - 30 * 24, 0) : row].repeat(PER_HOUR), never)
                for values in (homes.load_w, homes.solar_w)
            )
            made[row] = forecast_region("r", at_ms, at_ms, load, solar)
        return made[row]

    return known


def without_band(known: Forecasts) -> Forecasts:
    """The same without quantiles: nothing is kept free for errors."""

    def sure(row: int) -> RegionForecast | None:
        found = known(row)
        if found is None:
            return None
        load, solar = _sure(found.load.mean_w), _sure(found.solar.mean_w)
        return RegionForecast(
            region="r", known_at_ms=found.known_at_ms, start_ms=found.start_ms,
            slot_s=found.slot_s, load=load, solar=solar,
        )  # fmt: skip

    return sure


def foreseen(homes: Homes) -> Forecasts:
    """What load and solar power turn out to be, for certain."""

    def known(row: int) -> RegionForecast:
        at_ms = homes.start_ms + row * HOUR_MS
        load, solar = (
            _sure(tuple(values[row : row + 24].repeat(PER_HOUR).tolist()))
            for values in (homes.load_w, homes.solar_w)
        )
        return RegionForecast(
            region="r", known_at_ms=at_ms, start_ms=at_ms, slot_s=SLOT_MS // 1000,
            load=load, solar=solar,
        )  # fmt: skip

    return known


def _sure(mean_w: tuple[float, ...]) -> QuantityForecast:
    return QuantityForecast(by="profile", mean_w=mean_w, low_w=mean_w, high_w=mean_w)


@dataclass(slots=True)
class Bill:
    """What some hours cost, money."""

    energy: float = 0.0
    fees: float = 0.0
    wear: float = 0.0
    imported_wh: float = 0.0
    kept: int = 0
    """Hours in which the batteries could keep the award."""
    hours: int = 0
    left: float = 0.0
    """Worth of the energy in the batteries at the end."""

    @property
    def total(self) -> float:
        """The bill."""
        return self.energy + self.fees + self.wear - self.left


Choose = Callable[[int, float], float]
"""The battery power that is wanted in an hour, W, by its row and the stored energy."""


def walk(homes: Homes, rows: range, wanted_w: Choose) -> Bill:
    """The bill of some hours in which the batteries give the wanted power as far as they can."""
    storage, bill, stored_wh = homes.storage, Bill(), 0.0
    for row in rows:
        wanted = wanted_w(row, stored_wh)
        most = float(np.clip(wanted, -storage.charge_w, storage.discharge_w))
        power = feasible_power(np.array([most]), stored_wh, storage, 1.0)
        stored_wh = float(stored_after(power, stored_wh, storage, 1.0)[0])
        given_wh = float(power[0]) - homes.net_w[row]
        bill.energy -= given_wh * homes.price[row] / W_PER_MW
        bill.fees += max(-given_wh, 0.0) * homes.import_fee / W_PER_MW
        bill.wear += max(float(power[0]), 0.0) * storage.wear_per_mwh / W_PER_MW
        bill.imported_wh += max(-given_wh, 0.0)
        bill.kept += abs(float(power[0]) - wanted) < 1.0
        bill.hours += 1
    worth = homes.price[rows.start : rows.stop].mean() + homes.import_fee
    bill.left = stored_wh * storage.discharge_efficiency * worth / W_PER_MW
    return bill


def bidding(homes: Homes, metered_at: str, known: Forecasts) -> Choose:
    """Bids of the optimizer; an award at the connection is made up for by the batteries."""
    bidder, rules = Autobidder(), homes.rules(metered_at)

    def wanted_w(row: int, stored_wh: float) -> float:
        start_ms = homes.start_ms + row * HOUR_MS
        first = max(row - TRAIN_DAYS * 24, 0)
        starts = homes.start_ms + np.arange(first, row, dtype=np.int64) * HOUR_MS
        inputs = CycleInputs(
            rules=rules,
            region="r",
            start_ms=start_ms,
            now_ms=start_ms - rules.gate_ms,
            history=Prices("z", "EUR", HOUR_MS, starts, {"energy": homes.price[first:row]}),
            storage=homes.storage,
            stored_wh=stored_wh,
            region_forecast=known(row),
            load_seen_w=float(homes.load_w[row - 1]),
            solar_seen_w=float(homes.solar_w[row - 1]),
        )
        bid = _decided(bidder, inputs)
        awarded_w = cleared_power_w(bid.energy, float(homes.price[row]))
        return awarded_w + (homes.net_w[row] if metered_at == "connection" else 0.0)

    return wanted_w


def _decided(bidder: Autobidder, inputs: CycleInputs) -> Bid:
    return bidder.decide(inputs, lambda: 0.0, 1.0)[0]


def compare(homes: Homes, days: int) -> Table:
    """The bills of all ways."""
    rows = range(TRAIN_DAYS * 24, min(TRAIN_DAYS * 24 + days * 24, len(homes.price) - 24))
    known = forecasts_of(homes)
    ways: dict[str, Choose] = {
        "no battery": lambda _row, _stored: 0.0,
        "covers the net load (rule)": lambda row, _stored: float(homes.net_w[row]),
        "bids, load ignored": bidding(homes, "battery", known),
        "bids, load as last seen": bidding(homes, "connection", lambda _row: None),
        "bids, load forecast, no quantiles": bidding(homes, "connection", without_band(known)),
        "bids, load forecast with quantiles": bidding(homes, "connection", known),
        "bids, load foreseen": bidding(homes, "connection", foreseen(homes)),
    }
    table = Table(
        f"{homes.name}, {len(rows) / 24:.0f} days",
        ["way", "saved / foreseen", "bill", "energy", "fees", "imported kWh", "awards kept"],
    )
    bills = {}
    for name, choose in ways.items():
        bills[name] = walk(homes, rows, choose)
        progress(f"{homes.name}: {name} {bills[name].total:.2f}")
    none, best = bills["no battery"].total, bills["bids, load foreseen"].total
    for name, bill in bills.items():
        saved = (none - bill.total) / (none - best)
        kept = bill.kept / bill.hours
        table.add(
            name, saved, f"{bill.total:.2f}", f"{bill.energy:.2f}", f"{bill.fees:.2f}",
            bill.imported_wh / 1000, f"{kept:.1%}",
        )  # fmt: skip
    return table


def main() -> None:
    """Run the comparison."""
    options = parser(__doc__)
    options.add_argument("--days", type=int, default=60, help="days to bid for (60)")
    args = options.parse_args()
    publish(args, [compare(homes(), args.days) for homes in (fontana, french_home)])


if __name__ == "__main__":
    main()
