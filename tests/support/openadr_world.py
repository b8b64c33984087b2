"""A small VTN in memory, as OpenADR 3.1.1 has it, and a VEN's session with it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request

from vpp_streams.domain.openadr.requests import Ven
from vpp_streams.kafka.topic import Topic
from vpp_streams.openadr.ven import VenSession
from vpp_streams.openadr.vtn import ClientCredentials, Vtn

NOON = "2024-06-19T12:00:00Z"
NOW = round(datetime.fromisoformat(NOON).timestamp() * 1000)
BASE = "http://vtn/openadr3"
CREATED = "2024-06-01T00:00:00Z"


class SmallVtn:
    """Its lists are there to be changed by the test; what it is sent is kept."""

    def __init__(self) -> None:
        self.programs: list[dict[str, Any]] = [{"id": "p1", "programName": "Flex"}]
        self.events: list[dict[str, Any]] = []
        self.vens: list[dict[str, Any]] = []
        self.resources: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []
        """(path, body) of each POST."""
        self.asked: list[str] = []
        """Paths with their queries."""
        self.tokens: list[str] = []
        self.valid: set[str] = set()
        self.secret = "s3cret"
        self.ven_targets: list[str] | None = None
        self.hidden: set[str] = set()
        """Events that no list has, as when it changes between two pages."""
        self.most = 50
        """Objects on a page, however many are requested."""
        self.broken: int | None = None
        """Answer everything with this status."""
        self.token_url = "auth/token"
        self.app = self._app()

    def http(self, auth: httpx.Auth | None = None) -> httpx.AsyncClient:
        """A client whose requests end here."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), auth=auth)

    def put(self, event: dict[str, Any]) -> None:
        """Create or replace an event."""
        self.events = [e for e in self.events if e["id"] != event["id"]] + [event]

    def _check(self, request: Request) -> None:
        self.asked.append(f"{request.method} {request.url.path}?{request.url.query}")
        if self.broken is not None:
            raise HTTPException(self.broken, "out of order")
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.valid:
            raise HTTPException(401, "no such token")

    def _page(self, found: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
        query = request.query_params
        skip, limit = int(query.get("skip", 0)), min(int(query.get("limit", 50)), self.most)
        return found[skip : skip + limit]

    def _app(self) -> FastAPI:  # noqa: C901  # one route after another
        app = FastAPI()

        @app.get("/openadr3/auth/server")
        def server() -> dict[str, str]:
            return {"tokenURL": self.token_url}

        @app.post("/openadr3/auth/token")
        async def token(request: Request) -> dict[str, Any]:
            form = dict(parse_qsl((await request.body()).decode()))
            if (form["grant_type"], form["client_secret"]) != ("client_credentials", self.secret):
                raise HTTPException(401, "invalid_client")
            self.tokens.append(f"{form['client_id']}-{len(self.tokens)}")
            self.valid = {self.tokens[-1]}
            return {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 3600}

        @app.get("/openadr3/programs")
        def programs(request: Request) -> list[dict[str, Any]]:
            self._check(request)
            return self._page(self.programs, request)

        @app.get("/openadr3/events")
        def events(request: Request) -> list[dict[str, Any]]:
            self._check(request)
            program, wanted = (
                request.query_params["programID"],
                set(request.query_params.getlist("targets")),
            )
            found = [
                e
                for e in self.events
                if str(e["programID"]) == program
                and e["id"] not in self.hidden
                and (not any(e.get("targets") or ()) or any(t in wanted for t in e["targets"] if t))
            ]
            return self._page(found, request)

        @app.get("/openadr3/events/{event_id}")
        def event(event_id: str, request: Request) -> dict[str, Any]:
            self._check(request)
            for known in self.events:
                if known["id"] == event_id:
                    return known
            raise HTTPException(404, "no such event")

        @app.get("/openadr3/{kind}")
        def others(kind: str, request: Request) -> list[dict[str, Any]]:
            self._check(request)
            names = {"vens": "venName", "resources": "resourceName", "reports": "eventID"}
            name = names[kind]
            known: list[dict[str, Any]] = getattr(self, kind)
            asked = request.query_params.get(name)
            return self._page([o for o in known if asked in (None, o[name])], request)

        @app.post("/openadr3/{kind}", status_code=201)
        async def create(kind: str, request: Request) -> dict[str, Any]:
            self._check(request)
            body: dict[str, Any] = await request.json()
            self.sent.append((f"/{kind}", body))
            made = {**body, "id": f"{kind}-{len(self.sent)}", "createdDateTime": CREATED}
            if kind == "vens":
                made["targets"] = self.ven_targets
            getattr(self, kind).append(made)
            return made

        return app


class World:
    """A VTN, a session with it, and what it wrote."""

    def __init__(self, secret: str = "s3cret", programs: tuple[str, ...] = ()) -> None:
        self.vtn = SmallVtn()
        self.written: list[tuple[str, Any]] = []
        self.now_ms = NOW
        self.session = self.begin(secret, programs)

    def begin(self, secret: str = "s3cret", programs: tuple[str, ...] = ()) -> VenSession:
        http = self.vtn.http(ClientCredentials(BASE, "ven-1", secret))

        async def send(topic: Topic, record: Any) -> None:
            self.written.append((topic.name, record))

        return VenSession(
            Vtn(http, BASE), Ven("vpp-north", "north"), frozenset(programs), send,
            lambda: self.now_ms,
        )  # fmt: skip

    def records(self) -> list[Any]:
        """What was written since it was last asked."""
        told = [record for _, record in self.written]
        self.written.clear()
        return told


def event(name: str, number: Any, event_id: str = "e1", **more: Any) -> dict[str, Any]:
    """An event of one hour from noon on, unless told otherwise."""
    return {
        "id": event_id,
        "objectType": "EVENT",
        "programID": "p1",
        "createdDateTime": CREATED,
        "modificationDateTime": CREATED,
        "intervalPeriod": {"start": NOON, "duration": "PT1H"},
        "payloadDescriptors": [
            {
                "objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": name,
                "units": "KWH" if name == "PRICE" else "KW", "currency": "EUR",
            }
        ],
        "intervals": [{"id": 0, "payloads": [{"type": name, "values": [number]}]}],
        **more,
    }  # fmt: skip


def asking(*descriptors: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An event of three quarters of an hour that asks for reports only."""
    intervals = [{"id": i, "payloads": []} for i in range(3)]
    period = {"start": NOON, "duration": "PT15M"}
    told = {"reportDescriptors": list(descriptors), "intervalPeriod": period}
    return {**event("SIMPLE", 0), "intervals": intervals, **told, **more}


@contextmanager
def served(vtn: SmallVtn) -> Iterator[str]:
    """The VTN on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(vtn.app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/openadr3"
    finally:
        server.should_exit = True
        thread.join()
