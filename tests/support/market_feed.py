"""A day of one region in the simulated market, as its topics tell it; nothing is decided here."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from schemas.market import (
    Award,
    Bid,
    CapacityOffer,
    Clearing,
    Delivery,
    EnergyOffer,
    Gate,
    InputOffset,
    MarketTopicRecord,
    PlanView,
    Product,
    Refusal,
    Shortfall,
    Step,
)
from tests.support.web_records import NOW_MS
from tests.support.web_world import apply
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.sim_market import SimMarket, sim_rules
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.readmodel import ReadModel

MINUTE = 60_000
RULES = sim_rules(5 * MINUTE, MINUTE // 2)
MARKET = SimMarket(RULES)
OPEN_MS = NOW_MS - NOW_MS % RULES.interval_ms + RULES.interval_ms
"""Start of the interval whose gate is open at `NOW_MS`."""
POWER_W, STEPS = 320_000.0, 288
REFUSED_MS = OPEN_MS - 40 * RULES.interval_ms
FAULT = "12 prices outside of floor and cap were left out"


def at(start_ms: int, region: str = "north") -> str:
    """Return the id of a bid for the interval that starts then."""
    return bid_id("sim", region, start_ms)


def bid(start_ms: int, region: str = "north", **changes: Any) -> Bid:
    """Return a bid for one interval; ``changes`` are its fields."""
    told: dict[str, Any] = {
        "bid_id": at(start_ms, region),
        "market": "sim",
        "region": region,
        "start_ms": start_ms,
        "interval_ms": RULES.interval_ms,
        "gate_ms": start_ms - RULES.gate_ms,
        "made_at_ms": start_ms - RULES.gate_ms - MINUTE // 2,
        "rung": "warm_lp",
        "energy": EnergyOffer(
            -POWER_W,
            (
                Step(4.5, -0.4 * POWER_W),
                Step(11.25, 0.0),
                Step(71.3, 0.5 * POWER_W),
                Step(88.25, POWER_W),
            ),
        ),
        "capacity": (
            CapacityOffer("reg_up", 0.3 * POWER_W, 4.1),
            CapacityOffer("reg_down", 0.2 * POWER_W, 2.75),
        ),
        "currency": "USD",
        "expected_w": 0.0,
        "expected_price": 46.2,
        "stored_wh": 742_000.0,
        "up_w": 0.96 * POWER_W,
        "down_w": 0.96 * POWER_W,
        "withheld_w": 0.04 * POWER_W,
        "withheld_cost": 0.05,
        "solve_ms": 9.4,
        "sources": (InputOffset("market.awards", 0, 4711), InputOffset("region.live", 0, 902)),
    }
    return Bid(**{**told, **changes})


def energy_prices(first_ms: int, count: int) -> list[float]:
    """Return the day's energy prices from the first interval on."""
    starts = np.arange(count, dtype=np.int64) * RULES.interval_ms + first_ms
    prices: list[float] = MARKET.prices_of(starts)["energy"].tolist()
    return prices


def plan(start_ms: int, region: str = "north", steps: int = STEPS) -> PlanView:
    """Return the plan that the optimizer published with a bid."""
    known = energy_prices(start_ms - 12 * RULES.interval_ms, steps + 24)
    price = [float(np.median(known[k : k + 25])) for k in range(steps)]
    spread = [4.0 + (0.25 + 0.1 * min(k / 60, 1.0)) * abs(p) for k, p in enumerate(price)]
    power_w = [POWER_W if p > 72 else (-0.8 * POWER_W if p < 6 else 0.0) for p in price]
    return PlanView(
        market="sim",
        region=region,
        made_at_ms=start_ms - RULES.gate_ms - MINUTE // 2,
        start_ms=start_ms,
        interval_ms=RULES.interval_ms,
        power_w=tuple(power_w),
        stored_wh=(742_000.0,) * steps,
        price=tuple(round(p, 2) for p in price),
        price_low=tuple(round(p - s, 2) for p, s in zip(price, spread, strict=True)),
        price_high=tuple(round(p + s, 2) for p, s in zip(price, spread, strict=True)),
        currency="USD",
    )


