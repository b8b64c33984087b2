"""What a backtest is run with. Light to import: the command line reads its options from here."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

ForecastName = Literal["lear", "profile", "naive", "boosted"]
Orders = Literal["hourly", "loop", "exclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSettings:
    """The price file, the fleet and the rules of a backtest; see the options of `vpp backtest`."""

    market: Path
    """A price file."""
    fleet: Path
    """An asset file with the batteries."""
    zone: str | None = None
    time_zone: str | None = None
    """Of local times in the price file and of the auction's days; None = UTC."""
    currency: str | None = None
    unit: str | None = None
    decimal: Literal[".", ","] | None = None
    efficiency: float = 0.85
    """Of a round trip, 0..1."""
    wear_per_mwh: float = 0.0
    energy_only: bool = False
    reserve: str = "quantile:0.1"
    answers: float = 1.0
    """Chance that a site answers in an interval, 0..1."""
    impact_per_mw: float = 0.0
    """The energy price falls by this much per MWh for each MW that is sold."""
    imbalance: str | None = None
    """Column of the price file with imbalance prices per MWh."""
    orders: Orders | None = None
    """Kind of orders for a day-ahead market; None = the best that it takes."""
    overnight: bool = False
    forecast: ForecastName = "lear"
    known_before_gate: tuple[str, ...] = ()
    """Columns of the price file that were published of a day before its gate closed."""
    score_from: datetime | None = None
    """First day to bid for, without a zone: a local day of the market."""
    country: str | None = None
    """Code of the country whose holidays count as Sundays."""

    @property
    def further_columns(self) -> tuple[str, ...]:
        """The columns of the price file that are needed beside its prices."""
        return (*self.known_before_gate, *([self.imbalance] if self.imbalance else []))

    @property
    def is_for_day_ahead(self) -> bool:
        """Whether something is set that only a day-ahead market has."""
        return bool(self.known_before_gate or self.score_from or self.orders or self.overnight)
