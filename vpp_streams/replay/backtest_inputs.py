"""What a backtest is run on: the market of a price file, and the batteries of an asset file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading
from vpp_streams.domain.market.backtest.delivery import Fleet
from vpp_streams.domain.market.backtest.setting import rules_of, storage_of_fleet
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import Storage
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.process.user_files import price_bytes, read_sites
from vpp_streams.replay.backtest_settings import BacktestSettings

SEED = 1
_DAYS_OF_UTC = (
    "the auction's days are taken to begin at midnight UTC; where they begin at another zone's,"
    " give it with --time-zone, such as Europe/Berlin"
)


@dataclass(frozen=True, slots=True)
class BacktestInputs:
    """The market, the batteries and how much of them is kept back."""

    reading: PriceReading
    market: ReplayMarket
    storage: Storage
    """All batteries as one."""
    fleet: Fleet
    policy: ReservePolicy


def open_inputs(settings: BacktestSettings, say: Callable[[str], None]) -> BacktestInputs:
    """Read the files of a backtest. Raises `InputError` where they cannot be used.

    ``say`` is called with each finding about the price file.
    """
    reading = _prices_of(settings)
    for finding in reading.report.findings:
        say(f"{settings.market.name}: {finding.what} ({finding.count}): {finding.done}")
    storage, devices = _storage_of(settings)
    market = _market_of(settings, reading)
    # A file of a fixed number of hours a day over the years has local days already.
    has_local_days = settings.time_zone is not None or bool(reading.report.of("naive_days"))
    if market.auction == "day" and not has_local_days:
        say(_DAYS_OF_UTC)
    fleet = Fleet(storage, devices, settings.answers, SEED)
    return BacktestInputs(reading, market, storage, fleet, _policy_of(settings.reserve))


def _prices_of(settings: BacktestSettings) -> PriceReading:
    """The prices of exactly one zone."""
    file = settings.market
    reading = read_price_file(
        price_bytes(file),
        name=file.name,
        zone=settings.zone,
        time_zone=settings.time_zone,
        currency=settings.currency,
        unit=settings.unit,
        decimal=settings.decimal,
        extra=settings.further_columns,
    )
    if reading.report.failure:
        raise InputError(f"{file}: {reading.report.failure}")
    if len(reading.prices) > 1:
        zones = ", ".join(sorted(reading.prices))
        raise InputError(f"{file} has several zones; choose one with --zone: {zones}")
    return reading


def _storage_of(settings: BacktestSettings) -> tuple[Storage, int]:
    """The batteries of the fleet as one, and how many sites have them."""
    file = settings.fleet
    storage, devices = storage_of_fleet(read_sites(file, Registry()), settings.efficiency)
    if storage.energy_wh <= 0 or storage.discharge_w <= 0:
        raise InputError(f"{file}: there is no battery with energy above its reserve in it")
    return replace(storage, wear_per_mwh=settings.wear_per_mwh), devices


def _market_of(settings: BacktestSettings, reading: PriceReading) -> ReplayMarket:
    name, prices = next(iter(reading.prices.items()))
    rules, auction = rules_of(prices, reading.report.format)
    if settings.energy_only:
        rules = replace(rules, products=("energy",), co_optimised=False)
    imbalance = None
    if settings.imbalance is not None:
        imbalance = reading.extra.get(name, {}).get(settings.imbalance)
        if imbalance is None:
            raise InputError(
                f"--imbalance {settings.imbalance!r}: only CSV tables have further columns"
            )
    zone = ZoneInfo(settings.time_zone or "UTC")
    return ReplayMarket(rules, prices, auction, settings.impact_per_mw, zone, imbalance)


def _policy_of(text: str) -> ReservePolicy:
    kind, _, value = text.partition(":")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if 0.0 <= share < 1.0:
        match kind:
            case "quantile" | "flat":
                return ReservePolicy(kind=kind, value=share)
            case "n-1":
                return ReservePolicy(kind="n_minus_1", value=share)
    raise InputError(f"--reserve {text!r}: write quantile:0.1, flat:0.1 or n-1:0.2")
