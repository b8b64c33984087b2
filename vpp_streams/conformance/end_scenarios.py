"""Scenarios about the end of a connection: a Drain, and close codes with what they ask for."""

from schemas.protocol import (
    CLOSE_ABUSE,
    CLOSE_REGISTRY_CHANGED,
    CLOSE_REPLACED,
    Result,
)
from vpp_streams.conformance.stage import Scenario, Stage
from vpp_streams.conformance.transcript import Ended, Opened, Received
from vpp_streams.conformance.verdicts import Verdict, judged, not_tried


async def drain(stage: Stage) -> list[Verdict]:
    """Announce the end of the gateway."""
    if not await stage.more_live(1):
        return not_tried(DRAIN.tries, "it sent no live reading")
    link, timing, began_ms = stage.player.link, stage.timing, stage.player.journal.now_ms()
    await stage.player.drain(timing.drain_ms)
    left = await stage.until(lambda: _ended_ms(stage, link) is not None, timing.leave_ms)
    answered = any(
        isinstance(event, Received)
        and event.link == link
        and isinstance(event.message, Result)
        and event.message.id == "drain"
        for event in stage.events
    )
    ended_ms = _ended_ms(stage, link) or began_ms
    if not left:
        stage.player.cut()
    latest_ms = timing.drain_ms[1] + timing.soon_ms
    await stage.player.connection(link, latest_ms)
    opened_ms = _next_opened_ms(stage, link)
    away_ms = None if opened_ms is None else opened_ms - ended_ms
    expected = f"an answer, an end, and another connection after {timing.drain_ms} ms"
    seen = (
        f"{'an' if answered else 'no'} answer, {'an' if left else 'no'} end,"
        f" connected after {away_ms} ms"
    )
    in_time = away_ms is not None and timing.drain_ms[0] * 0.9 <= away_ms <= latest_ms
    return [judged("D-36", answered and left and in_time, expected, seen)]


async def soon(stage: Stage) -> list[Verdict]:
    """Close because the device's record has changed."""
    away_ms = await _away_ms(stage, CLOSE_REGISTRY_CHANGED, stage.timing.soon_ms)
    expected = f"another connection within {stage.timing.soon_ms} ms after 1012"
    seen = "none" if away_ms is None else f"after {away_ms} ms"
    return [judged("D-37", away_ms is not None, expected, seen)]


async def shunned(stage: Stage) -> list[Verdict]:
    """Close because of too many refused messages."""
    await stage.connected()
    away_ms = await _away_ms(stage, CLOSE_ABUSE, stage.timing.connection_ms)
    expected = f"another connection {stage.timing.shun_ms} ms after 1008, at the earliest"
    seen = "none" if away_ms is None else f"after {away_ms} ms"
    holds = away_ms is not None and away_ms >= stage.timing.shun_ms
    return [judged("D-38", holds, expected, seen)]


async def replaced(stage: Stage) -> list[Verdict]:
    """Close because another client has the device's identity: the last scenario of a check."""
    await stage.connected()
    away_ms = await _away_ms(stage, CLOSE_REPLACED, stage.timing.gone_ms)
    seen = f"a connection after {away_ms} ms"
    return [judged("D-39", away_ms is None, "no connection after 4001", seen)]


async def _away_ms(stage: Stage, code: int, within_ms: int) -> int | None:
    """Close with a code; returns how long the device stayed away, None = longer than this."""
    link, began_ms = stage.player.link, stage.player.journal.now_ms()
    await stage.player.close(code)
    await stage.until(lambda: _next_opened_ms(stage, link) is not None, within_ms)
    opened_ms = _next_opened_ms(stage, link)
    return None if opened_ms is None else opened_ms - began_ms


def _next_opened_ms(stage: Stage, link: int) -> int | None:
    """When the first upgrade after this connection was requested."""
    times = (e.at_ms for e in stage.events if isinstance(e, Opened) and e.link > link)
    return next(times, None)


def _ended_ms(stage: Stage, link: int) -> int | None:
    times = (e.at_ms for e in stage.events if isinstance(e, Ended) and e.link == link)
    return next(times, None)


DRAIN = Scenario("drain", ("D-36",), drain)
SOON = Scenario("close code 1012", ("D-37",), soon)
SHUNNED = Scenario("close code 1008", ("D-38",), shunned)
REPLACED = Scenario("close code 4001", ("D-39",), replaced)
