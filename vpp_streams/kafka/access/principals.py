"""Which role reads and writes which topics: the one list from which ACLs are generated.

A topic that is missing here is readable by nobody. `ledger.decisions`, `preferences` and
`identity.codes` decide about money, about homes and about devices: each has one writer.
"""

from dataclasses import dataclass
from typing import Any

from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic

Topics = tuple[Topic[Any], ...]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A role as Kafka knows it: user ``vpp-<role>``."""

    role: str
    about: str
    """What the role is, or which commands use its name."""
    reads: Topics = ()
    writes: Topics = ()
    groups: tuple[str, ...] = ()
    """Consumer groups that it is a member of, without the namespace."""
    transactional: tuple[str, ...] = ()
    """Prefixes of its transactional ids, without the namespace."""
    produce_bytes_s: int = 2 * MIB
    """Most that it may write to one broker in a second; Kafka delays what is beyond."""
    consume_bytes_s: int = 32 * MIB
    manages_topics: bool = False
    """Whether it may create topics, and read and alter the settings of those that exist."""

    @property
    def user(self) -> str:
        """Its name in Kafka."""
        return f"vpp-{self.role}"


REPORTS: Topics = (topics.HEALTH, topics.RECORDS_REJECTED)
"""Every process writes them: its health, and what it refuses."""
REFUSED_BEFORE: Topics = (topics.RECORDS_REJECTED,)
"""Before its first dead letter, a process reads which exist already."""
_REGISTRY: Topics = (topics.ASSETS, topics.PREFERENCES)
_RAW: Topics = (*topics.LIVE_RAW, topics.RAW_BACKFILL)
_MARKET: Topics = (
    topics.MARKET_BIDS,
    topics.MARKET_AWARDS,
    topics.MARKET_DELIVERIES,
    topics.MARKET_PLANS,
)
_WEB_READS: Topics = (
    *_REGISTRY,
    *_MARKET,
    topics.PRESENCE,
    topics.SITE_WINDOWS,
    topics.REGION_WINDOWS,
    topics.REGION_LIVE,
    topics.REGION_FORECASTS,
    topics.TELEMETRY,
    topics.TELEMETRY_REJECTED,
    topics.HEALTH,
    topics.DISPATCH_TARGETS,
    topics.DISPATCH_EVENTS,
    topics.COMMANDS,
    topics.COMMAND_EVENTS,
    topics.GRID_ALERTS,
    topics.INCIDENTS,
    topics.PROGRAMS,
    topics.ENROLMENTS,
    topics.TARIFFS,
)
_HISTORY: Topics = (
    topics.SITE_WINDOWS,
    topics.REGION_WINDOWS,
    topics.REGION_FORECASTS,
    topics.MARKET_BIDS,
    topics.MARKET_AWARDS,
    topics.MARKET_DELIVERIES,
    topics.DISPATCH_EVENTS,
    topics.COMMAND_EVENTS,
    topics.INCIDENTS,
)

_CANONICAL: Topics = (topics.TELEMETRY, topics.TELEMETRY_REJECTED)
_FLEET_READS: Topics = (
    topics.TELEMETRY,
    topics.PRESENCE,
    topics.DISPATCH,
    topics.COMMANDS,
    topics.COMMAND_EVENTS,
    topics.GRID_ALERTS,
    topics.FLEET_HOLDERS,
    topics.STATE_FLEET,
)
_FLEET_WRITES: Topics = (
    topics.SITE_WINDOWS,
    topics.REGION_PARTIALS,
    topics.TELEMETRY_REJECTED,
    topics.COMMANDS,
    topics.COMMAND_EVENTS,
    topics.GATEWAY_OUT,
    topics.FLEET_HOLDERS,
    topics.STATE_FLEET,
)

PRINCIPALS: tuple[Principal, ...] = (
    Principal(
        role="gateway",
        about="device sessions",
        reads=(
            topics.ASSETS,
            topics.IDENTITY_REVOCATIONS,
            topics.MARKET_PRICES,
            topics.GATEWAY_OUT,
        ),
        writes=(*_RAW, topics.PRESENCE, topics.COMMAND_EVENTS),
        produce_bytes_s=32 * MIB,
    ),
    Principal(
        role="ingest",
        about="raw bodies to telemetry",
        reads=(*_REGISTRY, *_RAW, topics.SEATS_INGEST),
        writes=_CANONICAL,
        groups=("ingest",),
        produce_bytes_s=32 * MIB,
    ),
    Principal(
        role="flow",
        about="ingest and fleet in one worker",
        reads=(*_REGISTRY, *_RAW, topics.SEATS_INGEST, *_FLEET_READS),
        writes=(topics.TELEMETRY, *_FLEET_WRITES),
        groups=("ingest",),
        transactional=("fleet.",),
        produce_bytes_s=64 * MIB,
        consume_bytes_s=64 * MIB,
    ),
    Principal(
        role="fleet",
        about="twins, windows, leases",
        reads=(*_REGISTRY, *_FLEET_READS, topics.SEATS_FLEET),
        writes=_FLEET_WRITES,
        groups=("fleet",),
        transactional=("fleet.",),
        produce_bytes_s=32 * MIB,
        consume_bytes_s=64 * MIB,
    ),
    Principal(
        role="region",
        about="regions and their dispatch",
        reads=(
            *_REGISTRY,
            topics.REGION_PARTIALS,
            topics.DISPATCH_TARGETS,
            topics.MARKET_PRICES,
            topics.STATE_REGION,
            topics.DUTY,
        ),
        writes=(
            topics.REGION_LIVE,
            topics.REGION_WINDOWS,
            topics.DISPATCH,
            topics.DISPATCH_EVENTS,
            topics.DISPATCH_TARGETS,
            topics.STATE_REGION,
            topics.DUTY,
        ),
        transactional=("region.",),
        produce_bytes_s=8 * MIB,
    ),
    Principal(
        role="optimizer",
        about="bids, plans, awards to targets",
        reads=(
            topics.ASSETS,
            *_MARKET,
            topics.MARKET_ORDERS,
            topics.MARKET_PUBLISHED,
            topics.DISPATCH_TARGETS,
            topics.DISPATCH_EVENTS,
            topics.REGION_LIVE,
            topics.REGION_WINDOWS,
            topics.REGION_FORECASTS,
            topics.DUTY,
        ),
        writes=(
            topics.MARKET_BIDS,
            topics.MARKET_ORDERS,
            topics.MARKET_PLANS,
            topics.MARKET_PRICES,
            topics.MARKET_DELIVERIES,
            topics.DISPATCH_TARGETS,
            topics.REGION_FORECASTS,
            topics.DUTY,
        ),
        transactional=("optimizer.",),
    ),
    Principal(
        role="market",
        about="the simulated market",
        reads=(topics.MARKET_AWARDS, topics.MARKET_BIDS, topics.MARKET_ORDERS, topics.DUTY),
        writes=(topics.MARKET_AWARDS, topics.DUTY),
        transactional=("market.",),
    ),
    Principal(
        role="settlement",
        about="entries of the ledger; `vpp ledger` and `vpp payout`",
        reads=(
            topics.ASSETS,
            topics.PROGRAMS,
            topics.ENROLMENTS,
            topics.PREFERENCES,
            topics.OPT_OUTS,
            topics.DISPATCH_TARGETS,
            topics.LEDGER_DECISIONS,
            topics.SETTLEMENT_ENTRIES,
            topics.SITE_WINDOWS,
            topics.DISPATCH_EVENTS,
            topics.MARKET_AWARDS,
            topics.MARKET_DELIVERIES,
            topics.DUTY,
        ),
        writes=(topics.SETTLEMENT_ENTRIES, topics.OPT_OUTS, topics.LEDGER_DECISIONS, topics.DUTY),
        transactional=("settlement.",),
    ),
    Principal(
        role="historian",
        about="years of windows and records in Parquet; `vpp report`",
        reads=_HISTORY,
        groups=("historian",),
    ),
    Principal(
        role="incidents",
        about="rules over what is reported",
        reads=(
            topics.ASSETS,
            topics.INCIDENTS,
            topics.REGION_LIVE,
            topics.DISPATCH_EVENTS,
            topics.MARKET_AWARDS,
            topics.MARKET_DELIVERIES,
            topics.HEALTH,
            topics.DUTY,
        ),
        writes=(topics.INCIDENTS, topics.DUTY),
        transactional=("incidents.",),
    ),
    Principal(
        role="identity",
        about="`vpp ca`: codes, certificates, revocation",
        reads=(
            topics.ASSETS,
            topics.IDENTITY_CODES,
            topics.IDENTITY_CERTIFICATES,
            topics.IDENTITY_REVOCATIONS,
        ),
        writes=(
            topics.IDENTITY_CODES,
            topics.IDENTITY_CERTIFICATES,
            topics.IDENTITY_REVOCATIONS,
        ),
    ),
    Principal(
        role="web",
        about="HTTP API and dashboard",
        reads=_WEB_READS,
        writes=(
            topics.DISPATCH_TARGETS,
            topics.GRID_ALERTS,
            topics.PREFERENCES,
            topics.INCIDENTS,
            topics.AUDIT,
        ),
        consume_bytes_s=64 * MIB,
    ),
    Principal(
        role="rpc",
        about="gRPC",
        reads=(
            *_REGISTRY,
            *_MARKET,
            topics.SITE_WINDOWS,
            topics.REGION_WINDOWS,
            topics.REGION_LIVE,
            topics.DISPATCH_EVENTS,
            topics.DISPATCH_TARGETS,
        ),
        writes=(topics.DISPATCH_TARGETS, topics.AUDIT),
        consume_bytes_s=64 * MIB,
    ),
    Principal(
        role="openadr",
        about="a utility's requests",
        reads=(
            topics.DISPATCH_TARGETS,
            topics.GRID_ALERTS,
            topics.REGION_WINDOWS,
            topics.REGION_LIVE,
        ),
        writes=(topics.DISPATCH_TARGETS, topics.GRID_ALERTS, topics.MARKET_PRICES),
    ),
    Principal(
        role="sim",
        about="the simulated fleet with --health",
        reads=(topics.GRID_FREQUENCY,),
    ),
    Principal(
        role="operator",
        about="a person's commands: assets, programs, publish, record, replay, frequency, audit",
        reads=tuple(t for t in topics.ALL if t is not topics.IDENTITY_CODES),
        writes=(
            topics.ASSETS,
            topics.PROGRAMS,
            topics.TARIFFS,
            topics.ENROLMENTS,
            topics.MARKET_PUBLISHED,
            topics.GRID_FREQUENCY,
            topics.DISPATCH_TARGETS,
            topics.TELEMETRY,
        ),
        manages_topics=True,
    ),
)


def principal(role: str) -> Principal:
    """The principal of a role. Raises `KeyError`."""
    return {each.role: each for each in PRINCIPALS}[role]


def readable(one: Principal) -> frozenset[Topic[Any]]:
    """All topics that a principal may read."""
    return frozenset((*one.reads, *REFUSED_BEFORE))


def writable(one: Principal) -> frozenset[Topic[Any]]:
    """All topics that a principal may write."""
    return frozenset((*one.writes, *REPORTS))
