"""A backtest: the Autobidder walks forward through the prices of a file.

The walks are in `vpp_streams.domain.market.backtest`; here they are given what a user has chosen.
"""

import time
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import holidays

from vpp_streams.domain.market.backtest.day_walk import ERROR_DAYS
from vpp_streams.domain.market.backtest.days import Forecaster, walk_days
from vpp_streams.domain.market.backtest.result import Summary, Trace
from vpp_streams.domain.market.backtest.run import walk
from vpp_streams.domain.market.forecast.day_ahead import day_ahead
from vpp_streams.domain.market.forecast.days import naive, profile
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import InputError
from vpp_streams.replay.backtest_inputs import BacktestInputs, open_inputs
from vpp_streams.replay.backtest_settings import BacktestSettings, ForecastName

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a display of so many units of a name; yields the function to call after each unit."""


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a backtest found, and the market that it was run on."""

    summary: Summary
    trace: Trace
    market: ReplayMarket


def run_backtest(
    settings: BacktestSettings, *, say: Callable[[str], None], progress: Progress
) -> BacktestResult:
    """Bid a fleet into recorded prices. Raises `InputError` where that is not possible.

    ``say`` is called with each finding about the price file, before the walk begins.
    """
    inputs = open_inputs(settings, say)
    if inputs.market.auction == "day":
        return _walk_days(settings, inputs, progress)
    if settings.is_for_day_ahead:
        raise InputError(
            f"{settings.market} is no day-ahead market: its intervals are bid for one by one,"
            " so --known-before-gate, --score-from, --orders and --overnight mean nothing"
        )
    return _walk_intervals(inputs, progress)


def _walk_days(
    settings: BacktestSettings, inputs: BacktestInputs, progress: Progress
) -> BacktestResult:
    market, first_ms = inputs.market, None
    begins_ms, ends_ms = (int(ms) for ms in market.recorded.start_ms[[0, -1]])
    forecast = _forecaster_of(settings.forecast)
    kind_of = _kind_of_day(settings.country, market)
    if settings.score_from is not None:
        first_ms = round(settings.score_from.replace(tzinfo=market.zone).timestamp() * 1000)
        begins_ms = max(begins_ms, first_ms - ERROR_DAYS * DAY_MS)
    with _walking(progress, "days", max(ends_ms - begins_ms, 0) // DAY_MS) as moved:
        summary, trace, _ = walk_days(
            market,
            inputs.storage,
            inputs.fleet,
            forecast,
            kind_of,
            clock=time.perf_counter,
            known_before=_known_before(settings, inputs),
            first_ms=first_ms,
            on_day=moved,
            strategy=settings.orders,
            overnight=settings.overnight,
        )
    return BacktestResult(summary, trace, market)


def _walk_intervals(inputs: BacktestInputs, progress: Progress) -> BacktestResult:
    market, fleet = inputs.market, inputs.fleet
    total = sum(run.stop - run.start for run in market.recorded.runs())
    if not fleet.always_answers:
        total *= 2  # walked again, as if all answered
    with _walking(progress, "intervals", total) as moved:
        summary, trace, _ = walk(
            market,
            inputs.storage,
            fleet,
            inputs.policy,
            clock=time.perf_counter,
            on_interval=moved,
        )
    return BacktestResult(summary, trace, market)


@contextmanager
def _walking(progress: Progress, unit: str, total: int) -> Iterator[Callable[[], None]]:
    with progress(unit, total) as moved:
        try:
            yield moved
        except ValueError as error:  # the walks raise it about what a user has given
            raise InputError(str(error)) from None


def _known_before(settings: BacktestSettings, inputs: BacktestInputs) -> dict[str, Series]:
    """The columns that were known before the gate, by name."""
    ((zone, prices),) = inputs.reading.prices.items()
    columns = inputs.reading.extra.get(zone, {})
    return {name: Series(prices.start_ms, columns[name]) for name in settings.known_before_gate}


def _forecaster_of(name: ForecastName) -> Forecaster:
    match name:
        case "boosted":
            try:
                from vpp_streams.domain.market.forecast.boosted import Boosted  # noqa: PLC0415  # optional: it needs LightGBM
            except ImportError:
                raise InputError(
                    "--forecast boosted needs LightGBM: pip install lightgbm, or leave it out"
                ) from None
            return Boosted()
        case "profile":
            return profile
        case "naive":
            return naive
        case "lear":
            return day_ahead


def _kind_of_day(country: str | None, market: ReplayMarket) -> Callable[[int], int]:
    """A function that gives the weekday of a local day by its start; a holiday is a Sunday."""
    known: Container[date] = ()
    if country is not None:
        try:
            known = holidays.country_holidays(country.upper())
        except NotImplementedError:
            raise InputError(f"--country {country!r}: write a code such as DE, FR or AU") from None

    def kind_of(start_ms: int) -> int:
        day = datetime.fromtimestamp(start_ms / 1e3, market.zone).date()
        return 6 if day in known else day.weekday()

    return kind_of
