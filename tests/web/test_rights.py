"""Every path tried as each role: whoever may not see a home finds it by no URL, list or stream.

What is tried comes from the application's own routes, so that a new path is covered from its first
day. Each home, region and market of this world has figures that are found nowhere else.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Mount, Route

from tests.support.accounts_world import PAGE, Entrance
from tests.support.history_world import HistoryWorld
from tests.support.rights_world import HOLDERS, NOWHERE, OTHERS, PLACES, allowed, fed
from tests.support.waiting import PATIENCE_S
from tests.support.web_records import NOW_MS, region_live
from tests.support.web_world import (
    TWIN,
    KafkaInMemory,
    apply,
    fleet_that_answers,
)
from vpp_streams.domain.access.rights import ACTIONS, READS, grant_of
from vpp_streams.kafka import topics
from vpp_streams.serving.needs import Of
from vpp_streams.serving.needs import at as at_place
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.routes import Needs
from vpp_streams.web.senders import Senders

QUERIES = {"/api/v1/reports/{report}": "?region={region}"}
"""What names the place of a path that does not name it itself."""


class World:
    def __init__(self, history: Path) -> None:
        HistoryWorld(history)
        self.entrance, self.model, self.kafka = Entrance(), fed(), KafkaInMemory()
        fleet = FleetWorker("http://fleet.test", fleet_that_answers(httpx.Response(200, json=TWIN)))
        self.app = create_web(
            *(Settings(history=history), self.model, lambda: NOW_MS, self.kafka),
            logins=self.entrance.logins,
            fleet=fleet,
            answer_s=0.0,
            stopping=lambda: self.stopping,
        )
        self.stopping = True
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        [guard] = [m for m in self.app.user_middleware if "needs" in m.kwargs]
        self.needs: Needs = guard.kwargs["needs"]  # type: ignore[assignment]  # of any middleware
        self.paths = [one for one in self.needs.declared if one.path.startswith("/api/")]

    async def ask(
        self, method: str, path: str, headers: dict[str, str], places: dict[str, str]
    ) -> httpx.Response:
        return await self.client.request(method, filled(path, places), headers=headers)


def filled(path: str, places: dict[str, str]) -> str:
    path += QUERIES.get(path, "")
    return re.sub(r"\{(\w+)\}", lambda name: places[name[1]], path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    world = World(tmp_path_factory.mktemp("history"))
    yield world
    await world.client.aclose()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def registered(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every handler that the application has, however it was added."""
    for context in iter_route_contexts(app.routes):
        route: Any = getattr(context, "original_route", context)
        if isinstance(route, Mount):
            continue
        assert isinstance(route, Route | APIRoute), f"what is {route}?"
        path = getattr(context, "path", None) or route.path
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, path


async def test_every_handler_has_declared_what_it_needs(world: World) -> None:
    declared = {(one.method, one.path) for one in world.needs.declared}
    handlers = set(registered(world.app))
    assert len(handlers) > 35
    assert handlers <= declared


async def test_a_handler_that_declares_nothing_is_not_there(world: World) -> None:
    app = create_web(
        *(Settings(), world.model, lambda: NOW_MS, world.kafka), logins=world.entrance.logins
    )
    app.add_api_route("/api/v1/secret", lambda: "all of it")
    app.add_api_route("/secret", lambda: "all of it")
    app.router.routes.insert(0, app.router.routes.pop())  # before the pages
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for path in ("/api/v1/secret", "/secret"):
            answer = await client.get(path, headers=world.entrance.headers())
            assert (answer.status_code, "all of it" in answer.text) == (404, False)


