"""Common parts of the API: routers, query parameters, and the check of a region's name."""

from enum import IntEnum
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Query

from vpp_streams.web.problems import ApiError, refuse_unknown_parameters
from vpp_streams.web.readmodel import ReadModel


class WindowSize(IntEnum):
    """Window sizes that are kept, in seconds."""

    MINUTE = 60
    QUARTER_HOUR = 900


def router(tag: str) -> APIRouter:
    """A router whose routes refuse query parameters that they do not have."""
    return APIRouter(tags=[tag], dependencies=[Depends(refuse_unknown_parameters)])


def rows(default: int, most: int) -> Any:
    """The parameter ``limit``: the largest number of rows to return."""
    return Query(default, ge=1, le=most, description="rows at most")


def known_region(model: ReadModel, region: str) -> str:
    """The region's name. Raises `ApiError` (404) if there is no record of the region."""
    if region not in model.regions.names():
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            f"there is no record of a region {region[:64]!r}",
            f"regions: {', '.join(model.regions.names()[:20]) or 'none yet'}",
        )
    return region
