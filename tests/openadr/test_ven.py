"""The VEN against a small VTN: what it writes, and what it does in trouble."""

import asyncio
import re

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from schemas.dispatch import Target, Withdraw
from schemas.grid import PriceSeries
from tests.support.openadr_world import BASE, NOON, NOW, World, event
from vpp_streams.cli import build_app
from vpp_streams.errors import InputError, VppError
from vpp_streams.openadr.ven import poll_for_ever, wait_s
from vpp_streams.openadr.vtn import ClientCredentials, Vtn, VtnError, VtnRefusedError


async def test_an_event_s_life_from_the_vtn_to_the_dispatcher() -> None:
    world = World()
    world.vtn.put(event("DISPATCH_SETPOINT", -50))
    await world.session.poll()
    (target,) = world.records()
    assert isinstance(target, Target)
    assert (target.export_w, target.region) == (50_000.0, "north")
    await world.session.poll()
    assert world.records() == []
    world.vtn.put(event("DISPATCH_SETPOINT", -60, modificationDateTime="2024-06-02T00:00:00Z"))
    await world.session.poll()
    anew, withdrawn = world.records()
    assert (anew.export_w, withdrawn.withdraws) == (60_000.0, target.request_id)
    world.vtn.events.clear()
    await world.session.poll()
    (withdrawn,) = world.records()
    assert isinstance(withdrawn, Withdraw)
    assert withdrawn.withdraws == anew.request_id


async def test_a_storm_is_told_changed_and_called_off() -> None:
    world = World()
    world.vtn.put(event("ALERT_POSSIBLE_OUTAGE", "fire weather"))
    await world.session.poll()
    world.vtn.put(
        event(
            "ALERT_POSSIBLE_OUTAGE", "longer",
            intervalPeriod={"start": NOON, "duration": "PT2H"},
            modificationDateTime="2024-06-02T00:00:00Z",
        )
    )  # fmt: skip
    await world.session.poll()
    world.vtn.events.clear()
    await world.session.poll()
    told = [(a.alert_id, a.ends_at_ms - NOW, a.cancelled) for a in world.records()]
    ((one, *_),) = {(id_,) for id_, *_ in told}
    assert told == [(one, 3_600_000, False), (one, 7_200_000, False), (one, 7_200_000, True)]


async def test_prices_are_written_when_they_change() -> None:
    world = World()
    world.vtn.put(event("PRICE", 0.31))
    await world.session.poll()
    await world.session.poll()
    (series,) = world.records()
    assert isinstance(series, PriceSeries)
    assert (series.per_mwh, series.currency, series.region) == ((310.0,), "EUR", "north")


async def test_ven_and_resources_are_registered_once_and_give_us_our_targets() -> None:
    world = World()
    world.vtn.ven_targets = ["group-1"]
    world.vtn.put(event("DISPATCH_SETPOINT", 5, "mine", targets=["group-1"]))
    world.vtn.put(event("DISPATCH_SETPOINT", 6, "other", targets=["group-2"]))
    await world.session.poll()
    await world.begin().poll()
    assert [path for path, _ in world.vtn.sent] == ["/vens", "/resources", "/resources"]
    assert [r.export_w for r in world.records() if isinstance(r, Target)] == [-5000.0, -5000.0]


async def test_a_token_that_is_no_longer_taken_is_asked_for_anew_once() -> None:
    world = World()
    await world.session.poll()
    world.vtn.valid.clear()
    await world.session.poll()
    assert len(world.vtn.tokens) == 2


async def test_a_wrong_secret_says_which_settings_to_look_at_and_is_not_tried_on() -> None:
    world = World(secret="wrong")
    with pytest.raises(VtnRefusedError, match="VPP_OPENADR_CLIENT_SECRET"):
        await poll_for_ever(world.session, asyncio.Event(), 30.0, lambda: 0.5)