async def test_without_signing_in_there_are_pages_and_nothing_else(world: World) -> None:
    for one in world.needs.declared:
        answer = await world.ask(one.method, one.path, {}, PLACES)
        if one.need.of is Of.NOBODY:
            assert answer.status_code != 401 or "/session" in one.path
            assert "home-0" not in answer.text
        else:
            assert (answer.status_code, one.path) == (401, one.path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert world.kafka.written == []


@pytest.mark.parametrize(("role", "scope"), HOLDERS)
async def test_each_path_answers_a_role_as_the_table_says(
    world: World, role: str, scope: str
) -> None:
    headers = world.entrance.headers(role, scope)
    for one in world.paths:
        world.kafka.written.clear()
        answer = await world.ask(one.method, one.path, headers, PLACES)
        refused = answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
        if one.need.of in (Of.NOBODY, Of.BROWSER) or "{request_id}" in one.path:
            continue
        said = (one.method, one.path, answer.status_code, answer.text[:200])
        need = at_place(Of.REGION, "read_region") if one.path in QUERIES else one.need
        assert refused is not allowed(need, role, scope), said
        if refused:
            assert world.kafka.written == [], said


@pytest.mark.parametrize(("role", "scope"), [h for h in HOLDERS if h[1] != "*"])
async def test_what_is_not_in_sight_is_as_what_does_not_exist(
    world: World, role: str, scope: str
) -> None:
    headers = world.entrance.headers(role, scope)
    for one in world.paths:
        if "{" not in one.path or one.need.of in (Of.BROWSER, Of.NOBODY):
            continue
        other = await world.ask(one.method, one.path, headers, OTHERS)
        nothing = await world.ask(one.method, one.path, headers, NOWHERE)
        assert other.status_code == nothing.status_code >= 400, (one.path, other.text)
        assert told(other, OTHERS) == told(nothing, NOWHERE), one.path


def told(answer: httpx.Response, places: dict[str, str]) -> str:
    text = answer.text
    for name in sorted(places, key=lambda n: -len(places[n])):
        text = text.replace(places[name], f"<{name}>")
    return text


def foreign(text: str, own: re.Pattern[str]) -> set[str]:
    """Ids of homes and devices in an answer that are not one's own."""
    return {found for found in re.findall(r"\b(?:home|pw)-\d{3}\b", text) if not own.match(found)}


@pytest.mark.parametrize("role", ["owner", "installer", "viewer"])
async def test_who_sees_one_home_finds_no_other_by_any_path(world: World, role: str) -> None:
    headers = world.entrance.headers(role, "site:home-001")
    own = re.compile("(home|pw)-001")
    readable = 0
    for one in world.paths:
        for places in (PLACES, OTHERS):
            answer = await world.ask(one.method, one.path, headers, places)
            named = set(re.split("[/=]", filled(one.path, places)))
            assert foreign(answer.text, own) <= named, (one.path, answer.text[:500])
            for secret in ("deliverable", "sites_reporting", "allocated_w", "newest_price", "3031"):
                assert secret not in answer.text or "/api/" not in one.path, (one.path, secret)
        readable += one.need.of in (Of.SOME, Of.SITE, Of.DEVICE)
    assert readable > 5
    sites = (await world.ask("GET", "/api/v1/sites", headers, PLACES)).json()
    assert ([s["site_id"] for s in sites["sites"]], sites["total"]) == (["home-001"], 1)
    searched = await world.client.get("/api/v1/sites?q=home-025", headers=headers)
    assert searched.json()["total"] == 0


async def test_an_owner_sees_the_own_home_complete(world: World) -> None:
    headers = world.entrance.headers("owner", "site:home-001")
    for path in ("/sites/home-001", "/sites/home-001/windows", "/devices/pw-001/commands"):
        answer = await world.client.get(f"/api/v1{path}", headers=headers)
        assert answer.status_code == 200, answer.text
    commands = (await world.client.get("/api/v1/commands", headers=headers)).json()
    assert [c["device_id"] for c in commands["commands"]] == ["pw-001"]
    alarms = (await world.client.get("/api/v1/alarms", headers=headers)).json()
    assert {a["site_id"] for a in alarms["alarms"]} == {"home-001"}
    assert (alarms["regions"], alarms["records_rejected"]) == ([], None)
    storms = (await world.client.get("/api/v1/alerts", headers=headers)).json()["alerts"]
    assert [storm["alert_id"] for storm in storms] == ["storm-1", "storm-3"]
    assert [storm["site_ids"] for storm in storms] == [["home-001"]] * 2
    assert not any(storm.get("regions") for storm in storms)


async def test_a_storm_that_others_share_is_not_cancelled_by_one_of_them(world: World) -> None:
    headers = world.entrance.headers("operator", "region:north")
    world.kafka.written.clear()
    answer = await world.client.post("/api/v1/alerts/storm-3/cancel", headers=headers)
    assert (answer.status_code, world.kafka.written) == (403, [])
    assert "south" not in answer.text


async def test_lists_are_cut_to_a_region(world: World) -> None:
    headers = world.entrance.headers("operator", "region:north")

    async def get(path: str) -> Any:
        answer = await world.client.get(f"/api/v1{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert [r["region"] for r in (await get("/regions"))["regions"]] == ["north"]
    assert [r["region"] for r in (await get("/summary"))["regions"]] == ["north"]
    assert {s["region"] for s in (await get("/sites?limit=500"))["sites"]} == {"north"}
    assert (await get("/sites?region=south"))["total"] == 0
    rejects = await get("/rejected?limit=500")
    assert {r["site_id"] for r in rejects["rejected"]} == {"home-001"}
    assert sum(rejects["counts"].values()) == len(rejects["rejected"]) > 1
    [market] = (await get("/markets"))["markets"]
    assert [r["region"] for r in market["regions"]] == ["north"]
    alarms = await get("/alarms")
    assert {a["region"] for a in alarms["alarms"] + alarms["regions"]} <= {"north"}
    counts = await get("/commands?region=south")
    assert counts == {"counts": {}, "commands": []}


async def test_a_stream_is_cut_to_a_region_and_ends_with_the_right(world: World) -> None:
    account = world.entrance.add("nora", ("viewer", "region:north"))
    word = world.entrance.accounts.sessions.add_token(
        account, "stream", READS, now_ms=NOW_MS, days=1
    )
    scope = {
        "type": "http",
        "client": ("192.0.2.9", 1),
        "headers": [(b"authorization", f"Bearer {word}".encode())],
    }
    from vpp_streams.web.stream import Stream  # noqa: PLC0415  # only this test opens one

    stream = Stream(
        *(world.model, lambda: NOW_MS, lambda: False, Senders(world.entrance.logins).again),
        interval_s=0,
    )
    events = stream.events(scope)
    seen = [await anext(events) for _ in range(3)]
    assert b'"region":"north"' in seen[1]
    for event in seen:
        assert b"south" not in event
        assert b"west" not in event
    people = world.entrance.accounts.people
    people.grant(account, grant_of("viewer", "region:south"))
    assert b'"region":"south"' in await anext(events)
    await anext(events)
    people.take(account, grant_of("viewer", "region:south"))
    apply(world.model, topics.REGION_LIVE, region_live("south", NOW_MS + 500))
    assert b"south" not in await anext(events)
    await anext(events)
    people.disable(account, NOW_MS)
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_the_stream_over_http_needs_the_right(world: World) -> None:
    for role, scope, status in (("owner", "site:home-001", 403), ("viewer", "region:north", 200)):
        headers = world.entrance.headers(role, scope)
        async with asyncio.timeout(PATIENCE_S):
            answer = await world.client.get("/api/v1/stream", headers=headers)
        assert answer.status_code == status
        assert b"south" not in answer.content


async def test_an_account_without_a_role_is_told_so(world: World) -> None:
    world.entrance.add("newcomer")
    token = world.entrance.token(name="newcomer")
    headers = {"Authorization": f"Bearer {token}"}
    answer = await world.client.get("/api/v1/sites", headers=headers)
    assert answer.status_code == 403
    assert "vpp accounts role" in answer.json()["hint"]
    assert (await world.client.get("/api/v1/me", headers=headers)).json()["may"] == []


async def test_a_token_does_no_more_than_it_is_for(world: World) -> None:
    account = world.entrance.add("ann", ("operator", "*"))
    word = world.entrance.accounts.sessions.add_token(
        account, "reader", ("read_region",), now_ms=NOW_MS, days=1
    )
    headers = {"Authorization": f"Bearer {word}"}
    assert (await world.client.get("/api/v1/regions", headers=headers)).status_code == 200
    for path in ("/sites", "/markets", "/records/rejected", "/health"):
        assert (await world.client.get(f"/api/v1{path}", headers=headers)).status_code == 403
    hold = await world.client.post("/api/v1/regions/north/hold", headers=headers)
    assert hold.status_code == 403
    assert "does not have the right 'hold'" in hold.json()["error"]
    assert (await world.client.get("/api/v1/account", headers=headers)).status_code == 403


async def test_each_change_that_somebody_asks_for_is_in_the_audit_trail(world: World) -> None:
    audit = world.entrance.accounts.audit
    audit.published(audit.waiting(10_000))
    headers = world.entrance.headers("operator", "region:north")
    changes = [one for one in world.needs.declared if one.method != "GET"]
    expected = 0
    for one in changes:
        await world.ask(one.method, one.path, headers | PAGE, PLACES)
        expected += one.need.of is not Of.NOBODY
    events = [event for event in audit.waiting() if event.action.startswith("POST")]
    assert len(events) == expected > 12
    assert {event.who for event in events} == {"operator-region-north"}
    held = next(event for event in events if event.action == "POST /regions/{region}/hold")
    assert (held.target, held.result, held.how) == ("region=north", "done", "token")
    assert re.match(r"hold-[0-9a-f]{12} written", held.detail)
    refused = next(event for event in events if event.action.endswith("/account/password"))
    assert (refused.result, refused.address) == ("refused", "127.0.0.1")


async def test_the_pages_do_not_leave_their_folder(world: World) -> None:
    for path in ("/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/.git/config", "//x"):
        assert (await world.client.get(f"http://localhost{path}")).status_code == 404


async def test_every_action_has_a_role_and_a_path(world: World) -> None:
    used = {action for one in world.needs.declared for action in one.need.actions}
    in_an_order, by_the_command_line = {"emergency"}, {"settle"}
    assert used | in_an_order | by_the_command_line == set(ACTIONS)
