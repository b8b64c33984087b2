"""The HTTP door under anything that can be sent to it: an answer below 500 each time, and headers.

What is asked is drawn from the API's own description, so a new path is fuzzed from its first day.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.accounts_world import Entrance
from tests.support.history_world import HistoryWorld, quarter
from tests.support.ledger_world import OCTOBER_MS, LedgerWorld
from tests.support.web_records import NOW_MS
from tests.support.web_world import (
    TWIN,
    KafkaInMemory,
    fed_read_model,
    feed_control,
    fleet_that_answers,
)
from vpp_streams.serving.operators import make_demo_operator
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web

EXAMPLES = 60
KNOWN = {"region": "north", "site_id": "home-001", "device_id": "pw-001", "market": "sim"}
NASTY = [
    "",
    "0",
    "-1",
    "1e999",
    "9" * 400,
    "NaN",
    "null",
    "true",
    "\x00",
    "‮",  # noqa: PLE2502  # that is the point
    "💣",
    "../",
    "%",
    "%00",
]
ORDER_FIELDS = (
    *("export_w", "for_s", "ends_at_ms", "starts_at_ms", "reason", "regions", "site_ids"),
    *("droop", "priority", "best_effort", "import_limit_w", "feeder", "reserve"),
)
HEADER_NAMES = (
    *("host", "origin", "authorization", "content-type", "range", "if-none-match"),
    *("accept-encoding", "content-length", "x-forwarded-for", "cookie"),
)
WORDS = st.one_of(st.sampled_from(NASTY), st.text(max_size=80), st.integers().map(str))
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**63, -(2**64), 10**400, 1e308]))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=30)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
DEEP = st.sampled_from([b"[" * 60_000, b'{"a":' * 12_000, b'{"export_w":' + b"[" * 50_000])


def with_ledger(settings: Settings) -> Settings:
    """The same settings, with a ledger that has an entry of the home."""
    world = LedgerWorld(settings)
    world.book_interval(OCTOBER_MS, {KNOWN["site_id"]: 60})
    world.engine.dispose()
    return settings


class Door:
    """The application with an operator who may do all, and one loop for all examples."""

    def __init__(self, directory: Any) -> None:
        operators, access = make_demo_operator(directory, "demo", "http://localhost")
        self.entrance = Entrance(operators)
        model = fed_read_model()
        feed_control(model)
        fleet = FleetWorker("http://fleet.test", fleet_that_answers(httpx.Response(200, json=TWIN)))
        history = HistoryWorld(directory / "history")
        history.write("site.windows", [quarter("home-001", NOW_MS - NOW_MS % 900_000)])
        app = create_web(
            with_ledger(
                Settings(operators=operators, state_dir=directory, history=history.directory.root)
            ),
            model,
            lambda: NOW_MS,
            KafkaInMemory(),
            fleet=fleet,
            stopping=lambda: True,
            answer_s=0.0,
            logins=self.entrance.logins,
        )
        self.runner = asyncio.Runner()
        self._app = app
        self.mine = {"Authorization": f"Bearer {access.token}"}
        paths = self.ask("GET", "/openapi.json", self.mine).json()["paths"]
        self.operations = [(m, path, o) for path, item in paths.items() for m, o in item.items()]

    def ask(
        self, method: str, path: str, headers: dict[str, Any], address: str = "::1", **more: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, False, client=(address, 1))

        async def asked() -> httpx.Response:
            # An answer that never comes fails here, and hangs nothing.
            async with (
                asyncio.timeout(60),
                httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            ):
                return await client.request(method, path, headers=headers, **more)

        return self.runner.run(asked())


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("operators"))
    yield door
    door.runner.close()


def quoted(word: str) -> str:
    return httpx.QueryParams({"": word.encode("utf-8", "replace").decode()}).__str__()[1:]


def checked(response: httpx.Response) -> None:
    assert response.status_code < 500, (response.request.url, response.text[:500])
    assert response.headers["x-content-type-options"] == "nosniff"
    if response.status_code >= 400:
        assert set(response.json()) == {"error", "hint"}
        assert "Traceback" not in response.text
        assert len(response.content) < 4000


FUZZ = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(data=st.data())
def test_any_path_and_query(door: Door, data: st.DataObject) -> None:
    method, path, told = data.draw(st.sampled_from([o for o in door.operations if o[0] == "get"]))
    for parameter in told.get("parameters", []):
        if parameter["in"] == "path":
            word = data.draw(st.just(KNOWN.get(parameter["name"], "x")) | WORDS)
            path = path.replace(f"{{{parameter['name']}}}", quoted(word))
    names = [p["name"] for p in told.get("parameters", []) if p["in"] == "query"]
    query = data.draw(st.dictionaries(st.sampled_from([*names, "x"]), WORDS, max_size=4))
    tail = "&".join(f"{name}={quoted(word)}" for name, word in query.items())
    checked(door.ask(method.upper(), f"{path}?{tail}", door.mine))


@FUZZ
@given(data=st.data())
def test_any_order_of_an_operator(door: Door, data: st.DataObject) -> None:
    method, path, _ = data.draw(st.sampled_from([o for o in door.operations if o[0] != "get"]))
    for name, word in KNOWN.items():
        path = path.replace(f"{{{name}}}", word)
    path = path.replace("{request_id}", data.draw(st.just("target-1") | WORDS.map(quoted)))
    path = path.replace("{alert_id}", data.draw(WORDS.map(quoted)))
    named = st.sampled_from(ORDER_FIELDS)
    order = st.dictionaries(named, JSON, max_size=5) | JSON
    body = data.draw(
        order.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=300) | DEEP
    )
    answer = door.ask(method.upper(), path, door.mine, content=body)
    checked(answer)


@FUZZ
@given(
    path=st.text(max_size=60) | st.sampled_from(["api/v1/summary", "..%2f..%2fserver.py", "%00"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"]),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "host",
                "origin",
                "authorization",
                "content-type",
                "range",
                "if-none-match",
                "accept-encoding",
                "content-length",
                "x-forwarded-for",
                "cookie",
            ]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60).map(
            lambda word: word.encode("latin-1")
        ),
        max_size=4,
    ),
)
def test_any_method_path_and_headers(
    door: Door, path: str, method: str, headers: dict[str, Any]
) -> None:
    # Who sends such tokens is locked out soon: not where the orders above come from.
    answer = door.ask(method, "/" + quoted(path), headers, address="192.0.2.1")
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
