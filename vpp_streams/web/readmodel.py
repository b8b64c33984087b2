"""The read model: what the output topics say, ready to be asked. Pure and of bounded memory.

Records are applied one by one with the time they are applied at; a record that cannot be read is
counted and left out, whoever wrote it.
"""

from collections import Counter
from collections.abc import Callable

import msgspec

from schemas.assets import Site
from schemas.commands import CommandEvents, CommandFrame
from schemas.forecast import RegionForecast
from schemas.grid import Alert
from schemas.health import Health
from schemas.market import Bid, MarketRecord
from schemas.presence import Presence
from schemas.telemetry import Rejected
from schemas.windows import RegionLive, RegionWindow, SiteWindow
from schemas.wire import UNREADABLE
from vpp_streams import topics
from vpp_streams.codecs import decode_frame, decode_json
from vpp_streams.topics import Topic
from vpp_streams.web.ages import Ages
from vpp_streams.web.commands import Commands
from vpp_streams.web.control_views import AlarmList, RegionAlarm, RegionStanding
from vpp_streams.web.dispatches import Dispatches, read_request, read_told
from vpp_streams.web.market import Markets
from vpp_streams.web.market_answers import MarketAnswers
from vpp_streams.web.pipeline import Pipeline
from vpp_streams.web.regions import Regions
from vpp_streams.web.rejections import Rejections
from vpp_streams.web.sites import Sites
from vpp_streams.web.standings import standing_of
from vpp_streams.web.views import AgeView, HealthView, RegionView, Summary

KEEP_SITE_WINDOWS = {60: 120, 900: 96}
"""Windows kept per site, by size in seconds: two hours of minutes, a day of quarter hours."""
KEEP_REGION_WINDOWS = 240
MAX_SITE_WINDOWS = 300_000
"""Site windows kept in all, some 450 MB: beyond 1400 sites each keeps fewer."""

Apply = Callable[[bytes, int, int], None]


