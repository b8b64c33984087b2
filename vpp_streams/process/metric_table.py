"""Every metric of ``/metrics`` that is ours: its name, labels, unit, meaning, and where it is from.

Names follow Prometheus' conventions: base units, ``_total`` for counts, ``_ratio`` for shares of 1.
No label names a device, a site or a request, so that the number of series depends on the number of
regions, topics and partitions, and not on the size of the fleet. ``docs/metrics.md`` lists this
table.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

AGE_BUCKETS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
"""Fine about the goal of 1.5 s for the age of a reading in its region."""
LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class Source:
    """A counter or gauge of a role's `HealthReporter`, and the labels that it stands for.

    A key that ends with ``*`` stands for every key that begins like it: the rest, divided by ``:``,
    is the values of the labels.
    """

    role: str
    """``*`` = every role."""
    key: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric."""

    name: str
    """With ``_total`` where it is a counter."""
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    """``role``, where it is one, is filled in for every process."""
    sources: tuple[Source, ...] = ()
    """None where a part of the process sets it by its name (`HealthReporter.figures`)."""


def _row(
    name: str,
    meaning: str,
    *sources: tuple[str, str] | tuple[str, str, str],
    labels: tuple[str, ...] = (),
    kind: Kind | None = None,
) -> MetricRow:
    found = tuple(Source(role, key, tuple(more)) for role, key, *more in sources)
    return MetricRow(
        name, kind or ("counter" if name.endswith("_total") else "gauge"), meaning, labels, found
    )


