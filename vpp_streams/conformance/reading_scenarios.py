"""Scenarios about readings: their pace, unknown keys, and what a device keeps of an outage."""

from itertools import pairwise

import msgspec

from schemas.protocol import Backfill, ErrorCode, Hello
from vpp_streams.conformance.stage import Scenario, Stage
from vpp_streams.conformance.transcript import (
    Reading,
    acked,
    calls_received,
    hellos,
    readings,
)
from vpp_streams.conformance.verdicts import Verdict, judged, not_tried

_WATCHED = 8
"""Readings over which the pace is judged."""
_PACE_SLACK_S = 2.0
"""Backfill may use time that it has saved, for a second, and messages hold several rows."""


async def pace(stage: Stage) -> list[Verdict]:
    """Watch the readings of some intervals."""
    span_ms = _WATCHED * stage.timing.interval_ms
    before = len(stage.live())
    await stage.pause(span_ms)
    count = len(stage.live()) - before
    expected = f"about {_WATCHED} readings in {span_ms} ms"
    return [judged("D-8", _WATCHED / 2 <= count <= 2 * _WATCHED, expected, f"{count} readings")]


async def strangers(stage: Stage) -> list[Verdict]:
    """Send keys and actions that no version knows yet."""
    expected = "live readings go on over the same connection"
    await stage.more_live(2)
    stage.player.behave(unknown_keys=True)
    if not await stage.connected_anew() or not await stage.more_live(3):
        words = "none after unknown keys in HelloResult and Ack"
        return [judged("D-6", False, expected, words)]
    link = stage.player.link
    for number, type_ in enumerate((2, 6)):
        payload = {"from": "a later version"}
        await stage.player.send(msgspec.json.encode((type_, f"x{number}", "Reboot", payload)))
    on = await stage.more_live(3) and stage.player.link == link and stage.player.connected
    return [judged("D-6", on, expected, "none after the unknown action Reboot")]


async def boot_used(stage: Stage) -> list[Verdict]:
    """Say that the boot has been used before: it was started again with an old memory."""
    stage.player.behave(boot_used=True)
    if not await stage.connected_anew():
        return not_tried(["D-19"], "it did not connect")
    old, link = stage.hello.boot, stage.player.link
    stage.player.behave(boot_used=False)
    await stage.player.connection(link, stage.timing.connection_ms)
    boots = [hello.boot for number, hello in hellos(stage.events) if number > link]
    seen = f"boot {boots[0]}" if boots else "no other connection"
    return [judged("D-19", bool(boots) and boots[0] != old, f"another boot than {old}", seen)]


async def outage(stage: Stage) -> list[Verdict]:
    """Refuse two readings, withhold acks, cut the link, and let the device return."""
    if not await stage.more_live(2):
        return not_tried(OUTAGE.tries, "it sent no live readings")
    verdicts = [await _refuse_until_later(stage)]
    gone = await _refuse(stage, "bad_message")
    stage.player.behave(acks=False)
    await stage.more_live(4)
    link, kept_before = stage.player.link, _not_acked(stage, stage.hello.boot)
    stage.player.behave(turn_away=True)
    stage.player.cut()
    await stage.pause(stage.timing.away_ms)
    before = frozenset(acked(stage.events))
    back = await _let_in(stage)
    verdicts.append(judged("D-35", back, "another connection", "none"))
    if not back:
        return [*verdicts, *not_tried(["D-14", "D-15", "D-17", "D-18"], "it did not return")]
    verdicts.append(await _judge_kept(stage, link, _due(stage, kept_before, gone)))
    sent = {(r.boot, r.seq) for r in readings(stage.events) if r.link > link}
    again = sorted(seq for _, seq in sent & before)
    verdicts.append(judged("D-15", not again, "no reading that was acked", f"{again[:10]}"))
    return [*verdicts, _judge_refused(stage, gone), _judge_order(stage, link)]


async def _let_in(stage: Stage) -> bool:
    """Accept the device again, at a slow pace of Backfill; returns whether it connected."""
    stage.player.behave(
        turn_away=False,
        acks=True,
        rows_per_s=stage.timing.rows_per_s,
        backfill_delay_ms=stage.timing.backfill_delay_ms,
    )
    return await stage.connected()


async def _judge_kept(stage: Stage, link: int, due: set[tuple[str, int]]) -> Verdict:
    """Wait for the Backfill of these names after connection ``link``."""
    await stage.until(lambda: due <= _backfilled(stage, link), stage.timing.backfill_ms)
    missing = sorted(due - _backfilled(stage, link))
    words = f"Backfill of the {len(due)} readings that were not acked"
    return judged("D-14", bool(due) and not missing, words, f"missing: {missing[:10]}")


