"""The read model as one principal may see it: lists contain only its regions and homes.

Requests that name one place are checked before (`vpp_streams.serving.needs`); whatever answers with
more than one place takes it from here.
"""

import msgspec

from schemas.grid import Alert
from schemas.incidents import Incident
from vpp_streams.domain.access.rights import Principal
from vpp_streams.serving.control_views import (
    AlarmList,
    CommandList,
    ControlUpdate,
    RegionStanding,
)
from vpp_streams.serving.market_views import MarketList
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.views import RegionView, RejectedPage, Summary

_ALL = 1_000_000_000


class Seen:
    """What a principal may see of the read model."""

    def __init__(self, model: ReadModel, who: Principal) -> None:
        self._model, self._who = model, who

    def regions(self, now_ms: int, changed_since: int = 0) -> list[RegionView]:
        """As `ReadModel.regions_now`."""
        found = self._model.regions_now(now_ms, changed_since)
        return [view for view in found if self._region(view.region)]

    def summary(self, now_ms: int, changed_since: int = 0) -> Summary:
        """As `ReadModel.summary`, with the regions that changed after ``changed_since``."""
        summary = self._model.summary(now_ms)
        return msgspec.structs.replace(summary, regions=self.regions(now_ms, changed_since))

    def control(self, now_ms: int, changed_since: int, alarms: int) -> ControlUpdate:
        """The state of control, for the live stream."""
        dispatches = self._model.dispatches.now(now_ms, changed_since=changed_since)
        return ControlUpdate(
            at_ms=now_ms,
            regions=[now for now in dispatches if self._region(now.region)],
            alarms=self.alarms(now_ms, alarms),
            standings=self._standings(now_ms),
        )

    def alarms(self, now_ms: int, limit: int) -> AlarmList:
        """As `ReadModel.alarms`."""
        every = self._model.alarms(now_ms, _ALL)
        found = [alarm for alarm in every.alarms if self._device(alarm.site_id, alarm.region)]
        may_read_records = self._who.may_everywhere("read_records")
        open_ = [one for one in self._model.incidents.open() if self.sees_incident(one)]
        acknowledged = self._model.incidents.acknowledged
        return AlarmList(
            total=len(found),
            alarms=found[:limit],
            regions=[alarm for alarm in every.regions if self._region(alarm.region)],
            records_rejected=every.records_rejected if may_read_records else None,
            incidents_open=len(open_),
            incidents_unacknowledged=sum(one.incident_id not in acknowledged for one in open_),
        )

    def sees_incident(self, incident: Incident) -> bool:
        """Whether an incident is in a region in sight, or concerns the system itself."""
        if incident.region:
            return self._region(incident.region)
        return self._who.may("read_pipeline")

    def alerts(self, now_ms: int) -> list[Alert]:
        """Storms that concern a region or a site in sight, without the other places in them."""
        found = []
        for alert in self._model.alerts(now_ms):
            regions = tuple(r for r in alert.regions if self._knows_of(r))
            site_ids = tuple(s for s in alert.site_ids if self.has_site(s))
            if regions or site_ids:
                found.append(msgspec.structs.replace(alert, regions=regions, site_ids=site_ids))
        return found

    def commands(self, region: str | None, state: str | None, limit: int) -> CommandList:
        """The newest commands of devices; counts are those of a complete region."""
        counted = region is not None and self._region(region)
        return CommandList(
            counts=self._model.commands.counts(region) if region is not None and counted else {},
            commands=self._model.commands.newest(region, state, limit, self._device),
        )

    def has_site(self, site_id: str) -> bool:
        """Whether there is such a site, and it may be read."""
        site = self._model.sites.registry.site(site_id)
        return site is not None and self._device(site_id, site.region)

    def rejected(self, reason: str | None, limit: int) -> RejectedPage:
        """Rejected readings of sites in sight; those of unknown devices only to the plant's."""
        if self._who.may_everywhere("read_rejected"):
            return self._model.rejections.page(reason, limit)
        return self._model.rejections.page(reason, limit, sees=self._rejected_of)

    def markets(self, now_ms: int) -> MarketList:
        """As `MarketAnswers.all`, without markets in which no region is in sight."""
        markets = []
        for market in self._model.markets.all(now_ms).markets:
            regions = [one for one in market.regions if self._who.may_in("read_market", one.region)]
            if regions or self._who.may_everywhere("read_market"):
                markets.append(msgspec.structs.replace(market, regions=regions))
        return MarketList(at_ms=now_ms, markets=markets)

    def _standings(self, now_ms: int) -> list[RegionStanding]:
        return [one for one in self._model.standings(now_ms) if self._region(one.region)]

    def _region(self, region: str) -> bool:
        return self._who.may_in("read_region", region)

    def _device(self, site_id: str | None, region: str) -> bool:
        if site_id is None:  # the registry does not have the device
            return self._who.may_in("read_site", region)
        return self._who.may_at("read_site", site_id, region)

    def _knows_of(self, region: str) -> bool:
        """Whether the region, or any site in it, is in sight: its name is no secret then."""
        if self._region(region):
            return True
        sites = self._model.sites.registry.sites()
        return any(site.region == region and self._device(site.site_id, region) for site in sites)

    def _rejected_of(self, site_id: str | None) -> bool:
        site = self._model.sites.registry.site(site_id) if site_id is not None else None
        return site is not None and self._who.may_at("read_rejected", site.site_id, site.region)
