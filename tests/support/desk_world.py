"""A read model with a fleet on the map: connected, silent, refusing and held."""

from typing import Any

import msgspec

from schemas.dispatch import Hold, RequestEvent
from schemas.preferences import Preferences
from schemas.presence import Presence
from tests.support.telemetry_factory import make_batch
from tests.support.web_records import NOW_MS, dispatch_status, site
from tests.support.web_world import apply, fed_read_model, feed_control
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel

SITES = 30
"""Sites 1 to 20 are in north, the others in south."""
UNCONNECTED = 4
"""Each fourth site is not connected."""
SILENT_FROM = 28
"""Sites from this one on have sent no reading."""


def desk_model() -> ReadModel:
    """Thirty homes on a grid of some hundred kilometres, the last three of which are silent."""
    model = fed_read_model()
    feed_control(model)
    for number in range(1, SITES + 1):
        place = {"latitude": 50 + number % 6 * 0.3, "longitude": 8 + number % 7 * 0.4}
        home = site(number, "north" if number <= 20 else "south")
        apply(model, topics.ASSETS, msgspec.structs.replace(home, **place))
        if number % UNCONNECTED:
            names = f"pw-{number:03}", f"home-{number:03}"
            presence = Presence(*names, "connected", 2, NOW_MS - 9000)
            apply(model, topics.PRESENCE, presence, offset=17)
    model.explorer.apply_readings(make_batch([reading(number) for number in range(1, SILENT_FROM)]))
    return model


def reading(number: int, **changes: Any) -> dict[str, Any]:
    """A row of telemetry of a site's device: its charge is ``number`` percent."""
    return {
        "device_id": f"pw-{number:03}",
        "site_id": f"home-{number:03}",
        "seq": 1,
        "measured_at_ms": NOW_MS - 900,
        "received_at_ms": NOW_MS - 800,
        "soc": number / 100,
        "battery_w": 100.0 * number,
        "grid_w": -50.0 * number,
        "solar_w": 40.0 * number,
        **changes,
    }


def held(model: ReadModel, region: str, reason: str = "works on the line") -> None:
    """Hold a region, as the region role reports it."""
    hold = Hold(
        request_id=f"hold-{region}",
        region=region,
        source="operator:ann",
        issued_at_ms=NOW_MS - 60_000,
        reason=reason,
    )
    event = RequestEvent(request_id=hold.request_id, region=region, at_ms=NOW_MS, state="active")
    apply(model, topics.DISPATCH_TARGETS, hold)
    apply(model, topics.DISPATCH_EVENTS, event)
    status = {"mode": "hold", "request_id": "", "ends_at_ms": 0, "asked_w": None}
    apply(model, topics.DISPATCH_EVENTS, dispatch_status(region, NOW_MS, **status))


def owners_decided(model: ReadModel) -> ReadModel:
    """The first homes' owners raised the reserve, pause, want no storm mode, and have left."""
    decided: tuple[dict[str, Any], ...] = (
        {"backup_reserve": 0.8},
        {"paused_until_ms": NOW_MS + 3_600_000},
        {"storm_mode": False},
        {"left": True},
    )
    for number, changes in enumerate(decided, 1):
        site_id = f"home-{number:03}"
        chosen = Preferences(site_id=site_id, set_at_ms=NOW_MS, by="owner:ada", **changes)
        apply(model, topics.PREFERENCES, chosen)
    return model
