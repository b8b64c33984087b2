"""A VTN over HTTP: tokens, complete lists, registration, reports.

`openadr3`'s client is synchronous, has no time-outs and no refresh of a token (ADR 15).
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from vpp_streams.errors import VppError

PAGE = 50
"""Largest page of a list by the specification."""
MOST_PAGES = 200
MOST_BYTES = 16 * 1024 * 1024


class VtnError(VppError):
    """The VTN does not answer, or not by the specification; the next poll may succeed."""


class VtnRefusedError(VtnError):
    """The VTN refuses: credentials, rights, or the body of a request."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ClientCredentials(httpx.Auth):
    """OAuth 2.0 client credentials: a token at the first request, a new one after each 401."""

    requires_response_body = True

    def __init__(self, base: str, client_id: str, secret: str) -> None:
        self._base = base
        self._client = {"client_id": client_id, "client_secret": secret}
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token; request a new token once if it is not accepted."""
        for fresh in (not self._token, True):
            if fresh:
                self._token = ""
                url = self._token_url((yield httpx.Request("GET", f"{self._base}/auth/server")))
                self._store_token((yield self._token_request(url)))
            request.headers["Authorization"] = f"Bearer {self._token}"
            answer = yield request
            if fresh or answer.status_code != httpx.codes.UNAUTHORIZED:
                return

    def _token_request(self, url: str) -> httpx.Request:
        return httpx.Request("POST", url, data={"grant_type": "client_credentials", **self._client})

    def _token_url(self, answer: httpx.Response) -> str:
        """Where tokens are issued; by default the VTN itself."""
        url = _json(answer).get("tokenURL") if answer.is_success else None
        if not isinstance(url, str) or not url:
            return f"{self._base}/auth/token"
        url = str(httpx.URL(f"{self._base}/").join(url))
        if urlsplit(self._base).scheme == "https" and urlsplit(url).scheme != "https":
            raise VtnError(f"the VTN requests our secret unencrypted, at {url}; it is not sent")
        return url

    def _store_token(self, answer: httpx.Response) -> None:
        token = _json(answer).get("access_token") if answer.is_success else None
        if not isinstance(token, str) or not token:
            raise VtnRefusedError(
                f"the VTN issues no token ({answer.status_code} {_problem(answer)}); are"
                " VPP_OPENADR_CLIENT_ID and VPP_OPENADR_CLIENT_SECRET right?",
                answer.status_code,
            )
        self._token = token


class Vtn:
    """The five requests of a VEN to a VTN. Each raises `VtnError`."""

    def __init__(self, http: httpx.AsyncClient, base: str) -> None:
        self._http = http
        self._base = base.rstrip("/")

    async def programs(self, targets: Sequence[str] = ()) -> list[Any]:
        """Every program that the VTN shows us."""
        return await self._for_us("programs", targets)

    async def events(self, program_ids: Iterable[str], targets: Sequence[str] = ()) -> list[Any]:
        """The events of these programs."""
        found: list[Any] = []
        for program_id in program_ids:
            found += await self._for_us("events", targets, programID=program_id)
        return found

    async def event(self, event_id: str) -> Any | None:
        """One event; None = it no longer exists, or is no longer for us."""
        path = f"events/{quote(event_id, safe='')}"
        try:
            return _json(await self._request("GET", path), path)
        except VtnRefusedError as error:
            if error.status in (403, 404, 410):
                return None
            raise

    async def register(self, ven_name: str, resources: list[str]) -> frozenset[str]:
        """Register the VEN and its resources; returns the targets that the VTN assigned to them."""
        body = {"objectType": "VEN_VEN_REQUEST", "venName": ven_name}
        ven = await self._make("vens", body, venName=ven_name)
        targets = _targets(ven)
        for name in resources:
            body = {
                "objectType": "VEN_RESOURCE_REQUEST",
                "resourceName": name,
                "venID": str(ven.get("id")),
            }
            made = await self._make("resources", body, venID=body["venID"], resourceName=name)
            targets |= _targets(made)
        return targets

    async def report_names(self, event_id: str, client_name: str) -> set[str]:
        """Names of our reports on an event that the VTN has."""
        reports = await self._list("reports", eventID=event_id, clientName=client_name)
        return {str(r.get("reportName")) for r in reports if isinstance(r, dict)}

    async def send_report(self, body: dict[str, Any]) -> None:
        """Send one report."""
        await self._request("POST", "reports", body=body)

    async def _for_us(self, path: str, targets: Sequence[str], **params: str) -> list[Any]:
        """Objects for all and for our targets: a VTN may list them separately."""
        found = await self._list(path, **params)
        if targets:
            known = {_id(o) for o in found}
            targeted = await self._list(path, **params, targets=list(targets))
            found += [o for o in targeted if _id(o) not in known]
        return found

    async def _make(self, what: str, body: dict[str, str], **same: str) -> dict[str, Any]:
        """Find the object with this name, else create it."""
        name = "venName" if what == "vens" else "resourceName"
        found = [o for o in await self._list(what, **same) if isinstance(o, dict)]
        for known in found:
            if known.get(name) == body[name]:
                return known
        made = _json(await self._request("POST", what, body=body), what)
        if not isinstance(made, dict) or "id" not in made:
            raise VtnError(f"the VTN answers POST /{what} with no object that has an id")
        return made

    async def _list(self, path: str, **params: str | list[str]) -> list[Any]:
        """All pages of a list, each object once.

        A VTN may give shorter pages than requested, so a list ends at a page with nothing new: an
        empty one, or one that is repeated by a VTN that does not page.
        """
        found: list[Any] = []
        known: set[str] = set()
        skip = 0
        for _ in range(MOST_PAGES):
            paging = {"skip": str(skip), "limit": str(PAGE)}
            page = _json(await self._request("GET", path, {**params, **paging}), path)
            if not isinstance(page, list):
                raise VtnError(f"the VTN answers GET /{path} with no list")
            new = {_key(each): each for each in page if _key(each) not in known}
            if not new:
                return found
            known |= new.keys()
            found += new.values()
            skip += len(page)
        raise VtnError(f"GET /{path} has more than {MOST_PAGES} pages")

    async def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | list[str]] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        url = f"{self._base}/{path}"
        try:
            answer = await self._http.request(method, url, params=params, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise VtnError(f"no VTN answers at {self._base} ({reason})") from None
        if answer.is_success:
            return answer
        problem = f"{method} /{path}: {answer.status_code} {_problem(answer)}"
        if answer.is_server_error or answer.status_code in (408, 429):
            raise VtnError(f"the VTN cannot answer {problem}")
        raise VtnRefusedError(f"the VTN refuses {problem}", answer.status_code)


def _json(answer: httpx.Response, path: str | None = None) -> Any:
    """The answer's JSON; without a path, anything but an object counts as an empty one."""
    try:
        content = answer.json() if len(answer.content) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        content = None
    if path is None:
        return content if isinstance(content, dict) else {}
    if content is None:
        raise VtnError(f"the VTN answers /{path} with no JSON")
    return content


def _problem(answer: httpx.Response) -> str:
    """The text of a problem document or an OAuth error, for people."""
    document = _json(answer)
    words = (
        document.get("detail")
        or document.get("title")
        or document.get("error")
        or answer.reason_phrase
    )
    return str(words)[:200]


def _id(known: object) -> object:
    return known.get("id") if isinstance(known, dict) else None


def _key(known: object) -> str:
    """What tells an object of a list from the others: its id, else all of it."""
    return str(known if (id_ := _id(known)) is None else id_)


def _targets(made: dict[str, Any]) -> frozenset[str]:
    targets = made.get("targets")
    return (
        frozenset(t for t in targets if isinstance(t, str))
        if isinstance(targets, list)
        else frozenset()
    )
