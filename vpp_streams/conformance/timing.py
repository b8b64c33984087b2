"""The times of a check: how long it watches, and how long it waits before it gives up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTiming:
    """Times of a check of a device, ms. What the device is told is part of them."""

    interval_ms: int = 1000
    """Between readings, as HelloResult says."""
    first_connection_ms: int = 120_000
    """How long to wait for the device in the beginning."""
    connection_ms: int = 90_000
    """How long it may take to connect again: the longest back-off is 60 s."""
    hello_delay_ms: int = 2500
    """How long the first Hello is left unanswered, to see whether readings wait."""
    answer_ms: int = 5000
    refused_again_ms: int = 10_000
    """How soon a reading that was refused until later has to be sent again."""
    backfill_ms: int = 60_000
    backfill_delay_ms: tuple[int, int] = (500, 1500)
    rows_per_s: int = 2
    """The delay and the pace of Backfill that the check announces after an outage."""
    lease_ms: int = 20_000
    status_slack_ms: int = 3000
    """How late the end of a lease may be reported and measured."""
    away_ms: int = 5000
    """How long the gateway is out of reach after a cut."""
    drain_ms: tuple[int, int] = (1000, 5000)
    """``reconnect_in_ms`` of a Drain."""
    leave_ms: int = 5000
    """How soon after a Drain the connection has to end."""
    soon_ms: int = 2500
    """How soon to connect again after 1012: within 1 s, and the time that it takes."""
    shun_ms: int = 30_000
    """How long to stay away after 1008, at least."""
    gone_ms: int = 15_000
    """How long to look for a device that should not connect again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTiming:
    """Times of a check of a gateway, ms."""

    answer_ms: int = 8000
    """How long an answer may take: 5 s, and the network."""
    ack_slack_ms: int = 5000
    """How much later than ``ack_ms`` an Ack may be."""
    hello_ms: int = 10_000
    """How long a connection without Hello lasts."""
    close_slack_ms: int = 5000
    """How much later than its time a connection may be closed."""
