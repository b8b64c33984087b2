"""The standing of each region, from its telemetry and its dispatch."""

from vpp_streams.domain.control.standing import RegionNow, Standing, stand
from vpp_streams.serving.control_views import DispatchNow
from vpp_streams.serving.pipeline import STALE_MS
from vpp_streams.serving.views import RegionView


def standing_of(live: RegionView | None, dispatch: DispatchNow | None) -> Standing:
    """A region's standing; None = no record of its telemetry, or of its dispatch."""
    status = dispatch.status if dispatch is not None else None
    now = RegionNow(
        live_age_s=None if live is None else live.heard_ago_s,
        coverage=0.0 if live is None else live.coverage,
        sites_reporting=0 if live is None else live.sites_reporting,
        dispatch_age_s=None if dispatch is None else dispatch.heard_ago_s,
        mode=None if status is None else status.mode,
        partitions_expected=0 if status is None else status.partitions_expected,
        partitions_heard=0 if status is None else status.partitions_heard,
        commandable=None if status is None else status.commandable,
        storm_batteries=0 if status is None or status.storm is None else status.storm.devices,
    )
    return stand(now, STALE_MS / 1000)
