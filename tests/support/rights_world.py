"""A world for tests of rights: holders, places in and out of sight, and what the table says."""

import msgspec

from schemas.grid import Alert
from tests.support.market_feed import OPEN_MS, at, feed_market
from tests.support.web_records import NOW_MS, rejected
from tests.support.web_world import apply, fed_read_model, feed_control
from vpp_streams.domain.access.rights import TABLE
from vpp_streams.kafka import topics
from vpp_streams.serving.needs import Need, Of
from vpp_streams.serving.readmodel import ReadModel

PLACES = {
    "region": "north",
    "site_id": "home-001",
    "device_id": "pw-001",
    "market": "sim",
    "bid_id": at(OPEN_MS),
    "request_id": "target-1",
    "alert_id": "storm-1",
    "key": "0" * 16,
    "report": "energy",
    "month": "2025-10",
}
"""One of each kind, all of region ``north``."""
OTHERS = PLACES | {
    "region": "south",
    "site_id": "home-025",
    "device_id": "pw-025",
    "bid_id": at(OPEN_MS, "south"),
    "request_id": "target-9",
    "alert_id": "storm-2",
}
"""The same of region ``south``."""
NOWHERE = PLACES | {
    "region": "atlantis",
    "site_id": "home-999",
    "device_id": "pw-999",
    "bid_id": "sim:atlantis:1",
    "request_id": "target-x",
    "alert_id": "storm-x",
}
"""The same where there is nothing."""
HOLDERS = (
    ("viewer", "*"),
    ("operator", "*"),
    ("trader", "*"),
    ("viewer", "region:north"),
    ("operator", "region:north"),
    ("trader", "region:north"),
    ("installer", "region:north"),
    ("operator", "site:home-001"),
    ("viewer", "site:home-001"),
    ("trader", "site:home-001"),
    ("installer", "site:home-001"),
    ("owner", "site:home-001"),
)


def fed() -> ReadModel:
    """A read model with figures for every place."""
    model = fed_read_model()
    feed_control(model)
    feed_market(model, intervals=3)
    for name, site_id in (("r-own", "home-001"), ("r-other", "home-025")):
        changes = {"rejected_id": name, "site_id": site_id, "detail": f"of {site_id}"}
        apply(model, topics.TELEMETRY_REJECTED, msgspec.structs.replace(rejected(77), **changes))
    storm = Alert(
        alert_id="storm-1",
        kind="storm",
        site_ids=("home-001", "home-002"),
        prepare_from_ms=NOW_MS,
        starts_at_ms=NOW_MS + 60_000,
        ends_at_ms=NOW_MS + 120_000,
        source="operator:ann",
    )
    apply(model, topics.GRID_ALERTS, storm)
    elsewhere = {"alert_id": "storm-2", "regions": ("south",), "site_ids": ("home-025",)}
    apply(model, topics.GRID_ALERTS, msgspec.structs.replace(storm, **elsewhere))
    both = {"alert_id": "storm-3", "regions": ("south",), "site_ids": ("home-001",)}
    apply(model, topics.GRID_ALERTS, msgspec.structs.replace(storm, **both))
    return model


def allowed(need: Need, role: str, scope: str) -> bool:
    """What the table says of a path about `PLACES`, told apart from how it is checked."""
    kind, _, name = scope.partition(":")
    if need.of in (Of.NOBODY, Of.ONESELF):
        return True
    actions = set(need.actions) & TABLE[role]  # type: ignore[index]  # one of the roles
    if need.of is Of.BROWSER or not actions:
        return False
    if need.of is Of.PLANT:
        return scope == "*"
    if kind == "site":
        return (
            bool(actions & {"read_site", "read_money", "read_rejected", "choose"})
            and need.of is not Of.REGION
        )
    return scope == "*" or name == "north"
