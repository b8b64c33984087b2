"""The web process's door on a real socket: silent, slow and many clients, and an operator there.

Nothing is timed: a limit of time is either so short that it is over at once, or so long that a
test would hang on it.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from tests.support.accounts_world import Entrance
from tests.support.waiting import PATIENCE_S
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, fed_read_model
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.operators import make_demo_operator
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.connections import DoorConfig
from vpp_streams.web.places import Limits, Places
from vpp_streams.web.senders import Senders

AT_ONCE, NEVER = 0.05, 3600.0
"""Far beyond what a test here takes; one that would hang fails."""
ROOMY = Limits(ordinary=100, per_client=100, waiting=8, operators=8)
GET = b"GET /api/v1/summary HTTP/1.1\r\nHost: localhost\r\n\r\n"


def streamed_by(token: str) -> bytes:
    head = f"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}"
    return f"{head}\r\n\r\n".encode()


class Door:
    """A server with limits, and clients of it."""

    def __init__(self, port: int, places: Places, stack: AsyncExitStack) -> None:
        self.port, self.places = port, places
        self._stack = stack
        self._open: list[asyncio.StreamWriter] = []
        """asyncio closes a connection that nobody refers to."""

    async def connect(
        self, first: bytes = b"", limit: int = 2**16
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        self._stack.callback(writer.transport.abort)
        self._open.append(writer)
        writer.write(first)
        return reader, writer

    async def answer(self, request: bytes) -> bytes:
        """All that comes for a request, to the end of the connection."""
        reader, _ = await self.connect(request)
        return await read_to_the_end(reader)

    async def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=NEVER
        )
        return await self._stack.enter_async_context(client)

    async def until(self, fits: Callable[[], bool]) -> None:
        while not fits():  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.005)


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@asynccontextmanager
async def door(app: Any, logins: Logins, limits: Limits, **times: Any) -> AsyncIterator[Door]:
    places = Places(limits)
    times = {"request_s": NEVER, "stall_s": NEVER} | times
    config = DoorConfig(
        app, places, Senders(logins).is_operator, host="127.0.0.1", port=0, lifespan="off", **times
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
        try:
            while not server.started:
                if serving.done():
                    await serving
                await asyncio.sleep(0.005)
            port = server.servers[0].sockets[0].getsockname()[1]
            async with stack:
                yield Door(port, places, stack)
        finally:
            server.should_exit = server.force_exit = True
            await serving


class World:
    def __init__(self, directory: Path) -> None:
        operators, access = make_demo_operator(directory, "demo", "http://localhost")
        self.token, self.kafka = access.token, KafkaInMemory()
        self.model, self.entrance = fed_read_model(), Entrance(operators)
        self.logins = self.entrance.logins
        self.viewer = self.entrance.token("viewer")
        self._settings = Settings(operators=operators, web_per_client=4)

    def door(self, limits: Limits = ROOMY, **times: float) -> Any:
        app = create_web(
            self._settings,
            self.model,
            lambda: NOW_MS,
            self.kafka,
            answer_s=0.0,
            logins=self.logins,
        )
        return door(app, self.logins, limits, **times)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"GET /api/v1/summary HTTP/1.1\r\nX: ",
        b"POST /api/v1/alerts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        GET + b"GET /api/v1/summary HTTP/1.1\r\nX: ",
    ],
    ids=["silent", "half a header", "half a body", "half a second request"],
)
async def test_who_sends_no_whole_request_in_time_is_closed(world: World, first: bytes) -> None:
    async with world.door(request_s=AT_ONCE) as door:
        reader, _ = await door.connect(first)
        await read_to_the_end(reader)  # would never end
        await door.until(lambda: len(door.places) == 0)


async def test_who_drips_bytes_is_closed_all_the_same(world: World) -> None:
    async with world.door(request_s=AT_ONCE) as door:
        reader, writer = await door.connect(b"GET / HTTP/1.1\r\nX: ")
        ended = asyncio.create_task(read_to_the_end(reader))
        while not ended.done():
            writer.write(b"a")
            await asyncio.sleep(0.01)


async def test_who_takes_nothing_of_an_answer_is_closed(world: World) -> None:
    big = PlainTextResponse("x" * 50_000_000)
    async with door(big, world.logins, ROOMY, stall_s=AT_ONCE) as here:
        reader, _ = await here.connect(GET, limit=1)  # asyncio reads little, and then nothing
        await here.until(lambda: len(here.places) == 1)
        await here.until(lambda: len(here.places) == 0)
        assert len(await read_to_the_end(reader)) < 50_000_000


async def test_a_request_that_is_answered_slowly_is_not_too_slow_itself(world: World) -> None:
    """The time is that of the client: an answer may take longer than a request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(4 * AT_ONCE)
        await PlainTextResponse("late")(scope, receive, send)

    async with door(app, world.logins, ROOMY, request_s=AT_ONCE) as here:
        assert (await (await here.client()).get("/")).text == "late"