class ReadModel:
    """Regions, sites, rejected readings and the pipeline's health, as last heard."""

    def __init__(self, started_at_ms: int) -> None:
        self.started_at_ms = started_at_ms
        """Ages count from here on: what is read of the past fills charts, not percentiles."""
        self.regions = Regions(KEEP_SITE_WINDOWS, KEEP_REGION_WINDOWS)
        self.sites = Sites(KEEP_SITE_WINDOWS, MAX_SITE_WINDOWS)
        self.rejections = Rejections()
        self.dispatches = Dispatches()
        self.commands = Commands(self.sites.registry)
        self._alerts: dict[str, Alert] = {}
        self._markets = Markets()
        self.markets = MarketAnswers(self._markets)
        self.pipeline = Pipeline()
        self.ages = Ages()
        self.undecodable: Counter[str] = Counter()
        """Records that could not be read, by topic."""
        self.counters: Counter[str] = Counter()
        """Monotone, for this process's own health."""
        self._apply: dict[str, Apply] = {
            topics.ASSETS.name: self._site,
            topics.PRESENCE.name: self._presence,
            topics.SITE_WINDOWS.name: self._site_window,
            topics.REGION_WINDOWS.name: self._region_window,
            topics.REGION_LIVE.name: self._region_live,
            topics.REGION_FORECASTS.name: self._region_forecast,
            topics.TELEMETRY_REJECTED.name: self._rejected,
            topics.HEALTH.name: self._health,
            topics.DISPATCH_TARGETS.name: self._request,
            topics.DISPATCH_EVENTS.name: self._told,
            topics.COMMANDS.name: self._commands,
            topics.COMMAND_EVENTS.name: self._command_events,
            topics.TELEMETRY.name: self._telemetry,
            topics.GRID_ALERTS.name: self._alert,
            topics.MARKET_BIDS.name: self._bid,
            topics.MARKET_AWARDS.name: self._market,
        }

    def apply(
        self, topic: Topic, key: bytes | None, value: bytes | None, offset: int, now_ms: int
    ) -> None:
        """Apply one record of a topic at ``now_ms``: when it came, or was written if long before.

        Raises `KeyError` for a topic that the read model is not made from.
        """
        apply = self._apply[topic.name]
        try:
            if value is None:
                self._removed(topic, key)
            else:
                apply(value, offset, now_ms)
        except (*UNREADABLE, ValueError):  # the latter is that of frames, and of bids' ids
            self.undecodable[topic.name] += 1
            self.counters["undecodable"] += 1
        else:
            self.counters["records_applied"] += 1

    def summary(self, now_ms: int) -> Summary:
        """The whole loop on one page."""
        return Summary(
            at_ms=now_ms,
            age_p50_ms=self.ages.over_run(0.5),
            age_p99_ms=self.ages.over_run(0.99),
            regions=self.regions_now(now_ms),
            processes=self.pipeline.processes(now_ms),
            **msgspec.structs.asdict(self.pipeline.totals(now_ms)),
        )

    def regions_now(self, now_ms: int, changed_since: int = 0) -> list[RegionView]:
        """As `Regions.now`, each with how it stands."""
        return [self._stood(view, now_ms) for view in self.regions.now(now_ms, changed_since)]

    def region_now(self, name: str, now_ms: int) -> RegionView | None:
        """As `Regions.one`, with how it stands."""
        view = self.regions.one(name, now_ms)
        return None if view is None else self._stood(view, now_ms)

    def _stood(self, view: RegionView, now_ms: int) -> RegionView:
        standing = standing_of(view, self.dispatches.one(view.region, now_ms))
        return msgspec.structs.replace(view, standing=standing)

    def standings(self, now_ms: int) -> list[RegionStanding]:
        """How every region stands of which anything was heard."""
        heard = {view.region: view for view in self.regions.now(now_ms)}
        dispatches = {now.region: now for now in self.dispatches.now(now_ms)}
        return [
            RegionStanding(region=name, standing=standing_of(heard.get(name), dispatches.get(name)))
            for name in sorted(heard.keys() | dispatches.keys())
        ]

    def alarms(self, now_ms: int, limit: int) -> AlarmList:
        """Alarms of devices (at most ``limit``) and of regions."""
        found = self.commands.alarms(now_ms)
        return AlarmList(
            total=len(found),
            alarms=found[:limit],
            regions=[
                RegionAlarm(region=one.region, finding=finding)
                for one in self.standings(now_ms)
                for finding in one.standing.findings
                if finding.alarm
            ],
        )

    def health(self, now_ms: int) -> HealthView:
        """How the pipeline does: processes, rates, lag and ages."""
        return HealthView(
            at_ms=now_ms,
            rates_per_s=self.pipeline.rates_per_s(now_ms),
            lag_by_role=self.pipeline.lag_by_role(now_ms),
            ages=AgeView(
                readings=self.ages.readings,
                run_p50_ms=self.ages.over_run(0.5),
                run_p99_ms=self.ages.over_run(0.99),
                minute_p50_ms=self.ages.over_last_minute(0.5, now_ms),
                minute_p99_ms=self.ages.over_last_minute(0.99, now_ms),
            ),
            undecodable=dict(self.undecodable),
            processes=self.pipeline.processes(now_ms),
            **msgspec.structs.asdict(self.pipeline.totals(now_ms)),
        )

    def _site(self, value: bytes, _offset: int, _now_ms: int) -> None:
        self.sites.registry.apply(decode_json(value, Site))

    def _presence(self, value: bytes, offset: int, _now_ms: int) -> None:
        self.sites.apply_presence(decode_json(value, Presence), offset)

    def _site_window(self, value: bytes, _offset: int, _now_ms: int) -> None:
        self.sites.apply_window(decode_json(value, SiteWindow))

    def _region_window(self, value: bytes, _offset: int, _now_ms: int) -> None:
        self.regions.apply_window(decode_json(value, RegionWindow))

    def _region_live(self, value: bytes, _offset: int, now_ms: int) -> None:
        live = decode_json(value, RegionLive)
        self.regions.apply_live(live, now_ms)
        if now_ms >= self.started_at_ms:
            self.ages.add(live.fresh_ages_ms, now_ms)

    def _region_forecast(self, value: bytes, _offset: int, _now_ms: int) -> None:
        self.regions.apply_forecast(decode_json(value, RegionForecast))

    def _rejected(self, value: bytes, _offset: int, _now_ms: int) -> None:
        self.rejections.apply(decode_json(value, Rejected))

    def _health(self, value: bytes, _offset: int, now_ms: int) -> None:
        self.pipeline.apply(decode_json(value, Health), now_ms)

    def alerts(self, now_ms: int) -> list[Alert]:
        """Storms that are neither over nor cancelled, by when they start."""
        standing = (a for a in self._alerts.values() if not a.cancelled and a.ends_at_ms > now_ms)
        return sorted(standing, key=lambda alert: (alert.starts_at_ms, alert.alert_id))

    def _request(self, value: bytes, _offset: int, _now_ms: int) -> None:
        self.dispatches.apply_request(read_request(value))

    def _told(self, value: bytes, _offset: int, now_ms: int) -> None:
        self.dispatches.apply_told(read_told(value), now_ms)

    def _commands(self, value: bytes, _offset: int, _now_ms: int) -> None:
        self.commands.apply_frame(decode_json(value, CommandFrame))

    def _command_events(self, value: bytes, _offset: int, _now_ms: int) -> None:
        for event in decode_json(value, CommandEvents).events:
            self.commands.apply_event(event)

    def _telemetry(self, value: bytes, _offset: int, _now_ms: int) -> None:
        if not len(self.commands):
            return  # nobody is asked for anything: there is nothing to compare with
        frame = decode_frame(value)
        columns = ("device_id", "measured_at_ms", "battery_w")
        self.commands.apply_readings(*(frame.column(name).to_pylist() for name in columns))

    def _alert(self, value: bytes, _offset: int, _now_ms: int) -> None:
        alert = decode_json(value, Alert)
        self._alerts[alert.alert_id] = alert

    def _bid(self, value: bytes, _offset: int, now_ms: int) -> None:
        self._markets.apply(decode_json(value, Bid), now_ms)

    def _market(self, value: bytes, _offset: int, now_ms: int) -> None:
        record: MarketRecord = decode_json(value, MarketRecord)  # type: ignore[arg-type]  # a union
        self._markets.apply(record, now_ms)

    def _removed(self, topic: Topic, key: bytes | None) -> None:
        if key is None:
            return
        if topic is topics.PRESENCE:
            self.sites.forget_presence(key.decode())
        elif topic is topics.DISPATCH_TARGETS:
            self.dispatches.forget_request(key.decode())
        elif topic is topics.GRID_ALERTS:
            self._alerts.pop(key.decode(), None)