def story(start_ms: int, region: str = "north") -> Iterator[MarketTopicRecord | Bid]:
    """An interval from its gate to its delivery."""
    one: dict[str, Any] = {"bid_id": at(start_ms, region), "market": "sim", "region": region}
    gate_ms, long_ms = start_ms - RULES.gate_ms, RULES.interval_ms
    price = energy_prices(start_ms, 1)[0]
    yield Gate(market="sim", start_ms=start_ms, interval_ms=long_ms, gate_ms=gate_ms)
    view = plan(start_ms, region, STEPS if start_ms == OPEN_MS else 1)
    number = start_ms // long_ms
    rung = "fresh_lp" if number % 50 == 0 else "warm_lp"
    offered = bid(
        start_ms,
        region,
        rung=rung,
        expected_w=view.power_w[0],
        expected_price=view.price[0],
        faults=(FAULT,) if start_ms == OPEN_MS else (),
        slacks={"final_short": 1200.0} if start_ms == OPEN_MS else {},
    )
    yield offered
    yield view
    if start_ms == OPEN_MS:
        return
    times: dict[str, Any] = {"start_ms": start_ms, "interval_ms": long_ms}
    prices = {"energy": price}
    told: dict[str, Any] = {
        "market": "sim",
        "prices": prices,
        "currency": "USD",
        "cleared_at_ms": gate_ms,
    }
    yield Clearing(**times, **told)
    if start_ms == REFUSED_MS:
        yield Refusal(**one, at_ms=gate_ms, reason="it came 120 ms after the gate")
        return
    awarded_w = cleared_power_w(offered.energy, price)
    capacity_w: dict[Product, float] = {"reg_up": 96_000.0} if number % 3 == 0 else {}
    del told["market"]
    yield Award(**one, **times, **told, energy_w=awarded_w, capacity_w=capacity_w)
    measured_w = awarded_w * (1 - 0.006 * (1 + np.sin(number))) + 400 * np.sin(2 * number)
    if number % 67 == 0 and awarded_w:
        deliverable: dict[str, Any] = {"awarded_w": awarded_w, "deliverable_w": 0.8 * awarded_w}
        missing_w = 0.2 * awarded_w
        yield Shortfall(
            **one, at_ms=start_ms, start_ms=start_ms, missing_w=missing_w, **deliverable
        )
        measured_w *= 0.8
    if start_ms + long_ms > NOW_MS:
        return
    yield Delivery(
        **one,
        **times,
        awarded_w=awarded_w,
        measured_w=float(measured_w),
        coverage=0.98,
        money=float(measured_w) * price * RULES.interval_h / 1e6 + sum(capacity_w.values()) * 1e-6,
        currency="USD",
    )


def topic_of(record: MarketTopicRecord | Bid) -> Topic[Any]:
    """The topic that carries a record."""
    match record:
        case Bid():
            return topics.MARKET_BIDS
        case Delivery() | Shortfall():
            return topics.MARKET_DELIVERIES
        case PlanView():
            return topics.MARKET_PLANS
        case _:
            return topics.MARKET_AWARDS


def feed(model: ReadModel, record: MarketTopicRecord | Bid, now_ms: int = NOW_MS) -> None:
    """A record as the topic that it is of would bring it."""
    apply(model, topic_of(record), record, now_ms=now_ms)


def feed_market(
    model: ReadModel, intervals: int = 280, regions: tuple[str, ...] = ("north",)
) -> None:
    """So many intervals up to the one whose gate is open now."""
    for start_ms in range(
        OPEN_MS - (intervals - 1) * RULES.interval_ms, OPEN_MS + 1, RULES.interval_ms
    ):
        for region in regions:
            for record in story(start_ms, region):
                feed(model, record)
