"""Two hours of awards of a region in which other requests come between, as its records tell it."""

from collections.abc import Callable, Iterable, Iterator

from schemas.dispatch import DispatchEvent, Request, Target
from schemas.market import Award, Delivery
from schemas.windows import RegionWindow
from tests.support.control_requests import T0, target
from tests.support.region_window_factory import MINUTE_MS, region_window
from vpp_streams.domain.control.requests import Book
from vpp_streams.domain.market.delivery import measured
from vpp_streams.domain.market.ledger import bid_id, ends_ms
from vpp_streams.domain.market.overrides import Overrides
from vpp_streams.market.awards import AHEAD_MS, OVERLAP_MS

INTERVAL_MS = 5 * MINUTE_MS
AWARDED_W = 60_000.0
FEEDERS = {"north": {"f1"}}


def award(start_ms: int) -> Award:
    """Return the award of the interval that starts then."""
    return Award(
        bid_id=bid_id("sim", "north", start_ms),
        market="sim",
        region="north",
        start_ms=start_ms,
        interval_ms=INTERVAL_MS,
        cleared_at_ms=start_ms - 30_000,
        energy_w=AWARDED_W,
        prices={"energy": 100.0},
        currency="USD",
    )


AWARDS = [award(T0 + k * INTERVAL_MS) for k in range(24)]
IDS = {one.bid_id for one in AWARDS}


def target_of(one: Award) -> Target:
    """Return the target that the optimizer writes for an award."""
    return target(
        one.bid_id,
        export_w=one.energy_w,
        starts_at_ms=one.start_ms - AHEAD_MS,
        ends_at_ms=ends_ms(one) - AHEAD_MS + OVERLAP_MS,
        priority="market",
        source="market:sim",
        issued_at_ms=one.cleared_at_ms,
        best_effort=True,
    )


def events_of(*others: tuple[int, Request]) -> Iterator[DispatchEvent]:
    """What the region reports of all awards' targets, and of requests that come at given times."""
    requests: list[tuple[int, Request]] = [(a.cleared_at_ms, target_of(a)) for a in AWARDS]
    requests = sorted([*requests, *others], key=lambda pair: pair[0])
    book = Book()
    for now_ms in range(T0 - MINUTE_MS, ends_ms(AWARDS[-1]) + 10_000, 500):
        while requests and requests[0][0] <= now_ms:
            yield from book.apply(requests.pop(0)[1], now_ms, FEEDERS, {})
        yield from book.advance(now_ms)


def windows_of(power_w: Callable[[int], float]) -> dict[int, RegionWindow]:
    """The windows of the two hours, with a battery power by the start of each."""
    starts = range(T0, ends_ms(AWARDS[-1]), MINUTE_MS)
    return {start: region_window(start, power_w(start)) for start in starts}


def deliveries_of(
    events: Iterable[DispatchEvent], windows: dict[int, RegionWindow]
) -> list[Delivery]:
    """The deliveries of all awards."""
    known = Overrides()
    for event in events:
        known.apply(event)
    return [measured(one, windows, known.of(one, IDS)) for one in AWARDS]
