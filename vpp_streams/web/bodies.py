"""Bodies of requests: JSON documents of a contract, of limited size."""

from http import HTTPStatus
from typing import TypeVar

import msgspec
from fastapi import Request as HttpRequest

from schemas.wire import UNREADABLE
from vpp_streams.serving.problems import ApiError

MAX_BODY = 64 * 1024
T = TypeVar("T", bound=msgspec.Struct)


async def body_of(
    http: HttpRequest, type_: type[T], default: T | None = None, *, what: str = "order"
) -> T:
    """The request's body. Raises `ApiError` (422) with the mistake in it."""
    content = bytearray()
    async for part in http.stream():
        content += part
        if len(content) > MAX_BODY:
            raise _wrong(what, f"it is longer than {MAX_BODY} bytes")
    if not content and default is not None:
        return default
    try:
        return msgspec.json.decode(content, type=type_)
    except UNREADABLE as error:
        raise _wrong(what, str(error)) from None


def _wrong(what: str, why: str) -> ApiError:
    reason = why[:1].lower() + why[1:300]
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"the {what} cannot be read: {reason}",
        "nothing was written; /docs lists every field",
    )
