"""Common parts of the API: query parameters, and the check of a region's name."""

from enum import IntEnum
from typing import Any

from fastapi import Query

from vpp_streams.domain.access.rights import Principal
from vpp_streams.web.absent import no_region
from vpp_streams.web.readmodel import ReadModel


class WindowSize(IntEnum):
    """Window sizes that are kept, in seconds."""

    MINUTE = 60
    QUARTER_HOUR = 900


def rows(default: int, most: int) -> Any:
    """The parameter ``limit``: the largest number of rows to return."""
    return Query(default, ge=1, le=most, description="rows at most")


def known_region(model: ReadModel, who: Principal, region: str) -> str:
    """The region's name. Raises `ApiError` (404) if there is no record of the region."""
    if region not in model.regions.names():
        raise no_region(model, who, region)
    return region
