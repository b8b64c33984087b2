"""Answers of the API."""

from http import HTTPStatus

import msgspec
from fastapi.responses import Response


class Json(Response):
    """A view as JSON that caches must not store."""

    media_type = "application/json"

    def __init__(self, view: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK) -> None:
        content = msgspec.json.encode(view)
        super().__init__(content, status, headers={"Cache-Control": "no-store"})
