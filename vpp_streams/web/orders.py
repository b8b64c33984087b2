"""What every order has in common: the operator who gives it, and its body."""

from http import HTTPStatus
from typing import TypeVar

import msgspec
from fastapi import Request as HttpRequest

from schemas.wire import UNREADABLE
from vpp_streams.web.callers import operator_of
from vpp_streams.web.logins import unknown
from vpp_streams.web.operators import MAKE_ONE, Operator
from vpp_streams.web.problems import ApiError

MAX_BODY = 64 * 1024
T = TypeVar("T", bound=msgspec.Struct)


def ordering_operator(http: HttpRequest, has_operators: bool) -> Operator:
    """The operator who gives an order. Raises `ApiError` (401, 403) if there is none."""
    if not has_operators:
        raise ApiError(HTTPStatus.FORBIDDEN, "nobody may give orders here", MAKE_ONE)
    holder = operator_of(http.scope)
    if holder is None:
        hint = "send it as `Authorization: Bearer <token>`"
        raise unknown("an order needs a token", hint)
    return holder


async def body_of(http: HttpRequest, type_: type[T], default: T | None = None) -> T:
    """The request's body. Raises `ApiError` (422) with the mistake in it."""
    content = bytearray()
    async for part in http.stream():
        content += part
        if len(content) > MAX_BODY:
            raise _wrong_body(f"it is longer than {MAX_BODY} bytes")
    if not content and default is not None:
        return default
    try:
        return msgspec.json.decode(content, type=type_)
    except UNREADABLE as error:
        raise _wrong_body(str(error)) from None


def _wrong_body(why: str) -> ApiError:
    reason = why[:1].lower() + why[1:300]
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"the order cannot be read: {reason}",
        "nothing was written; /docs lists every field",
    )