async def _refuse_until_later(stage: Stage) -> Verdict:
    """Refuse one reading with ``not_stored``, and wait for it as Backfill."""
    seq = await _refuse(stage, "not_stored")
    if seq is None:
        return not_tried(["D-16"], "it sent no reading to refuse")[0]
    link = stage.player.link

    def again() -> bool:
        return seq in [r.seq for r in readings(stage.events) if not r.live and r.link >= link]

    came = await stage.until(again, stage.timing.refused_again_ms)
    words = f"number {seq} as Backfill within {stage.timing.refused_again_ms} ms"
    return judged("D-16", came, words, "it was not sent again")


async def _refuse(stage: Stage, code: ErrorCode) -> int | None:
    """Refuse the next live reading; returns its number, None if none was received."""
    had = set(stage.player.refused)
    stage.player.behave(refuses_next=code)
    await stage.until(lambda: set(stage.player.refused) > had, stage.timing.answer_ms)
    stage.player.behave(refuses_next=None)
    new = set(stage.player.refused) - had
    return next(iter(new), None)


def _not_acked(stage: Stage, boot: str) -> set[tuple[str, int]]:
    """Names of this boot's readings that were received and have no Ack."""
    names = {(r.boot, r.seq) for r in readings(stage.events) if r.boot == boot}
    return names - acked(stage.events)


def _due(stage: Stage, kept_before: set[tuple[str, int]], gone: int | None) -> set[tuple[str, int]]:
    """Names that have to be in the Backfill: not acked, or measured while there was no link."""
    hello = stage.hello
    same_boot = (seq for boot, seq in kept_before if boot == hello.boot)
    newest = max(same_boot, default=hello.oldest_seq - 1)
    while_away = {(hello.boot, seq) for seq in range(newest + 1, hello.next_seq)}
    return {(boot, seq) for boot, seq in kept_before | while_away if seq != gone}


def _backfilled(stage: Stage, after: int) -> set[tuple[str, int]]:
    """Names that a Backfill after connection ``after`` covers; an empty row covers its number."""
    return {
        (kept.b, seq)
        for event, _, kept in calls_received(stage.events, Backfill)
        if event.link > after
        for seq in range(kept.from_, kept.from_ + len(kept.rows))
    }


def _judge_refused(stage: Stage, gone: int | None) -> Verdict:
    if gone is None:
        return not_tried(["D-17"], "it sent no reading to refuse")[0]
    boot = stage.hello.boot
    sent = [r for r in readings(stage.events) if r.seq == gone and r.boot == boot]
    words = f"number {gone} was sent {len(sent)} times"
    return judged("D-17", len(sent) == 1, f"number {gone} once, refused with bad_message", words)


def _judge_order(stage: Stage, after: int) -> Verdict:
    """The oldest first, at the pace that was announced."""
    rows = [r for r in readings(stage.events) if not r.live and r.link > after]
    rows = [r for r in rows if r.link == rows[0].link]
    expected = f"rising numbers, {stage.timing.rows_per_s} rows a second"
    back = [b.seq for a, b in pairwise(rows) if _goes_back(a, b)]
    if back:
        return judged("D-18", False, expected, f"number {back[0]} after a later one")
    if not rows:
        return not_tried(["D-18"], "there was no Backfill")[0]
    greeted = _greeted_ms(stage, rows[0].link)
    if rows[0].at_ms - greeted < stage.timing.backfill_delay_ms[0]:
        words = f"Backfill {rows[0].at_ms - greeted} ms after Hello"
        return judged("D-18", False, f"none before {stage.timing.backfill_delay_ms[0]} ms", words)
    for count, row in enumerate(rows, 1):
        allowed = stage.timing.rows_per_s * ((row.at_ms - greeted) / 1000 + _PACE_SLACK_S)
        if count > allowed:
            words = f"{count} rows {row.at_ms - greeted} ms after Hello"
            return judged("D-18", False, expected, words)
    return judged("D-18", True, expected, "")


def _goes_back(earlier: Reading, later: Reading) -> bool:
    return earlier.boot == later.boot and later.seq <= earlier.seq


def _greeted_ms(stage: Stage, link: int) -> int:
    """When a connection's Hello was received."""
    times = [e.at_ms for e, _, _ in calls_received(stage.events, Hello) if e.link == link]
    return times[0]


PACE = Scenario("pace", ("D-8",), pace)
STRANGERS = Scenario("unknown keys and actions", ("D-6",), strangers)
OUTAGE = Scenario("outage", ("D-14", "D-15", "D-16", "D-17", "D-18", "D-35"), outage)
BOOT_USED = Scenario("boot used", ("D-19",), boot_used)