async def test_silent_connections_keep_nobody_out(world: World) -> None:
    limits = Limits(ordinary=5, per_client=5, waiting=5, operators=2)
    async with world.door(limits) as door:
        for _ in range(40):
            await door.connect()
        assert (await (await door.client(world.viewer)).get("/api/v1/summary")).status_code == 200
        assert len(door.places) <= 12


async def test_while_others_hold_every_place_an_operator_holds_a_region(world: World) -> None:
    limits = Limits(ordinary=2, per_client=2, waiting=4, operators=2)
    async with world.door(limits) as door:
        for _ in range(2):
            reader, _ = await door.connect(streamed_by(world.viewer))
            await reader.readuntil(b"retry: 2000")
        refused = await (await door.client(world.viewer)).get("/api/v1/summary")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "5"
        assert "operators' requests have places of their own" in refused.json()["hint"]
        wrong = await (await door.client("vpp_wrong")).get("/api/v1/summary")
        assert wrong.status_code == 503
        ann = await door.client(world.token)
        held = await ann.post("/api/v1/regions/north/hold", json={"reason": "smoke"})
        assert held.status_code == 202, held.text
        assert json.loads(world.kafka.written[0][2])["reason"] == "smoke"
        assert (await ann.get("/api/v1/summary")).status_code == 200


async def test_a_refused_connection_is_closed_so_that_others_may_wait(world: World) -> None:
    async with world.door(Limits(ordinary=0, per_client=1, waiting=1, operators=1)) as door:
        answer = await door.answer(GET)
        assert answer.startswith(b"HTTP/1.1 503")
        await door.until(lambda: len(door.places) == 0)


async def test_streams_have_a_limit_per_client_that_operators_do_not_share(world: World) -> None:
    async with world.door() as door:
        for _ in range(2):  # half of a client's four connections
            reader, _ = await door.connect(streamed_by(world.viewer))
            await reader.readuntil(b"retry: 2000")
        crowd, ann = await door.client(world.viewer), await door.client(world.token)
        refused = await crowd.get("/api/v1/stream")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        async with ann.stream("GET", "/api/v1/stream") as live:
            assert live.status_code == 200


async def test_stories_are_queued_in_bounds_and_operators_have_a_queue_of_their_own(
    world: World,
) -> None:
    reading = asyncio.Event()

    async def read_since(*_: object) -> AsyncIterator[tuple[int, bytes]]:
        await reading.wait()
        yield NOW_MS, b"{}"

    world.kafka.read_since = read_since  # type: ignore[method-assign, assignment]  # a reader that waits
    path = "/api/v1/devices/pw-001/commands?last_s=2592000"
    async with world.door() as door:
        crowd, ann = await door.client(world.viewer), await door.client(world.token)
        asking = [asyncio.create_task(crowd.get(path)) for _ in range(20)]
        while sum(task.done() for task in asking) < 16:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
        asking.append(asyncio.create_task(ann.get(path)))
        done = [task.result() for task in asking[:20] if task.done()]
        assert {(r.status_code, r.headers["Retry-After"]) for r in done} == {(429, "5")}
        reading.set()
        statuses = [(await task).status_code for task in asking]
        assert (statuses.count(200), statuses[-1]) == (5, 200)


async def test_a_flood_of_wrong_tokens_is_locked_out(world: World) -> None:
    async with world.door() as door:
        guesser = await door.client()
        answers = [
            await guesser.post(
                "/api/v1/regions/north/hold", headers={"Authorization": f"Bearer vpp_{number}"}
            )
            for number in range(12)
        ]
        assert [a.status_code for a in answers] == [401] * 5 + [429] * 7
        assert world.kafka.written == []
        assert re.search(r"none is checked for \d+ s", answers[-1].json()["error"])
        assert int(answers[-1].headers["Retry-After"]) > 0


async def test_bytes_that_are_no_request_end_their_own_connection_only(world: World) -> None:
    dice = random.Random(1)
    async with world.door() as door:
        for first in (b"GET " * 9999, b"\x16\x03\x01\x02", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            await door.answer(first + dice.randbytes(70_000))
        for _ in range(60):
            cut = dice.randrange(len(GET))
            await door.answer(GET[:cut] + dice.randbytes(9) + GET[cut + 9 :] + b"\n\n\xff\n" + GET)
        await door.until(lambda: len(door.places) == 0)
        assert (await (await door.client(world.viewer)).get("/api/v1/summary")).status_code == 200


async def test_a_body_that_never_ends_is_no_error_of_ours(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        "POST /api/v1/regions/north/hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        f"Authorization: Bearer {world.token}\r\n\r\n"
    )
    async with world.door(request_s=AT_ONCE) as door:
        await door.answer(head.encode())
        await door.until(lambda: len(door.places) == 0)
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []
