"""Awards until they are measured, without Kafka: who kept a region from delivering them."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.dispatch import DispatchEvent, DispatchStatus
from schemas.encoding import encode_json
from schemas.market import Award, Delivery, Shortfall
from schemas.windows import RegionWindow
from tests.support.award_story import AWARDED_W, AWARDS, events_of, windows_of
from tests.support.control_requests import target
from tests.support.kafka_raw import Raw, take
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.awards import OpenAwards
from vpp_streams.process.health import HealthReporter

NINTH = AWARDS[9]
BEGIN = NINTH.start_ms + 90_000
ORDER = target(
    "emergency-1", export_w=0.0, priority="emergency", issued_at_ms=BEGIN,
    starts_at_ms=BEGIN, ends_at_ms=ends_ms(AWARDS[10]), best_effort=True,
)  # fmt: skip


def given_w(start_ms: int) -> float:
    return 0.0 if BEGIN < start_ms < ORDER.ends_at_ms else AWARDED_W


class Desk:
    """Open awards whose records are kept."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.sent: list[msgspec.Struct] = []
        self.health = HealthReporter("optimizer")
        self.awards = OpenAwards(self.health, self._send, lambda: self.now_ms)

    async def _send(self, _topic: Topic[Any], record: msgspec.Struct) -> None:
        self.sent.append(record)

    def read(self, feed: Feed[Any], records: Iterable[msgspec.Struct]) -> None:
        for record in records:
            assert not take(feed, Raw(encode_json(record)), self.health.counters)

    def hear(self, events: Iterable[DispatchEvent], windows: Iterable[RegionWindow]) -> None:
        self.read(self.awards.rulings(), events)
        self.read(self.awards.windows(), windows)
        self.awards.read_back.set()

    async def keep(self, *awards: Award) -> list[msgspec.Struct]:
        """What is sent once the awards are known, until they have been looked at."""
        for award in awards:
            self.awards.apply(award)
        keeping = asyncio.create_task(self.awards.keep_for_ever())
        for _turn in range(3 * len(awards)):
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        return self.sent


async def test_an_order_is_in_the_delivery_also_after_a_restart() -> None:
    events, windows = list(events_of((BEGIN, ORDER))), windows_of(given_w).values()
    told: list[list[msgspec.Struct]] = []
    for _start in range(2):
        desk = Desk(ends_ms(AWARDS[12]))
        desk.hear(events, windows)
        told.append(await desk.keep(*AWARDS[8:14]))
    assert told[0] == told[1]
    found = [one for one in told[0] if isinstance(one, Delivery)]
    assert [one.overridden_s for one in found] == [0.0, 210.0, 300.0, 0.0, 0.0]
    assert found[1].overridden_by == ("emergency-1",)
    assert (found[1].needed_w, found[1].given_w) == (AWARDED_W, AWARDED_W)
    assert (found[2].needed_w, found[2].given_w) == (None, None)


async def test_nothing_is_measured_before_it_is_known_who_ruled() -> None:
    desk = Desk(ends_ms(NINTH))
    desk.read(desk.awards.windows(), windows_of(given_w).values())
    assert await desk.keep(NINTH) == []
    desk.read(desk.awards.rulings(), events_of((BEGIN, ORDER)))
    desk.awards.read_back.set()
    (delivery,) = await desk.keep(NINTH)
    assert isinstance(delivery, Delivery)
    assert delivery.overridden_s == 210.0


async def test_the_market_learns_whose_order_it_is_and_the_fleet_is_not_blamed() -> None:
    now_ms = BEGIN + 10_000
    status = DispatchStatus(
        region="north", at_ms=now_ms, mode="target", request_id="emergency-1", asked_w=0.0,
        measured_w=0.0, net_load_w=0.0, capability=(), states={},
        partitions_expected=1, partitions_heard=1,
    )  # fmt: skip
    desk = Desk(now_ms)
    desk.hear((e for e in events_of((BEGIN, ORDER)) if e.at_ms <= now_ms), ())
    desk.awards.apply(status)
    found = [one for one in await desk.keep(NINTH) if isinstance(one, Shortfall)]
    assert [(one.missing_w, one.overridden_by) for one in found] == [(60e3, ("emergency-1",))]
    assert desk.health.counters["awards_overridden"] == 1
    assert desk.health.counters["shortfalls"] == 0
    failing = Desk(now_ms)
    failing.hear(events_of(), ())
    own = {"request_id": NINTH.bid_id, "asked_w": 60e3, "missing_w": 20e3}
    failing.awards.apply(msgspec.structs.replace(status, **own))
    found = [one for one in await failing.keep(NINTH) if isinstance(one, Shortfall)]
    assert [(one.missing_w, one.overridden_by) for one in found] == [(20e3, ())]
    assert failing.health.counters["shortfalls"] == 1
