"""Answers to bad requests: one sentence and the remedy, never a stack trace."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from vpp_streams.serving.problems import DOCS, ApiError
from vpp_streams.web.callers import set_outcome

log = structlog.get_logger()


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse a query with a misspelt parameter: ignored, it would change the answer silently."""
    known = list(_names_in(request.scope["route"].dependant))
    for name in request.query_params:
        if name not in known:
            offer = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ApiError(
                HTTPStatus.BAD_REQUEST,
                f"there is no query parameter {name[:64]!r} here",
                f"{offer}; {DOCS}",
            )


def _names_in(dependant: Dependant) -> Iterator[str]:
    """The query parameters of a route and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for part in dependant.dependencies:
        yield from _names_in(part)


def answer_problems(app: FastAPI) -> None:
    """Answer every problem of ``app`` as ``{"error", "hint"}``."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, problem: ApiError) -> JSONResponse:
        set_outcome(request.scope, problem.error)
        return answer_of(problem)

    @app.exception_handler(ClientDisconnect)
    async def client_disconnected(_: Request, _error: ClientDisconnect) -> JSONResponse:
        # Nobody reads the answer: the client closed before the complete body had arrived.
        return _answer(HTTPStatus.BAD_REQUEST, "the request ended before its body", DOCS)

    @app.exception_handler(RequestValidationError)
    async def bad_query(_: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(HTTPStatus.BAD_REQUEST, _sentence(error.errors()[0]), DOCS)

    @app.exception_handler(HTTPException)
    async def no_such_page(request: Request, error: HTTPException) -> JSONResponse:
        sentence = f"{request.method} {request.url.path[:200]}: {error.detail}"
        return _answer(HTTPStatus(error.status_code), sentence, DOCS, error.headers)

    @app.exception_handler(Exception)
    async def internal_error(request: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", path=request.url.path, exc_info=error)
        return _answer(
            HTTPStatus.INTERNAL_SERVER_ERROR, "the web process failed to answer", "see its log"
        )


def answer_of(problem: ApiError) -> JSONResponse:
    """The problem as an HTTP answer."""
    return _answer(problem.status, problem.error, problem.hint, problem.headers)


def _sentence(error: Mapping[str, Any]) -> str:
    name = error["loc"][-1]
    reason = str(error["msg"])
    return f"{name}: {reason[:1].lower()}{reason[1:]} (got {str(error['input'])[:64]!r})"


def _answer(
    status: HTTPStatus, error: str, hint: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"error": error, "hint": hint}, status, headers)