async def test_the_secret_is_not_sent_in_the_clear_for_an_encrypted_vtn() -> None:
    world = World()
    world.vtn.token_url = "http://elsewhere/token"
    auth = ClientCredentials("https://vtn/openadr3", "ven-1", "s3cret")
    with pytest.raises(VtnError, match="unencrypted"):
        await Vtn(world.vtn.http(auth), "https://vtn/openadr3").programs()


async def test_a_vtn_that_is_down_is_told_once_and_polled_on() -> None:
    world, stop = World(), asyncio.Event()
    shares: list[float] = []

    def jitter() -> float:
        shares.append(0.0)
        if len(shares) == 4:
            world.vtn.broken = None
            world.vtn.put(event("DISPATCH_SETPOINT", 5))
        if world.written:
            stop.set()
        return 0.0

    world.vtn.broken = 503
    with structlog.testing.capture_logs() as logs:
        await poll_for_ever(world.session, stop, 0.001, jitter)
    told = [(line["event"], line.get("reason", "")) for line in logs]
    assert [t for t in told if t[0] == "openadr: trying again"] == [
        ("openadr: trying again", "the VTN cannot answer GET /vens: 503 out of order")
    ]
    assert ("openadr: the VTN answers again", "") in told
    assert world.session.counters["failed_polls"] == 4
    assert len(world.records()) == 1


def test_waits_double_up_to_five_minutes_and_are_spread() -> None:
    assert [wait_s(n, 30.0, 1.0) for n in range(6)] == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    assert wait_s(3, 30.0, 0.0) == 120.0
    assert wait_s(10**6, 600.0, 1.0) == 600.0


async def test_no_answer_at_all_is_one_line() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    with pytest.raises(VtnError, match=r"no VTN answers at http://vtn/openadr3 \(connection"):
        await Vtn(http, BASE).programs()


@pytest.mark.parametrize("answer", ["<html>", "{}", "7", "null", ""])
async def test_an_answer_that_is_no_list_is_named(answer: str) -> None:
    http = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, text=answer))
    )
    with pytest.raises(VtnError, match=r"/programs with no (list|JSON)"):
        await Vtn(http, BASE).programs()


async def test_lists_are_read_to_their_last_page_and_one_that_does_not_page_is_whole() -> None:
    world = World()
    for number in range(120):
        world.vtn.put(event("DISPATCH_SETPOINT", number, f"e{number}"))
    await world.session.poll()
    assert len(world.records()) == 120
    same = [{"id": str(n)} for n in range(50)]
    http = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json=same))
    )
    assert await Vtn(http, BASE).programs() == same


async def test_an_event_that_a_list_left_out_is_not_withdrawn() -> None:
    world = World()
    world.vtn.put(event("DISPATCH_SETPOINT", 5))
    await world.session.poll()
    world.records()
    world.vtn.hidden = {"e1"}
    await world.session.poll()
    assert world.records() == []


async def test_a_refused_event_is_logged_once_and_counted_and_its_neighbour_followed() -> None:
    world = World()
    world.vtn.put(event("SIMPLE", 2, "e2"))
    world.vtn.put(event("DISPATCH_SETPOINT", 5))
    with structlog.testing.capture_logs() as logs:
        await world.session.poll()
        await world.session.poll()
    (line,) = [line for line in logs if line["event"] == "openadr: refused"]
    assert (line["event_id"], line["reason"], line["log_level"]) == (
        "e2", "no_counterpart", "warning",
    )  # fmt: skip
    assert world.session.counters["refused_no_counterpart"] == 1
    assert len(world.records()) == 1


