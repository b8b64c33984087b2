"""Requests for a region through the web API: given, withdrawn, and its present dispatch."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

from schemas.dispatch import FINAL_STATES, Hold
from vpp_streams.cli.api_client import ApiClient
from vpp_streams.domain.files.spoken_time import order_times
from vpp_streams.errors import InputError
from vpp_streams.serving.control_views import DispatchView, Ordered


def give_order(api: ApiClient, region: str, what: str, body: dict[str, Any]) -> Ordered:
    """Give an order: ``what`` is the last part of its path, such as ``targets``."""
    return api.order(f"regions/{quote(region, safe='')}/{what}", body, Ordered)


def withdraw_request(api: ApiClient, region: str, request_id: str) -> Ordered:
    """Withdraw a request."""
    path = f"regions/{quote(region, safe='')}/requests/{quote(request_id, safe='')}/withdraw"
    return api.order(path, {}, Ordered)


def release_holds(api: ApiClient, region: str) -> Iterator[tuple[str, Ordered]]:
    """Withdraw each hold of a region; yields its id and the outcome. Raises `InputError`."""
    holds = [
        view.request.request_id
        for view in dispatch_of(api, region).requests
        if isinstance(view.request, Hold) and view.state not in FINAL_STATES
    ]
    if not holds:
        raise InputError(f"{region} is not held")
    for request_id in holds:
        yield request_id, withdraw_request(api, region, request_id)


def dispatch_of(api: ApiClient, region: str) -> DispatchView:
    """The present dispatch of a region."""
    return api.get(f"regions/{quote(region, safe='')}/dispatch", DispatchView)


def times_from_now(lasts: str | None, at: str | None, starts_in: str | None) -> dict[str, float]:
    """Start and end in the form of the API. Raises `InputError`."""
    return order_times(lasts, at, starts_in, datetime.now().astimezone())
