"""Answers for what is not there, the same whether it does not exist or the sender may not see it.

What they offer instead is only what the sender may see.
"""

from http import HTTPStatus

from vpp_streams.domain.access.rights import Principal
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel


def no_region(model: ReadModel, who: Principal, region: str) -> ApiError:
    """There is no record of a region."""
    names = [name for name in model.regions.names() if who.may_in("read_region", name)]
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"there is no record of a region {region[:64]!r}",
        f"regions: {', '.join(names[:20]) or 'none yet'}",
    )


def no_site(site_id: str) -> ApiError:
    """There is no such site."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"there is no site {site_id[:64]!r}",
        "/api/v1/sites?q= finds sites by a part of their id",
    )


def no_device(device_id: str) -> ApiError:
    """There is no such device."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"there is no device {device_id[:64]!r}",
        "/api/v1/sites?q= finds devices by a part of their id",
    )


def no_market(model: ReadModel, who: Principal, market: str, region: str) -> ApiError:
    """There is no record of a region in a market."""
    names = [
        f"{name}/{place}"
        for name, place in model.markets.pairs()
        if who.may_in("read_market", place)
    ]
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"there is no record of region {region[:64]!r} in a market {market[:64]!r}",
        f"there are: {', '.join(names[:20]) or 'none yet'}",
    )


def no_bid(model: ReadModel, who: Principal, bid_id: str) -> ApiError:
    """There is no record of a bid."""
    newest = model.markets.newest_ids(3, lambda region: who.may_in("read_market", region))
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"there is no record of a bid {bid_id[:200]!r} in the last day",
        "`vpp explain` reads older ones from the topic; the newest:"
        f" {', '.join(newest) or 'there is none yet'}",
    )