OF_EVERY_PROCESS = (
    _row("vpp_build_info", "1; its labels say what runs.", labels=("role", "version", "namespace")),
    _row("vpp_live", "1 while ``/livez`` says so, else 0.", labels=("role",)),
    _row("vpp_ready", "1 while ``/readyz`` says so, else 0.", labels=("role",)),
    _row(
        "vpp_warm",
        "1 while the process waits to take over from another.",
        ("*", "warm"),
        labels=("role",),
    ),
    _row(
        "vpp_on_duty",
        "1 while the process does the work of a role that one process at a time does, else 0.",
        ("*", "on_duty"),
        labels=("role",),
    ),
    _row(
        "vpp_event_loop_lag_seconds",
        "How long the event loop took to do what it was given, measured twice a second.",
        labels=("role",),
        kind="histogram",
    ),
    _row(
        "vpp_kafka_answer_age_seconds",
        "Time since Kafka last confirmed a record of this process.",
        labels=("role",),
    ),
    _row(
        "vpp_consumer_lag_records",
        "Records in the log that this process has not applied; a partition whose end is not known"
        " has no series.",
        labels=("role", "topic", "partition"),
    ),
    _row("vpp_partitions_owned", "Partitions that the process holds.", labels=("role",)),
    _row(
        "vpp_recovery_seconds",
        "Time that the newest takeover of partitions took, until their state was read.",
        labels=("role",),
    ),
    _row(
        "vpp_records_rejected_total",
        "Records of our own topics that the process refused.",
        ("*", "records_rejected"),
        labels=("role",),
    ),
    _row(
        "vpp_dead_letters_total",
        "The same by topic and reason; the first of each pair begins its series.",
        ("*", "rejected:*"),
        labels=("role", "topic", "reason"),
    ),
    _row(
        "vpp_record_faults_total",
        "Records whose application failed: faults of ours.",
        ("*", "apply_errors"),
        labels=("role",),
    ),
    _row(
        "vpp_records_missing",
        "Records that were removed from the log before the process read them.",
        ("*", "missing_records"),
        labels=("role",),
    ),
    _row(
        "vpp_events_total",
        "Everything else that the process counts, by the name of the counter in topic ``health``.",
        labels=("role", "event"),
    ),
)
OF_GATEWAYS = (
    _row("vpp_devices_connected", "Devices connected to this gateway.", ("gateway", "connections")),
    _row(
        "vpp_gateway_readings_total",
        "Readings received from devices: live, or kept during an outage.",
        ("gateway", "readings_in", "live"),
        ("gateway", "backfill_in", "backfill"),
        labels=("lane",),
    ),
    _row(
        "vpp_gateway_connections_total",
        "Connections that were opened by devices, and closed.",
        ("gateway", "connects", "opened"),
        ("gateway", "disconnects", "closed"),
        ("gateway", "refused", "refused"),
        labels=("event",),
    ),
    _row(
        "vpp_gateway_dropped_readings_total",
        "Readings that a device has to send again, as it sent more than its rate.",
        ("gateway", "rate_limited"),
    ),
    _row(
        "vpp_gateway_in_flight_bytes",
        "Readings on their way to Kafka.",
        ("gateway", "in_flight_bytes"),
    ),
    _row(
        "vpp_gateway_setpoints_total",
        "Commands for this gateway's devices: received, delivered, and not delivered.",
        ("gateway", "commands_in", "received"),
        ("gateway", "commands_delivered", "delivered"),
        ("gateway", "commands_not_delivered", "not_delivered"),
        labels=("event",),
    ),
)
OF_THE_PIPELINE = (
    _row(
        "vpp_ingest_readings_total",
        "Readings that ingest made canonical, or refused.",
        ("ingest", "canonical", "canonical"),
        ("ingest", "rejected", "rejected"),
        labels=("outcome",),
    ),
    _row(
        "vpp_readings_rejected_total",
        "Readings that are dead letters of ``telemetry.rejected``, by reason.",
        ("*", "reading_rejected:*"),
        labels=("role", "reason"),
    ),
    _row("vpp_fleet_readings_total", "Readings applied to twins.", ("fleet", "readings")),
    _row("vpp_fleet_duplicates_total", "Repeats that were dropped.", ("fleet", "duplicates")),
    _row("vpp_fleet_windows_closed_total", "Site windows closed.", ("fleet", "windows_closed")),
    _row(
        "vpp_fleet_devices",
        "Devices of the partitions that the worker holds.",
        ("fleet", "devices"),
    ),
    _row(
        "vpp_reading_age_seconds",
        "Age of each reading when its region first included it.",
        labels=("region",),
        kind="histogram",
    ),
)
OF_REGIONS = (
    _row(
        "vpp_region_sites",
        "Sites of a region: expected, and reporting.",
        labels=("region", "state"),
    ),
    _row(
        "vpp_region_coverage_ratio", "Share of the expected sites that report.", labels=("region",)
    ),
    _row("vpp_region_soc_ratio", "State of charge of the region's batteries.", labels=("region",)),
    _row(
        "vpp_region_oldest_sample_age_seconds",
        "Age of the oldest newest reading among the sites that report.",
        labels=("region",),
    ),
    _row(
        "vpp_region_power_watts",
        "Measured power of the sites that report: battery + = discharge, grid + = import.",
        labels=("region", "of"),
    ),
    _row(
        "vpp_region_installed_watts",
        "Discharge ratings of the registered batteries, and of those that can be commanded now.",
        labels=("region", "state"),
    ),
    _row(
        "vpp_region_commandable_ratio",
        "Share of the installed power that can be commanded now.",
        labels=("region",),
    ),
    _row(
        "vpp_region_dispatch_active",
        "1 for the mode of the region's dispatch now.",
        labels=("region", "mode"),
    ),
    _row("vpp_region_requested_watts", "Power that is requested now.", labels=("region",)),
    _row(
        "vpp_region_allocated_watts",
        "Battery power that the region's orders and what cannot be commanded add up to.",
        labels=("region",),
    ),
    _row(
        "vpp_region_measured_watts",
        "Battery power measured, while power is requested.",
        labels=("region",),
    ),
    _row(
        "vpp_region_missing_watts",
        "Requested power that the region announces as missing.",
        labels=("region",),
    ),
    _row(
        "vpp_requests_total",
        "Requests for power, by what was decided of them.",
        ("region", "requests_*"),
        labels=("state",),
    ),
    _row("vpp_orders_total", "Orders to fleet partitions.", ("region", "orders")),
    _row("vpp_commands_total", "Setpoints that the fleet role issued.", ("fleet", "commands")),
    _row(
        "vpp_breaches_total",
        "Limits or reserves that a setpoint or a device broke: each is a fault of ours.",
        ("fleet", "breaches", "setpoint"),
        ("sim", "breach_*"),
        labels=("limit",),
    ),
)
OF_THE_MARKET = (
    _row("vpp_bids_total", "Bids sent: gates met.", ("optimizer", "bids")),
    _row(
        "vpp_bid_rungs_total",
        "Bids by the rung of the ladder of fallbacks that made them; 0 = the best.",
        ("optimizer", "rung_*"),
        labels=("rung",),
    ),
    _row(
        "vpp_gates_missed_total",
        "Gates for which no bid was made, or it was sent too late.",
        ("optimizer", "gates_missed", "none"),
        ("optimizer", "late", "late"),
        labels=("how",),
    ),
    _row(
        "vpp_decisions_failed_total",
        "Decisions that failed or took too long; a safe bid replaced each.",
        ("optimizer", "decisions_failed"),
    ),
    _row("vpp_bids_refused_total", "Bids that a market refused.", ("optimizer", "refused")),
    _row("vpp_awards_total", "Awards that became targets.", ("optimizer", "awards")),
    _row(
        "vpp_shortfalls_total",
        "Awards of which power was reported as missing.",
        ("optimizer", "shortfalls"),
    ),
)
OF_THE_BOOKS = (
    _row(
        "vpp_ledger_lag_records", "Records that the ledger has not booked.", ("settlement", "lag")
    ),
    _row("vpp_ledger_records_total", "Records booked.", ("settlement", "records_booked")),
    _row(
        "vpp_intervals_due", "Intervals that wait to be settled.", ("settlement", "intervals_due")
    ),
    _row("vpp_intervals_settled_total", "Intervals settled.", ("settlement", "intervals_settled")),
    _row(
        "vpp_intervals_refused_total",
        "Intervals that cannot be settled until a person acts.",
        ("settlement", "intervals_refused"),
    ),
    _row(
        "vpp_history_lag_records", "Records that are in no history file yet.", ("historian", "lag")
    ),
    _row("vpp_open_incidents", "Incidents that are open, by severity.", labels=("severity",)),
)
TABLE: dict[str, tuple[MetricRow, ...]] = {
    "processes": OF_EVERY_PROCESS,
    "gateways": OF_GATEWAYS,
    "pipeline": OF_THE_PIPELINE,
    "regions": OF_REGIONS,
    "market": OF_THE_MARKET,
    "books": OF_THE_BOOKS,
}
"""The metrics by subject."""
ROWS: dict[str, MetricRow] = {row.name: row for rows in TABLE.values() for row in rows}


def as_markdown(rows: tuple[MetricRow, ...]) -> str:
    """A table for people."""
    lines = [
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{name}`' for name in row.labels) or '-'} |"
        f" {unit_of(row.name)} | {row.meaning.replace('``', '`')} |"
        for row in rows
    ]
    return "\n".join(("| name | type | labels | unit | meaning |", "|---|---|---|---|---|", *lines))


def unit_of(name: str) -> str:
    """The unit of a metric, which its name ends with; without one it counts."""
    word = name.removesuffix("_total").rpartition("_")[2]
    return {"seconds": "s", "watts": "W", "bytes": "byte", "ratio": "1"}.get(word, "count")
