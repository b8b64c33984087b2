"""A home as its owner sees it, from the read model and the newest readings of its devices."""

import math
from collections.abc import Iterable

from schemas.assets import Site
from schemas.grid import Alert
from schemas.preferences import Preferences
from vpp_streams.domain.control.storms import stands
from vpp_streams.domain.owners.events import events_ahead
from vpp_streams.domain.owners.storms import lacking_wh, share_of_cost
from vpp_streams.domain.owners.why import HomeNow, Order, Reason, reason_of
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.views import DeviceTwin, Twin
from vpp_streams.web.home_views import ChoicesView, Flows, HomeView, StormView


class Homes:
    """Makes the views of homes."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model

    def preferences(self, site_id: str, now_ms: int) -> Preferences:
        """What the owner decided; the defaults where nothing was."""
        chosen = self._model.sites.registry.preferences(site_id)
        return chosen or Preferences(site_id=site_id, set_at_ms=now_ms, by="nobody")

    def view(self, site: Site, twin: Twin | str, now_ms: int) -> HomeView:
        """A home now; ``twin`` is a sentence where there is none."""
        chosen = self._model.sites.registry.preferences(site.site_id)
        devices = [] if isinstance(twin, str) else twin.devices
        flows = flows_of(site, devices, now_ms)
        storms = self._storms(site, now_ms)
        requests = self._model.dispatches.not_over(site.region, now_ms)
        events = events_ahead(requests, site.region, chosen.skips if chosen else (), now_ms)
        return HomeView(
            site_id=site.site_id,
            region=site.region,
            at_ms=now_ms,
            state=site.state,
            flows=flows,
            flows_error=twin if isinstance(twin, str) else None,
            reason=self._reason(site, devices, flows, chosen, now_ms),
            choices=_choices(site, chosen, now_ms),
            events=events,
            storms=[self._storm(alert, site, flows) for alert in storms],
        )

    def _reason(
        self,
        site: Site,
        devices: Iterable[DeviceTwin],
        flows: Flows,
        chosen: Preferences | None,
        now_ms: int,
    ) -> Reason:
        storm = None
        if chosen is None or chosen.storm_mode:
            storm = next((a for a in self._storms(site, now_ms) if stands(a, now_ms)), None)
        dispatch = self._model.dispatches.one(site.region, now_ms)
        status = dispatch.status if dispatch is not None and not dispatch.stale else None
        running = status.request_id if status is not None else ""
        return reason_of(
            HomeNow(
                now_ms=now_ms,
                active=site.state == "active",
                heard_ago_s=flows.heard_ago_s,
                islanded=any(device.islanded in (1, True) for device in devices),
                battery_w=flows.battery_w,
                soc=flows.soc,
                reserve=_reserve(site, chosen),
                storm=storm,
                order=self._order(site, now_ms),
                skipped=running if chosen is not None and running in chosen.skips else "",
                preferences=chosen,
            )
        )

    def _order(self, site: Site, now_ms: int) -> Order | None:
        """The commands of the site's batteries that hold now, together."""
        found = [
            view
            for device in site.devices
            if (view := self._model.commands.of_device(device.device_id)) is not None
            and view.desired_w is not None
            and view.not_before_ms <= now_ms < view.valid_until_ms
            and view.state in ("delivered", "accepted", "applied")
        ]
        if not found:
            return None
        request, _ = self._model.dispatches.request(found[0].request_id)
        ends_ms = getattr(request, "ends_at_ms", found[0].valid_until_ms)
        return Order(
            request_id=found[0].request_id,
            setpoint_w=sum(view.desired_w or 0.0 for view in found),
            until_ms=ends_ms,
            source=request.source if request is not None else "",
        )

    def _storms(self, site: Site, now_ms: int) -> list[Alert]:
        return [
            alert
            for alert in self._model.alerts(now_ms)
            if site.region in alert.regions or site.site_id in alert.site_ids
        ]

    def _storm(self, alert: Alert, site: Site, flows: Flows) -> StormView:
        """An alert with what it costs this home, at the region's present price."""
        charge_wh = lacking_wh(alert.reserve, flows.soc, flows.usable_wh)
        dispatch = self._model.dispatches.one(site.region, alert.starts_at_ms)
        storm = dispatch.status.storm if dispatch is not None and dispatch.status else None
        cost = share_of_cost(charge_wh, storm)
        return StormView(
            alert_id=alert.alert_id,
            prepare_from_ms=alert.prepare_from_ms,
            starts_at_ms=alert.starts_at_ms,
            ends_at_ms=alert.ends_at_ms,
            reserve=alert.reserve,
            charge_wh=charge_wh,
            cost=None if cost is None else float(cost),
            currency=storm.currency if storm is not None and cost is not None else "",
        )


def flows_of(site: Site, devices: Iterable[DeviceTwin], now_ms: int) -> Flows:
    """The home's powers: the sum over its devices; load and grid of those that meter them."""
    devices = list(devices)
    meters = {device.device_id for device in site.devices if device.meters_connection}
    metering = [one for one in devices if one.device_id in meters] or devices
    usable = {device.device_id: device.rated_energy_wh for device in site.devices}
    stored = [(one.soc, usable.get(one.device_id, 0.0)) for one in devices if one.soc is not None]
    known_wh = sum(energy for _, energy in stored)
    received = [one.received_at_ms for one in devices if one.received_at_ms is not None]
    return Flows(
        at_ms=max(received, default=None),
        heard_ago_s=max(now_ms - max(received), 0) / 1000 if received else None,
        battery_w=_sum(one.battery_w for one in devices),
        grid_w=_first_or_sum((one.grid_w for one in metering), summed=bool(meters)),
        solar_w=_sum(one.solar_w for one in devices),
        load_w=_first_or_sum((one.load_w for one in metering), summed=bool(meters)),
        soc=sum(soc * energy for soc, energy in stored) / known_wh if known_wh else None,
        stored_wh=sum(soc * energy for soc, energy in stored) if known_wh else None,
        usable_wh=sum(usable.values()),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) if known else None


def _first_or_sum(values: Iterable[float | None], *, summed: bool) -> float | None:
    """Of marked meters the sum, else of the first device that measures (see `Device`)."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return None if not known else sum(known) if summed else known[0]


def _reserve(site: Site, chosen: Preferences | None) -> float:
    if chosen is None or chosen.backup_reserve is None:
        return site.backup_reserve
    return chosen.backup_reserve


def _choices(site: Site, chosen: Preferences | None, now_ms: int) -> ChoicesView:
    paused_ms = chosen.paused_until_ms if chosen is not None else 0
    return ChoicesView(
        backup_reserve=_reserve(site, chosen),
        registered_reserve=site.backup_reserve,
        storm_mode=chosen is None or chosen.storm_mode,
        paused_until_ms=paused_ms if paused_ms > now_ms else None,
        left=chosen is not None and chosen.left,
        set_at_ms=chosen.set_at_ms if chosen is not None else None,
    )
