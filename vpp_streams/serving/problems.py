"""A request that is not answered as asked: why, and the way out; every door has its own wording."""

from collections.abc import Mapping
from http import HTTPStatus

DOCS = "/docs lists every path and its parameters"


class ApiError(Exception):
    """An error answer; ``error`` and ``hint`` are shown to the person who sent the request."""

    def __init__(
        self,
        status: HTTPStatus,
        error: str,
        hint: str = DOCS,
        headers: Mapping[str, str] | None = None,
        *,
        field: str = "",
    ) -> None:
        """``field`` names the part of the request that is wrong, if it is one."""
        super().__init__(error)
        self.status, self.error, self.hint, self.headers = status, error, hint, headers
        self.field = field