async def test_only_the_named_program_is_followed_and_a_misspelt_one_is_told() -> None:
    world = World(programs=("Flex",))
    world.vtn.programs.append({"id": "p2", "programName": "Other"})
    world.vtn.put(event("DISPATCH_SETPOINT", 5, "e2", programID="p2"))
    await world.session.poll()
    assert world.records() == []
    with pytest.raises(InputError, match="no program 'Flux'; it shows: Flex, Other"):
        await world.begin(programs=("Flux",)).poll()


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["--vtn", "vtn.example", "--region", "north"], {}, "--vtn vtn.example: give a base URL"),
        (["--vtn", "http://x", "--region", "no rth"], {}, "is not a valid region name"),
        (["--vtn", "http://x", "--region", "north", "--client-id", "a"], {}, "both, or none"),
        (["--vtn", "http://x", "--region", "north"], {"VPP_OPENADR_CLIENT_SECRET": "a"}, "both"),
    ],
)
def test_a_wrong_call_is_one_line(words: list[str], environment: dict[str, str], said: str) -> None:
    done = CliRunner().invoke(build_app(), ["openadr", *words], env=environment)
    assert isinstance(done.exception, VppError)
    assert re.search(re.escape(said), str(done.exception))


@pytest.mark.parametrize("most", [1, 20, 49])
async def test_pages_shorter_than_requested_are_read_until_an_empty_one(most: int) -> None:
    world = World()
    for number in range(60):
        world.vtn.put(event("DISPATCH_SETPOINT", number + 1, f"e{number}"))
    world.vtn.most = most
    await world.session.poll()
    assert {r.export_w for r in world.records()} == {-1000.0 * n for n in range(1, 61)}


async def test_pages_that_never_end_are_an_error() -> None:
    numbers = iter(range(100_000))

    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"id": str(next(numbers))} for _ in range(7)])

    http = httpx.AsyncClient(transport=httpx.MockTransport(page))
    with pytest.raises(VtnError, match="more than 200 pages"):
        await Vtn(http, BASE).programs()


async def test_a_list_that_repeats_its_last_page_ends() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        skip = min(int(request.url.params["skip"]), 40)
        objects = [{"id": str(n), "now": str(request.url)} for n in range(skip, skip + 20)]
        return httpx.Response(200, json=objects)

    http = httpx.AsyncClient(transport=httpx.MockTransport(page))
    assert [o["id"] for o in await Vtn(http, BASE).programs()] == [str(n) for n in range(60)]


@pytest.mark.parametrize("name", ["DISPATCH_SETPOINT", "ALERT_POSSIBLE_OUTAGE", "PRICE"])
@pytest.mark.parametrize("start", [NOON, "0001-01-01T00:00:00Z"])
async def test_a_time_of_modification_that_alone_changes_changes_nothing(
    name: str, start: str
) -> None:
    world = World()
    period = {"start": start, "duration": "PT2H"}
    at = NOON
    world.vtn.put(event(name, 5, intervalPeriod=period, modificationDateTime=at))
    await world.session.poll()
    assert len(world.records()) == 1
    for minute in range(1, 4):
        world.now_ms += 60_000
        at = f"2024-06-19T12:0{minute}:00Z"
        world.vtn.put(event(name, 5, intervalPeriod=period, modificationDateTime=at))
        await world.session.poll()
        assert world.records() == []


async def test_a_request_stands_over_a_restart_though_its_modification_is_new() -> None:
    world = World()
    world.vtn.put(event("DISPATCH_SETPOINT", 5))
    await world.session.poll()
    (target,) = world.records()
    world.vtn.put(event("DISPATCH_SETPOINT", 5, modificationDateTime="2024-06-02T00:00:00Z"))
    again = world.begin()
    again.standing.on_request(target.request_id, target)
    await again.poll()
    assert world.records() == []


async def test_what_was_changed_and_changed_back_is_asked_again() -> None:
    world = World()
    exports = []
    for number, modified in ((5, "01"), (6, "02"), (5, "03")):
        at = f"2024-06-{modified}T00:00:00Z"
        world.vtn.put(event("DISPATCH_SETPOINT", number, modificationDateTime=at))
        await world.session.poll()
        exports += [r.export_w for r in world.records() if isinstance(r, Target)]
    assert exports == [-5000.0, -6000.0, -5000.0]
