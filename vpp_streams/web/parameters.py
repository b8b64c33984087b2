"""Common parts of the API: query parameters, and the check of a region's name."""

from enum import IntEnum
from http import HTTPStatus
from typing import Any

from fastapi import Query

from vpp_streams.domain.access.rights import Principal
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.serving.absent import no_region
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel

_RANGE = "both are ms since 1970 UTC; without `to` a range ends now"


class WindowSize(IntEnum):
    """Window sizes that are kept, in seconds."""

    MINUTE = 60
    QUARTER_HOUR = 900


def rows(default: int, most: int) -> Any:
    """The parameter ``limit``: the largest number of rows to return."""
    return Query(default, ge=1, le=most, description="rows at most")


def time_range(
    since_ms: int | None, until_ms: int | None, now_ms: int, *, days: int, most_days: int
) -> tuple[int, int]:
    """A range of time from a query; without a beginning, the last ``days``.

    Raises `ApiError` (400) for one that cannot be used.
    """
    until = now_ms if until_ms is None else until_ms
    since = max(until - days * DAY_MS, 0) if since_ms is None else since_ms
    if since >= until:
        raise ApiError(HTTPStatus.BAD_REQUEST, "from: it is not before `to`", _RANGE)
    if until - since > most_days * DAY_MS:
        raise ApiError(
            HTTPStatus.BAD_REQUEST, f"from: a range has {most_days} days at most", _RANGE
        )
    return since, until


def known_region(model: ReadModel, who: Principal, region: str) -> str:
    """The region's name. Raises `ApiError` (404) if there is no record of the region."""
    if region not in model.regions.names():
        raise no_region(model, who, region)
    return region
