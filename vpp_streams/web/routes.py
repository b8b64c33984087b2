"""The paths of the API, each with its need: the guard refuses a path that declares none."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from starlette.routing import compile_path

from vpp_streams.serving.needs import Need
from vpp_streams.serving.problems import ApiError
from vpp_streams.web.problems import refuse_unknown_parameters

PREFIX = "/api/v1"
"""What the path of every part of the API begins with."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A path with its method, and what it needs."""

    method: str
    path: str
    need: Need


class Routes:
    """A router whose every path declares its need, and refuses unknown query parameters."""

    def __init__(self, tag: str) -> None:
        self.router = APIRouter(
            prefix=PREFIX, tags=[tag], dependencies=[Depends(refuse_unknown_parameters)]
        )
        self.declared: list[Declared] = []

    def add(
        self, method: str, path: str, need: Need, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a handler for a method and a path with what they need."""
        self.declared.append(Declared(method, path, need))
        return self.router.api_route(path, methods=[method], **more)

    def get(
        self, path: str, need: Need, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """As `add`, for GET."""
        return self.add("GET", path, need, **more)

    def post(
        self, path: str, need: Need, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """As `add`, for POST."""
        return self.add("POST", path, need, **more)


class Needs:
    """The needs of every path of an application."""

    def __init__(self, declared: Iterable[Declared] = ()) -> None:
        self._compiled: list[tuple[re.Pattern[str], Declared]] = []
        self.declared: list[Declared] = []
        self.extend(declared)

    def extend(self, declared: Iterable[Declared], prefix: str = "") -> None:
        """Add paths below a prefix."""
        for one in declared:
            whole = Declared(one.method, prefix + one.path, one.need)
            self.declared.append(whole)
            self._compiled.append((compile_path(whole.path)[0], whole))

    def of(self, method: str, path: str) -> tuple[Declared, dict[str, str]]:
        """What was declared for a request, and the parameters in its path.

        Raises `ApiError`: 404 for a path that declares nothing, 405 for another method of one.
        """
        method = "GET" if method == "HEAD" else method
        other = False
        for pattern, declared in self._compiled:
            match = pattern.match(path)
            if match is not None and declared.method == method:
                return declared, match.groupdict()
            other = other or match is not None
        raise nothing_there(method, path, HTTPStatus.METHOD_NOT_ALLOWED if other else None)


def nothing_there(method: str, path: str, status: HTTPStatus | None = None) -> ApiError:
    """The answer for a path that is not there."""
    status = status or HTTPStatus.NOT_FOUND
    return ApiError(status, f"{method[:16]} {path[:200]}: {status.phrase}")
