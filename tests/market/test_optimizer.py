"""A bid in time, whatever the decision does: the optimizer without processes or Kafka."""

import threading
from collections.abc import Callable

import msgspec
import pytest

from schemas.assets import Device, Site
from schemas.dispatch import DispatchStatus
from schemas.encoding import encode_json
from schemas.grid import PriceSeries
from schemas.market import Bid, Clearing, EnergyOffer, Gate, PlanView, Step
from schemas.windows import Deliverable
from tests.support.kafka_raw import Raw, take
from tests.support.market_world import SellsWhenDear
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.sim_market import sim_rules
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.optimizer import Optimizer, battery_regions
from vpp_streams.process.connection import onlooker
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

NOW = 1_800_000_000_000
MINUTE = 60_000
GATE = Gate(market="sim", start_ms=NOW + MINUTE, interval_ms=MINUTE, gate_ms=NOW + MINUTE - 10_000)
ID = bid_id("sim", "north", GATE.start_ms)
Decide = Callable[[CycleInputs], tuple[Bid, PlanView | None]]


class Bidder(Autobidder):
    """Decides as a test says."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    def decide(
        self, inputs: CycleInputs, clock: Callable[[], float], deadline_s: float
    ) -> tuple[Bid, PlanView | None]:
        return self._decide(inputs)


class Desk:
    """An optimizer whose records are kept."""

    def __init__(self, make_bidder: Callable[[], Autobidder]) -> None:
        self.now_ms = NOW
        self.sent: list[tuple[str, msgspec.Struct]] = []
        self.health = HealthReporter("optimizer")
        self.optimizer = Optimizer(
            onlooker(KafkaClients(Settings())),
            lambda: ["north"],
            self.health,
            self._send,
            lambda: self.now_ms,
            rules_of=sim_rules,
            make_bidder=make_bidder,
        )
        self._offset = 0

    async def _send(self, topic: Topic, record: msgspec.Struct) -> None:
        self.sent.append((topic.name, record))

    def hear(self, topic: Topic, value: bytes) -> None:
        feed = Feed(topic, self.optimizer.taking(topic))
        take(feed, Raw(value, offset=self._offset), self.health.counters)
        self._offset += 1

    @property
    def bids(self) -> list[Bid]:
        return [record for _, record in self.sent if isinstance(record, Bid)]


def desk(decide: Decide) -> Desk:
    return Desk(lambda: Bidder(decide))


def status(up_w: float = 50e3) -> bytes:
    return encode_json(
        DispatchStatus(
            region="north",
            at_ms=NOW,
            mode="idle",
            measured_w=0.0,
            net_load_w=0.0,
            capability=(Deliverable(900, up_w, 40e3), Deliverable(14_400, 5e3, 5e3)),
            states={},
            partitions_expected=1,
            partitions_heard=1,
        )
    )


def offers(offer: EnergyOffer) -> Decide:
    return lambda inputs: (msgspec.structs.replace(safe_bid(inputs, ()), energy=offer), None)


async def test_a_decision_that_fails_is_replaced_by_a_safe_bid() -> None:
    def fails(_inputs: CycleInputs) -> tuple[Bid, None]:
        raise ZeroDivisionError("a bug")

    at = desk(fails)
    await at.optimizer.bid_for(GATE, "north")
    (bid,) = at.bids
    assert (bid.bid_id, bid.rung, bid.energy) == (ID, "safe", EnergyOffer(0.0))
    assert "a bug" in bid.faults[0]
    assert at.health.counters["decisions_failed"] == 1


async def test_a_decision_that_never_ends_is_not_waited_for() -> None:
    over = threading.Event()

    def hangs(inputs: CycleInputs) -> tuple[Bid, None]:
        over.wait()
        return safe_bid(inputs, ("too late",)), None

    at = desk(hangs)
    at.now_ms = GATE.gate_ms - 100
    try:
        await at.optimizer.bid_for(GATE, "north")
    finally:
        over.set()
    (bid,) = at.bids
    assert bid.faults == ("the decision took too long",)


@pytest.mark.parametrize(
    ("offer", "fault"),
    [
        (EnergyOffer(10.0, (Step(1.0, 5.0),)), "power falls"),
        (EnergyOffer(float("nan")), "Expected `float`"),
        (EnergyOffer(1e13), "<= 1"),
    ],
)
async def test_a_decision_that_is_no_bid_is_replaced(offer: EnergyOffer, fault: str) -> None:
    at = desk(offers(offer))
    await at.optimizer.bid_for(GATE, "north")
    (bid,) = at.bids
    assert bid.energy == EnergyOffer(0.0)
    assert fault in bid.faults[0]


async def test_what_is_not_there_is_not_sold() -> None:
    at = desk(offers(EnergyOffer(-60e3, (Step(50.0, 70e3),))))
    at.hear(topics.DISPATCH_EVENTS, status())
    await at.optimizer.bid_for(GATE, "north")
    (bid,) = at.bids
    assert bid.energy.below_w == pytest.approx(-40e3, abs=2)
    assert bid.energy.steps[0].power_w == pytest.approx(50e3, abs=2)
    assert bid.faults


async def test_an_interval_has_one_bid() -> None:
    at = desk(offers(EnergyOffer(0.0)))
    await at.optimizer.bid_for(GATE, "north")
    await at.optimizer.bid_for(GATE, "north")
    assert len(at.bids) == 1
    successor = desk(offers(EnergyOffer(1.0)))
    successor.hear(topics.MARKET_BIDS, encode_json(at.bids[0]))
    await successor.optimizer.bid_for(GATE, "north")
    assert successor.bids == []


async def test_after_the_gate_there_is_no_bid() -> None:
    at = desk(offers(EnergyOffer(0.0)))
    at.now_ms = GATE.gate_ms
    await at.optimizer.bid_for(GATE, "north")
    assert at.bids == []
    assert at.health.counters["gates_missed"] == 1


async def test_an_unreadable_record_is_counted_and_passed_over() -> None:
    at = desk(offers(EnergyOffer(0.0)))
    at.hear(topics.MARKET_AWARDS, b"{")
    at.hear(topics.REGION_LIVE, b'{"type":"x"}')
    await at.optimizer.bid_for(GATE, "north")
    assert at.health.counters["records_rejected"] == 2
    assert at.bids[0].sources == ()  # what is refused is no input


async def test_what_a_region_told_long_ago_is_not_known() -> None:
    seen: list[CycleInputs] = []

    def look(inputs: CycleInputs) -> tuple[Bid, None]:
        seen.append(inputs)
        return safe_bid(inputs, ()), None

    for age_ms in (15_000, 15_001):
        at = desk(look)
        at.now_ms = NOW + age_ms
        at.hear(topics.DISPATCH_EVENTS, status())
        await at.optimizer.bid_for(GATE, "north")
    fresh, old = seen
    assert fresh.storage is not None
    assert (fresh.storage.discharge_w, fresh.stored_wh) == (50e3, 20e3)
    assert fresh.storage.energy_wh == 40e3
    assert old.storage is old.stored_wh is None


async def test_devices_are_told_the_plans_prices_but_not_each_time() -> None:
    at = Desk(SellsWhenDear)
    for k in range(3):
        clearing = Clearing(
            market="sim",
            start_ms=NOW - k * MINUTE,
            interval_ms=MINUTE,
            cleared_at_ms=NOW,
            prices={"energy": 10.0 * k},
            currency="USD",
        )
        at.hear(topics.MARKET_AWARDS, encode_json(clearing))
    at.hear(topics.DISPATCH_EVENTS, status())
    await at.optimizer.bid_for(GATE, "north")
    later = msgspec.structs.replace(
        GATE, start_ms=GATE.start_ms + MINUTE, gate_ms=GATE.gate_ms + MINUTE
    )
    await at.optimizer.bid_for(later, "north")
    (told,) = [r for _, r in at.sent if isinstance(r, PriceSeries)]
    assert told.region == "north"
    assert told.per_mwh == (10.0, 10.0, 10.0)
    plans = [r for _, r in at.sent if isinstance(r, PlanView)]
    assert [name for name, r in at.sent if isinstance(r, PlanView)] == ["market.plans"] * 2
    assert [topics.MARKET_PLANS.key.of(plan) for plan in plans] == ["plan:sim:north"] * 2


def test_regions_without_a_battery_are_not_bid_for() -> None:
    battery = Device(device_id="b", kind="megapack", rated_energy_wh=1e6)
    registry = Registry(
        [
            Site(site_id="1", region="north", devices=(battery,)),
            Site(site_id="2", region="south", devices=(Device(device_id="s", kind="solar"),)),
        ]
    )
    assert battery_regions(registry) == ["north"]
    registry.apply(Site(site_id="1", region="north", devices=(battery,), removed=True))
    assert battery_regions(registry) == []
