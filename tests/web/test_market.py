"""Markets in the read model and the API: what is kept, what is answered; no Kafka."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from schemas.market import (
    Award,
    Bid,
    Clearing,
    Delivery,
    Gate,
    MarketTopicRecord,
    PlanView,
    Refusal,
    Shortfall,
)
from tests.support.accounts_world import Entrance
from tests.support.market_feed import OPEN_MS, RULES, at, bid, feed, feed_market, plan, topic_of
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, apply, apply_raw
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving import market_model
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web

LONG_MS = RULES.interval_ms
PAST_MS = OPEN_MS - 2 * LONG_MS
"""Start of the newest interval that is over at `NOW_MS`."""


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model() -> ReadModel:
    return ReadModel(started_at_ms=NOW_MS)


@pytest_asyncio.fixture
async def client(model: ReadModel, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    entrance = Entrance()
    app = create_web(Settings(), model, clock, KafkaInMemory(), logins=entrance.logins)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=entrance.headers()
    ) as client:
        yield client


def whose(start_ms: int) -> dict[str, Any]:
    return {"bid_id": at(start_ms), "market": "sim", "region": "north"}


def award(start_ms: int, energy_w: float = 100e3, price: float = 80.0) -> Award:
    return Award(
        **whose(start_ms),
        start_ms=start_ms,
        interval_ms=LONG_MS,
        cleared_at_ms=start_ms - RULES.gate_ms,
        energy_w=energy_w,
        prices={"energy": price},
        currency="USD",
    )


def refusal(start_ms: int, reason: str = "it came after the gate") -> Refusal:
    return Refusal(**whose(start_ms), at_ms=start_ms, reason=reason)


def delivery(start_ms: int, measured_w: float = 99e3, **changes: float) -> Delivery:
    told: dict[str, Any] = {"awarded_w": 100e3, "coverage": 1.0, "money": 0.5, **changes}
    return Delivery(
        **whose(start_ms),
        start_ms=start_ms,
        interval_ms=LONG_MS,
        measured_w=measured_w,
        currency="USD",
        **told,
    )


def shortfall(start_ms: int, missing_w: float) -> Shortfall:
    powers: dict[str, Any] = {
        "awarded_w": -100e3,
        "deliverable_w": -100e3 - missing_w,
        "missing_w": missing_w,
    }
    return Shortfall(**whose(start_ms), at_ms=start_ms, start_ms=start_ms, **powers)


def clearing(start_ms: int, price: float, interval_ms: int = LONG_MS) -> Clearing:
    return Clearing(
        market="sim",
        start_ms=start_ms,
        interval_ms=interval_ms,
        cleared_at_ms=start_ms,
        prices={"energy": price},
        currency="USD",
    )


def forecast(start_ms: int, low: float, mid: float, high: float) -> PlanView:
    return PlanView(
        market="sim",
        region="north",
        made_at_ms=start_ms - LONG_MS,
        start_ms=start_ms,
        interval_ms=LONG_MS,
        power_w=(75e3,),
        stored_wh=(500e3,),
        price=(mid,),
        price_low=(low,),
        price_high=(high,),
        currency="USD",
    )


def feed_all(model: ReadModel, *records: MarketTopicRecord | Bid) -> None:
    for record in records:
        feed(model, record)


async def get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    response = await client.get(f"/api/v1{path}")
    assert response.status_code == 200, response.text
    return response.json()


async def north(client: httpx.AsyncClient, hours: int = 6) -> dict[str, Any]:
    return await get(client, f"/markets/sim/north?hours={hours}")


async def test_a_bid_goes_from_open_to_delivered(
    client: httpx.AsyncClient, model: ReadModel, clock: Clock
) -> None:
    offered = bid(OPEN_MS)
    path = f"/bids/{offered.bid_id}"
    feed(model, offered)
    assert (await get(client, path))["state"] == "open"
    assert [o["bid_id"] for o in (await north(client))["offers"]] == [offered.bid_id]
    clock.now_ms = offered.gate_ms
    assert (await get(client, path))["state"] == "closed"
    feed(model, award(OPEN_MS))
    assert (await get(client, path))["state"] == "awarded"
    view = await north(client)
    assert (view["offers"], [a["state"] for a in view["awards"]]) == ([], ["awarded"])
    feed(model, delivery(OPEN_MS))
    told = await get(client, path)
    assert told["state"] == "delivered"
    assert (told["bid"]["rung"], told["award"]["energy_w"]) == ("warm_lp", 100e3)
    assert (told["delivery"]["measured_w"], told["price"]) == (99e3, 80.0)


async def test_a_refused_bid_says_why(client: httpx.AsyncClient, model: ReadModel) -> None:
    feed_all(model, bid(PAST_MS), refusal(PAST_MS, "it came 120 ms after the gate"))
    told = await get(client, f"/bids/{at(PAST_MS)}")
    assert (told["state"], told["award"]) == ("refused", None)
    assert told["refusal"]["reason"] == "it came 120 ms after the gate"
    [row] = (await north(client))["awards"]
    assert (row["state"], row["reason"]) == ("refused", "it came 120 ms after the gate")


async def test_of_an_id_the_first_bid_outcome_and_delivery_stand(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    first = bid(PAST_MS, rung="coarse_lp")
    feed_all(model, first, bid(PAST_MS, rung="safe"))
    feed_all(model, award(PAST_MS, 100e3), refusal(PAST_MS), award(PAST_MS, 5e3))
    feed_all(model, delivery(PAST_MS, 99e3), delivery(PAST_MS, 1.0))
    told = await get(client, f"/bids/{at(PAST_MS)}")
    assert told["bid"]["rung"] == "coarse_lp"
    assert (told["award"]["energy_w"], told["refusal"]) == (100e3, None)
    assert told["delivery"]["measured_w"] == 99e3
    other_ms = PAST_MS - LONG_MS
    feed_all(model, refusal(other_ms), award(other_ms))
    assert (await get(client, f"/bids/{at(other_ms)}"))["state"] == "refused"


async def test_of_shortfalls_the_newest_stands_whatever_its_sign(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    running_ms = OPEN_MS - LONG_MS
    feed_all(model, bid(PAST_MS), bid(running_ms), award(running_ms, -100e3))
    feed_all(model, Gate(market="sim", start_ms=OPEN_MS, interval_ms=LONG_MS, gate_ms=OPEN_MS - 1))
    feed_all(model, shortfall(PAST_MS, -9e3), shortfall(running_ms, -30e3))

    async def told() -> tuple[float, float, int]:
        [now] = (await get(client, "/markets"))["markets"][0]["regions"]
        view = await north(client)
        return now["missing_w"], view["awards"][0]["missing_w"], view["totals"]["short"]

    assert await told() == (30e3, -30e3, 2)
    feed(model, shortfall(running_ms, 0.0))
    assert await told() == (0.0, 0.0, 1)


async def test_totals_and_columns_are_those_worked_out_by_hand(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    first_ms, second_ms, third_ms = (PAST_MS - n * LONG_MS for n in (2, 1, 0))
    for start_ms in (first_ms, second_ms, third_ms):
        feed_all(model, bid(start_ms), forecast(start_ms, 40.0, 50.0, 60.0))
    feed_all(model, clearing(first_ms, 58.0), clearing(second_ms, 80.0), clearing(third_ms, 44.0))
    feed_all(model, award(first_ms, 100e3, 58.0), award(second_ms, -50e3, 80.0))
    feed_all(model, refusal(third_ms))
    feed(model, delivery(first_ms, 97e3, awarded_w=100e3, money=0.4))
    feed(model, delivery(second_ms, -53e3, awarded_w=-50e3, money=-0.25))
    view = await north(client)
    totals = view["totals"]
    assert totals["money"] == pytest.approx(0.15)
    assert totals["delivery_error"] == pytest.approx((3e3 + 3e3) / 150e3)
    assert totals["forecast_error"] == pytest.approx((8 + 30 + 6) / 3)
    assert totals["forecast_inside"] == pytest.approx(2 / 3)
    assert [totals[n] for n in ("bids", "awards", "refused", "delivered")] == [3, 2, 1, 2]
    assert totals["rungs"] == {"warm_lp": 3}
    columns = view["intervals"]
    assert columns["start_ms"] == [first_ms, second_ms, third_ms]
    assert columns["price"] == [58.0, 80.0, 44.0]
    assert (columns["price_low"][0], columns["price_mid"][0], columns["price_high"][0]) == (
        40,
        50,
        60,
    )
    assert columns["plan_w"] == [75e3] * 3
    assert columns["awarded_w"] == [100e3, -50e3, None]
    assert columns["measured_w"] == [97e3, -53e3, None]
    assert columns["money_sum"] == [0.4, 0.15, None]


async def test_what_was_not_measured_is_never_0(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    feed_all(model, bid(PAST_MS), award(PAST_MS), delivery(PAST_MS, 0.0, coverage=0.0, money=0.0))
    view = await north(client)
    assert view["intervals"]["measured_w"] == [None]
    assert view["awards"][0]["measured_w"] is None
    assert view["totals"]["delivery_error"] is None


async def test_hours_choose_the_intervals_and_not_the_totals(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    feed_market(model, intervals=40)
    one, six = await north(client, 1), await north(client, 6)
    assert min(one["intervals"]["start_ms"]) >= NOW_MS - 3_600_000
    assert len(one["intervals"]["start_ms"]) == 13
    assert len(six["intervals"]["start_ms"]) == 40
    assert one["totals"] == six["totals"]


async def test_a_market_tells_its_newest_price_and_the_gate_that_is_open(
    client: httpx.AsyncClient, model: ReadModel, clock: Clock
) -> None:
    gate = Gate(market="sim", start_ms=OPEN_MS, interval_ms=LONG_MS, gate_ms=NOW_MS + 1)
    feed_all(model, clearing(PAST_MS, 61.5), gate, bid(OPEN_MS))
    [now] = (await get(client, "/markets"))["markets"]
    assert (now["newest_price_ms"], now["newest_price"]) == (PAST_MS, 61.5)
    assert (now["gate_ms"], now["currency"], now["interval_ms"]) == (NOW_MS + 1, "USD", LONG_MS)
    assert [r["region"] for r in now["regions"]] == ["north"]
    clock.now_ms += 1
    assert (await get(client, "/markets"))["markets"][0]["gate_ms"] is None
    clock.now_ms += DAY_MS
    assert (await get(client, "/markets"))["markets"] == []


async def test_intervals_of_another_length_do_not_overlap_those_of_now(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    feed_all(model, bid(PAST_MS), clearing(PAST_MS, 61.5))
    short = {"start_ms": OPEN_MS, "interval_ms": 30_000}
    feed(model, Gate(market="sim", gate_ms=OPEN_MS - 1, **short))
    feed_all(model, bid(OPEN_MS, interval_ms=30_000), clearing(OPEN_MS, 70.0, 30_000))
    view = await north(client)
    assert (view["interval_ms"], view["intervals"]["start_ms"]) == (30_000, [OPEN_MS])
    assert view["totals"]["bids"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        bid(PAST_MS, bid_id="sim:south:1"),
        bid(PAST_MS, bid_id=at(PAST_MS + 1)),
        msgspec.structs.replace(award(PAST_MS), bid_id="sim:north"),
        msgspec.structs.replace(refusal(PAST_MS), bid_id="sim:north:soon"),
        msgspec.structs.replace(refusal(PAST_MS), bid_id=f"sim:north:0{PAST_MS}"),
        msgspec.structs.replace(delivery(PAST_MS), market="other"),
    ],
    ids=["another's", "another time", "no time", "a word", "a zero ahead", "another market"],
)
def test_an_id_that_is_not_the_intervals_is_counted_and_left_out(
    model: ReadModel, wrong: Award | Bid | Delivery | Refusal
) -> None:
    feed(model, wrong)
    assert model.undecodable == {topic_of(wrong).name: 1}
    assert model.markets.all(NOW_MS).markets == []
    assert model.markets.pairs() == []


def test_what_is_no_record_of_a_market_is_counted_and_left_out(model: ReadModel) -> None:
    market_topics: tuple[Topic[Any], ...] = (
        topics.MARKET_BIDS,
        topics.MARKET_AWARDS,
        topics.MARKET_DELIVERIES,
        topics.MARKET_PLANS,
    )
    for topic in market_topics:
        for value in (b"", b"{}", b'{"type":"bid"}', b"\xff", b"[" * 5000):
            apply_raw(model, topic, None, value, offset=0, now_ms=NOW_MS)
    assert model.undecodable == {topic.name: 5 for topic in market_topics}


def test_deliveries_and_plans_of_older_versions_are_read_where_they_were_written(
    model: ReadModel,
) -> None:
    for record in (delivery(PAST_MS), plan(PAST_MS)):
        apply(model, topics.MARKET_AWARDS, record, now_ms=NOW_MS)
    assert model.undecodable == {}
    assert model.markets.view("sim", "north", 1, NOW_MS).totals.delivered == 1


def test_no_more_is_kept_than_a_day_of_so_many_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_model, "MAX_INTERVALS", 5)
    monkeypatch.setattr(market_model, "MAX_REGIONS", 3)
    monkeypatch.setattr(market_model, "MAX_MARKETS", 2)
    kept = market_model.Markets()
    for n in range(20):
        kept.apply(bid(PAST_MS + n), NOW_MS)
        kept.apply(clearing(PAST_MS + n, 1.0), NOW_MS)
    assert list(kept.regions["sim", "north"].intervals) == [PAST_MS + n for n in range(15, 20)]
    assert list(kept.books["sim"].prices) == [PAST_MS + n for n in range(15, 20)]
    for far_ms in (NOW_MS - DAY_MS - 1, NOW_MS + DAY_MS + 1):
        kept.apply(bid(far_ms, "elsewhere"), NOW_MS)
        kept.apply(clearing(far_ms, 1.0), NOW_MS)
    assert list(kept.regions) == [("sim", "north")]
    for n in range(5):
        names = {"market": f"m{n}", "bid_id": f"m{n}:north:{PAST_MS}"}
        kept.apply(msgspec.structs.replace(bid(PAST_MS), **names), NOW_MS + 1 + n)
    assert list(kept.regions) == [("m2", "north"), ("m3", "north"), ("m4", "north")]
    assert list(kept.books) == ["m3", "m4"]


def test_a_day_later_what_is_old_leaves_as_news_come(model: ReadModel) -> None:
    feed_all(model, bid(PAST_MS), clearing(PAST_MS, 1.0))
    later_ms = PAST_MS + DAY_MS + LONG_MS
    feed(model, bid(later_ms), now_ms=later_ms)
    assert model.markets.bid(at(PAST_MS), later_ms) is None
    assert model.markets.newest_ids(3, lambda region: region == "north") == [at(later_ms)]


async def test_a_view_has_a_tag_that_is_the_same_until_something_changes(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    feed_market(model, intervals=5)
    path = "/api/v1/markets/sim/north"
    first = await client.get(path)
    tag = first.headers["ETag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await client.get(path, headers={"If-None-Match": sent})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    other = await client.get(path, params={"hours": 1}, headers={"If-None-Match": '"other"'})
    assert other.status_code == 200
    feed(model, bid(OPEN_MS, "south"))  # of this market, yet nothing of north
    assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
    feed(model, award(OPEN_MS))
    changed = await client.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["ETag"] != tag) == (200, True)


async def test_an_offer_leaves_the_list_when_its_interval_begins(
    client: httpx.AsyncClient, model: ReadModel, clock: Clock
) -> None:
    feed(model, bid(OPEN_MS))
    tag = (await client.get("/api/v1/markets/sim/north")).headers["ETag"]
    clock.now_ms = OPEN_MS
    again = await client.get("/api/v1/markets/sim/north", headers={"If-None-Match": tag})
    assert again.json()["offers"] == []


@pytest.mark.parametrize(
    ("path", "status", "says", "hint"),
    [
        ("/markets/sim/atlantis", 404, "'atlantis'", "sim/north"),
        ("/markets/nemo/north", 404, "'nemo'", "sim/north"),
        (
            "/bids/sim:north:1",
            404,
            "'sim:north:1'",
            f"vpp explain` reads older ones from the topic; the newest: {at(OPEN_MS)}",
        ),
        (f"/bids/sim:north:{'9' * 5000}", 404, "'sim:north:999", "vpp explain"),
        (f"/bids/sim:north:0{OPEN_MS}", 404, "sim:north:0", "vpp explain"),
        ("/markets/sim/north?hours=0", 400, "hours", "/docs"),
        ("/markets/sim/north?hours=25", 400, "hours", "/docs"),
        ("/markets/sim/north?hour=1", 400, "'hour'", "it takes hours"),
        ("/markets?market=sim", 400, "'market'", "it takes none"),
        (f"/bids/{at(OPEN_MS)}?full=1", 400, "'full'", "it takes none"),
    ],
)
async def test_a_bad_query_gets_one_sentence_and_a_way_out(  # noqa: PLR0917  # as it is called
    client: httpx.AsyncClient, model: ReadModel, path: str, status: int, says: str, hint: str
) -> None:
    feed_market(model, intervals=2)
    response = await client.get(f"/api/v1{path}")
    assert response.status_code == status
    assert says in response.json()["error"]
    assert hint in response.json()["hint"]


async def test_where_nothing_was_heard_that_is_said(client: httpx.AsyncClient) -> None:
    assert (await get(client, "/markets"))["markets"] == []
    nowhere = (await client.get("/api/v1/markets/sim/north")).json()
    assert nowhere["hint"] == "there are: none yet"
    assert "there is none yet" in (await client.get("/api/v1/bids/x")).json()["hint"]
