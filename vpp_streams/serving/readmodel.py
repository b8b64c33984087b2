"""The read model: the content of the output topics, ready for queries; pure and of bounded size.

Records are applied one by one, each with the time at which it is applied. Records that cannot be
read are left out before (`vpp_streams.kafka.follower`).
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from schemas.assets import Site
from schemas.commands import CommandEvents, CommandFrame
from schemas.dispatch import DispatchEvent, Request
from schemas.forecast import RegionForecast
from schemas.grid import Alert
from schemas.health import Health
from schemas.incidents import IncidentRecord
from schemas.market import Bid, MarketTopicRecord
from schemas.preferences import Preferences
from schemas.presence import Presence
from schemas.programs import Enrolment, Program, Tariff
from schemas.rejected import RejectedRecord
from schemas.telemetry import Rejected
from schemas.windows import RegionLive, RegionWindow, SiteWindow
from vpp_streams.domain.incidents.known import KnownIncidents
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.errors import RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.dead_letters import REFUSED_OF
from vpp_streams.kafka.decode import Read, Removed
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.ages import Ages
from vpp_streams.serving.control_views import AlarmList, RegionAlarm, RegionStanding
from vpp_streams.serving.dispatches import Dispatches
from vpp_streams.serving.explorer import Explorer
from vpp_streams.serving.market_answers import MarketAnswers
from vpp_streams.serving.market_model import Markets
from vpp_streams.serving.newest_commands import Commands
from vpp_streams.serving.pipeline import Pipeline
from vpp_streams.serving.regions import Regions
from vpp_streams.serving.rejected_records import RejectedRecords
from vpp_streams.serving.rejections import Rejections
from vpp_streams.serving.sites import Sites
from vpp_streams.serving.standings import standing_of
from vpp_streams.serving.views import AgeView, HealthView, RegionView, Summary

KEEP_SITE_WINDOWS = {60: 120, 900: 96}
"""Windows kept per site, by size in seconds: two hours of minutes, a day of quarter hours."""
KEEP_REGION_WINDOWS = 240
MAX_SITE_WINDOWS = 300_000
"""Site windows kept in total, about 150 MB: above 1400 sites, fewer are kept of each."""

Apply = Callable[[Any, int, int], None]


class ReadModel:
    """Regions, sites, rejected readings and the pipeline's health, as last received."""

    def __init__(self, started_at_ms: int) -> None:
        self.started_at_ms = started_at_ms
        """Ages are counted from this time on: older records fill charts, not percentiles."""
        self.regions = Regions(KEEP_SITE_WINDOWS, KEEP_REGION_WINDOWS)
        self.sites = Sites(KEEP_SITE_WINDOWS, MAX_SITE_WINDOWS)
        self.rejections = Rejections()
        self.rejected_records = RejectedRecords()
        self.dispatches = Dispatches()
        self.commands = Commands(self.sites.registry)
        self._alerts: dict[str, Alert] = {}
        self.explorer = Explorer(
            self.sites.registry, self.commands, self.alerts, self.dispatches.ruling, started_at_ms
        )
        self._markets = Markets()
        self.markets = MarketAnswers(self._markets)
        self.incidents = KnownIncidents()
        self.agreements = Agreements()
        """Programs, enrolments and tariffs."""
        self.programs: dict[tuple[str, int], Program] = {}
        """Terms that owners are paid by, by id and version."""
        self.pipeline = Pipeline()
        self.ages = Ages()
        self.counters: Counter[str] = Counter()
        """Monotone, for this process's own health."""
        self._apply = self._appliers()

    def _appliers(self) -> dict[str, Apply]:
        """The methods that apply the records of each topic, by the topic's name."""
        return {
            topics.ASSETS.name: self._site,
            topics.PREFERENCES.name: self._preferences,
            topics.PRESENCE.name: self._presence,
            topics.SITE_WINDOWS.name: self._site_windows,
            topics.REGION_WINDOWS.name: self._region_window,
            topics.REGION_LIVE.name: self._region_live,
            topics.REGION_FORECASTS.name: self._region_forecast,
            topics.TELEMETRY_REJECTED.name: self._rejected,
            topics.RECORDS_REJECTED.name: self._rejected_record,
            topics.HEALTH.name: self._health,
            topics.DISPATCH_TARGETS.name: self._request,
            topics.DISPATCH_EVENTS.name: self._dispatch_event,
            topics.COMMANDS.name: self._commands,
            topics.COMMAND_EVENTS.name: self._command_events,
            topics.TELEMETRY.name: self._telemetry,
            topics.GRID_ALERTS.name: self._alert,
            topics.INCIDENTS.name: self._incident,
            topics.PROGRAMS.name: self._program,
            topics.ENROLMENTS.name: self._agreement,
            topics.TARIFFS.name: self._agreement,
            topics.MARKET_BIDS.name: self._market,
            topics.MARKET_AWARDS.name: self._market,
            topics.MARKET_DELIVERIES.name: self._market,
            topics.MARKET_PLANS.name: self._market,
        }

    def apply(self, topic: Topic[Any], read: Read[Any], now_ms: int) -> None:
        """Apply one record at ``now_ms``: when it was received, or when it was written if older.

        Raises `RefusedError` for a record with impossible content, `KeyError` for a topic that is
        not part of the read model.
        """
        self._apply[topic.name](read.record, read.offset, now_ms)
        self.counters["records_applied"] += 1

    def remove(self, topic: Topic[Any], removed: Removed) -> None:
        """Forget the content of a key that was removed from a compacted topic."""
        if topic is topics.PREFERENCES:
            self.sites.registry.prefer(removed.key, None)
        elif topic is topics.PRESENCE:
            self.sites.forget_presence(removed.key)
            self.explorer.apply_presence(removed.key, None)
        elif topic is topics.DISPATCH_TARGETS:
            self.dispatches.forget_request(removed.key)
        elif topic is topics.GRID_ALERTS:
            self._alerts.pop(removed.key, None)
        self.counters["records_applied"] += 1

    @property
    def undecodable(self) -> Counter[str]:
        """Number of refused records by topic."""
        refused: Counter[str] = Counter()
        for name, count in self.counters.items():
            if name.startswith(REFUSED_OF):
                refused[name.removeprefix(REFUSED_OF).partition(":")[0]] += count
        return refused

    def summary(self, now_ms: int) -> Summary:
        """The complete loop on one page."""
        return Summary(
            at_ms=now_ms,
            age_p50_ms=self.ages.over_run(0.5),
            age_p99_ms=self.ages.over_run(0.99),
            regions=self.regions_now(now_ms),
            processes=self.pipeline.processes(now_ms),
            **msgspec.structs.asdict(self.pipeline.totals(now_ms)),
        )

    def regions_now(self, now_ms: int, changed_since: int = 0) -> list[RegionView]:
        """As `Regions.now`, each region with its standing."""
        return [
            self._with_standing(view, now_ms) for view in self.regions.now(now_ms, changed_since)
        ]

    def region_now(self, name: str, now_ms: int) -> RegionView | None:
        """As `Regions.one`, with its standing."""
        view = self.regions.one(name, now_ms)
        return None if view is None else self._with_standing(view, now_ms)

    def _with_standing(self, view: RegionView, now_ms: int) -> RegionView:
        standing = standing_of(view, self.dispatches.one(view.region, now_ms))
        return msgspec.structs.replace(view, standing=standing)

    def standings(self, now_ms: int) -> list[RegionStanding]:
        """The standing of every region of which a record was received."""
        live = {view.region: view for view in self.regions.now(now_ms)}
        dispatches = {now.region: now for now in self.dispatches.now(now_ms)}
        incidents = Counter(incident.region for incident in self.incidents.open())
        return [
            RegionStanding(
                region=name,
                standing=standing_of(live.get(name), dispatches.get(name)),
                incidents_open=incidents[name],
            )
            for name in sorted(live.keys() | dispatches.keys())
        ]

    def alarms(self, now_ms: int, limit: int) -> AlarmList:
        """What needs attention now; of devices, the ``limit`` oldest alarms."""
        found, open_ = self.commands.alarms(now_ms), self.incidents.open()
        return AlarmList(
            total=len(found),
            alarms=found[:limit],
            regions=[
                RegionAlarm(region=one.region, finding=finding)
                for one in self.standings(now_ms)
                for finding in one.standing.findings
                if finding.alarm
            ],
            records_rejected=self.rejected_records.lately(now_ms),
            incidents_open=len(open_),
            incidents_unacknowledged=sum(
                one.incident_id not in self.incidents.acknowledged for one in open_
            ),
        )

    def health(self, now_ms: int) -> HealthView:
        """The state of the pipeline: processes, rates, lag and ages."""
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
            records_rejected_lately=self.rejected_records.lately(now_ms),
            undecodable=dict(self.undecodable),
            processes=self.pipeline.processes(now_ms),
            **msgspec.structs.asdict(self.pipeline.totals(now_ms)),
        )

    def _site(self, record: Site, _offset: int, _now_ms: int) -> None:
        self.sites.registry.apply(record)

    def _preferences(self, record: Preferences, _offset: int, _now_ms: int) -> None:
        self.sites.registry.prefer(record.site_id, record)

    def _presence(self, record: Presence, offset: int, _now_ms: int) -> None:
        self.sites.apply_presence(record, offset)
        self.explorer.apply_presence(record.device_id, self.sites.presence_of(record.device_id))

    def _site_windows(self, record: SiteWindow | pa.RecordBatch, _offset: int, _ms: int) -> None:
        if isinstance(record, SiteWindow):
            self.sites.apply_window(record)
        else:
            self.sites.apply_windows(record)

    def _region_window(self, record: RegionWindow, _offset: int, _now_ms: int) -> None:
        self.regions.apply_window(record)

    def _region_live(self, record: RegionLive, _offset: int, now_ms: int) -> None:
        self.regions.apply_live(record, now_ms)
        if now_ms >= self.started_at_ms:
            self.ages.add(record.fresh_ages_ms, now_ms)

    def _region_forecast(self, record: RegionForecast, _offset: int, _now_ms: int) -> None:
        self.regions.apply_forecast(record)

    def _rejected(self, record: Rejected, _offset: int, _now_ms: int) -> None:
        self.rejections.apply(record)

    def _rejected_record(self, record: RejectedRecord, _offset: int, _now_ms: int) -> None:
        self.rejected_records.apply(record)

    def _health(self, record: Health, _offset: int, now_ms: int) -> None:
        self.pipeline.apply(record, now_ms)

    def alerts(self, now_ms: int) -> list[Alert]:
        """Storms that have neither ended nor been cancelled, by their start."""
        standing = (a for a in self._alerts.values() if not a.cancelled and a.ends_at_ms > now_ms)
        return sorted(standing, key=lambda alert: (alert.starts_at_ms, alert.alert_id))

    def known_alerts(self) -> list[Alert]:
        """All storms that are known, also those that are over."""
        return list(self._alerts.values())

    def _request(self, record: Request, _offset: int, _now_ms: int) -> None:
        self.dispatches.apply_request(record)

    def _dispatch_event(self, record: DispatchEvent, _offset: int, now_ms: int) -> None:
        self.dispatches.apply_event(record, now_ms)

    def _commands(self, record: CommandFrame, _offset: int, _now_ms: int) -> None:
        self.commands.apply_frame(record)

    def _command_events(self, record: CommandEvents, _offset: int, _now_ms: int) -> None:
        for event in record.events:
            self.commands.apply_event(event)

    def _telemetry(self, record: pa.RecordBatch, _offset: int, _now_ms: int) -> None:
        self.explorer.apply_readings(record)
        if not len(self.commands):
            return  # without commands there is nothing to compare with
        columns = ("device_id", "measured_at_ms", "received_at_ms", "battery_w")
        self.commands.apply_readings(*(record.column(name).to_pylist() for name in columns))

    def _alert(self, record: Alert, _offset: int, _now_ms: int) -> None:
        self._alerts[record.alert_id] = record

    def _incident(self, record: IncidentRecord, _offset: int, _now_ms: int) -> None:
        self.incidents.apply(record)

    def _program(self, record: Program, _offset: int, _now_ms: int) -> None:
        if (fault := self.agreements.apply(record)) is not None:
            raise RefusedError(fault)
        self.programs[record.program_id, record.version] = record

    def _agreement(self, record: Enrolment | Tariff, _offset: int, _now_ms: int) -> None:
        if (fault := self.agreements.apply(record)) is not None:
            raise RefusedError(fault)

    def _market(self, record: MarketTopicRecord | Bid, _offset: int, now_ms: int) -> None:
        self._markets.apply(record, now_ms)
