"""Scenarios of a check of a gateway: its door, readings, and what it refuses."""

from itertools import pairwise

from schemas.protocol import Backfill, CommandStatus
from schemas.wire import encode_call, encode_send
from vpp_streams.conformance.device_player import Link, Refused
from vpp_streams.conformance.gateway_stage import GatewayScenario, GatewayStage, numbers_of
from vpp_streams.conformance.verdicts import Verdict, judged, not_tried

_EARLIER_BOOT = "e0"
_READINGS_AN_ACK, _ACKS = 4, 3


async def door(stage: GatewayStage) -> list[Verdict]:
    """Request upgrades that have to be refused, and one that has to be accepted."""

    async def status(**changes: object) -> int:
        opened = await stage.player.open(**changes)  # type: ignore[arg-type]  # as `open` has them
        if isinstance(opened, Refused):
            return opened.status
        await opened.close()
        return 101

    opened = await stage.player.open()
    selected = "" if isinstance(opened, Refused) else opened.socket.subprotocol
    seen = f"HTTP {opened.status}: {opened.words}" if isinstance(opened, Refused) else selected
    verdicts = [judged("G-1", selected == "vpp.v1", "vpp.v1 selected", seen)]
    if not isinstance(opened, Refused):
        await opened.close()
    elif opened.status == 0:
        return verdicts + not_tried(DOOR.tries[1:], "nobody answers there")
    without = await status(subprotocol=None)
    verdicts.append(judged("G-2", without == 400, "400", without))
    if stage.player.login.token is None:
        verdicts += not_tried(["G-3"], "the check has a certificate, not a token")
    else:
        tokens = [await status(token=token) for token in ("not-the-token", "")]
        verdicts.append(judged("G-3", tokens == [401, 401], "401, 401", tokens))
    origin = await status(headers={"Origin": "https://example.org"})
    verdicts.append(judged("G-4", origin == 403, "403", origin))
    elsewhere = await status(path="/v2/somewhere")
    return [*verdicts, judged("G-5", elsewhere == 404, "404", elsewhere)]


async def greeting(stage: GatewayStage) -> list[Verdict]:
    """Send readings before Hello, Hello, and Hello again."""
    answer_ms = stage.timing.answer_ms
    async with stage.connection() as link:
        seq = stage.next_seq
        await link.send(stage.reading())
        early = await link.refused(str(seq), answer_ms)
        result = await link.greet(stage.hello(), answer_ms)
        verdicts = [
            judged("G-8", early == "hello_first", "hello_first", early or "no error"),
            judged("G-6", result is not None, "HelloResult", f"errors: {link.errors()}"),
        ]
        if result is None:
            return verdicts + not_tried(["G-18", "G-7"], "Hello was not answered")
        stage.epochs.append(result.epoch)
        await link.send(encode_call("again", stage.hello()))
        again = await link.refused("again", answer_ms)
        verdicts.append(judged("G-18", again == "bad_message", "bad_message", again or "no error"))
    async with stage.live():
        rising = all(a < b for a, b in pairwise(stage.epochs))
        verdicts.append(judged("G-7", rising, "rising epochs", stage.epochs))
    return verdicts


async def live(stage: GatewayStage) -> list[Verdict]:
    """Readings with a gap and a key of a later version, repeated, going back, of another boot."""
    async with stage.live() as (link, result):
        within_ms = result.ack_ms + stage.timing.ack_slack_ms
        first = stage.next_seq
        seqs = {first, first + 1, first + 3}
        await link.send(stage.reading())
        await link.send(stage.reading())
        stage.next_seq += 1  # a gap: this number was never sent
        await link.send(stage.reading())
        missing = await stage.acked(link, seqs, within_ms)
        words = f"Acks of {sorted(seqs)} within {within_ms} ms"
        verdicts = [judged("G-9", not missing, words, f"missing: {sorted(missing)}")]
        verdicts.append(await _send_again(stage, link, first + 3, within_ms))
        verdicts.append(await _send_later_key(stage, link, within_ms))
        gap = first + 2
        back = await _refusal_of(stage, link, gap, stage.reading(gap))
        del stage.sent_ms[stage.boot, gap]
        verdicts.append(judged("G-12", back == "seq_not_rising", "seq_not_rising", back))
        other = await _refusal_of(
            stage, link, stage.next_seq, stage.reading(stage.next_seq, b=_EARLIER_BOOT)
        )
        del stage.sent_ms[_EARLIER_BOOT, stage.next_seq]
        verdicts.append(judged("G-13", other == "wrong_boot", "wrong_boot", other))
        return verdicts


async def _send_later_key(stage: GatewayStage, link: Link, within_ms: int) -> Verdict:
    seq = stage.next_seq
    data = stage.reading().replace(b'"pv":', b'"later":{"version":[2]},"pv":')
    await link.send(data)
    missing = await stage.acked(link, {seq}, within_ms)
    seen = link.errors().get(str(seq), "no Ack")
    return judged("G-17", not missing, "an Ack of a reading with an unknown key", seen)


async def _send_again(stage: GatewayStage, link: Link, seq: int, within_ms: int) -> Verdict:
    """Send a reading again, that was acked."""
    before = len(link.acks())
    await link.send(stage.reading(seq))
    again = await stage.until(lambda: seq in numbers_of(link.acks()[before:]), within_ms)
    error = link.errors().get(str(seq), "")
    return judged("G-11", again and not error, "another Ack, no error", error or "no Ack")


async def _refusal_of(stage: GatewayStage, link: Link, seq: int, data: bytes) -> str:
    """The code with which a reading is refused."""
    await link.send(data)
    return await link.refused(str(seq), stage.timing.answer_ms) or "no error"


async def ack_pace(stage: GatewayStage) -> list[Verdict]:
    """Some readings for each Ack, without a gap."""
    async with stage.live() as (link, result):
        began_ms = stage.player.journal.now_ms()
        for _ in range(_READINGS_AN_ACK * _ACKS):
            await link.send(stage.reading())
            await link.closed(result.ack_ms // _READINGS_AN_ACK)
        span_ms = stage.player.journal.now_ms() - began_ms
        most = span_ms // max(result.ack_ms, 1) + 2
        expected = f"at most {most} Acks in {span_ms} ms"
        return [judged("G-27", len(link.acks()) <= most, expected, f"{len(link.acks())}")]


async def backfill(stage: GatewayStage) -> list[Verdict]:
    """Kept readings of this boot, with an empty row, and of an earlier boot."""
    async with stage.live() as (link, _):
        found = []
        now_ms = stage.player.journal.utc_ms()
        for boot, first in ((stage.boot, stage.next_seq), (_EARLIER_BOOT, 1)):
            rows: list[list[object] | None] = [[now_ms - 9000, 1.0], None, [now_ms - 7000, None]]
            kept = Backfill(b=boot, from_=first, cols=["t", "pv"], rows=rows)
            stage.note_sent(boot, first, len(rows))
            await link.send(encode_send(f"b-{boot}", kept))
            wanted = (boot, first, first + len(rows) - 1)

            def acked(wanted: tuple[str, int, int] = wanted) -> bool:
                return wanted in [(ack.b, ack.from_, ack.upto) for ack in link.acks()]

            if not await stage.until(acked, stage.timing.answer_ms):
                found.append(f"no Ack of {wanted}, errors {link.errors()}")
        stage.next_seq += 3
        return [judged("G-14", not found, "an Ack of each Backfill's rows", "; ".join(found))]


async def refusals(stage: GatewayStage) -> list[Verdict]:
    """Messages that make no sense, on a connection that stays open."""
    async with stage.live() as (link, result):
        answer_ms = stage.timing.answer_ms
        await link.send('[2,"u","SelfDestruct",{}]')
        unknown = await link.refused("u", answer_ms)
        await link.send('[6,"m","Telemetry",{"b":"not hex","s":-1}]')
        malformed = await link.refused("m", answer_ms)
        await link.send("this is no JSON")
        unreadable = await link.refused("-", answer_ms)
        status = CommandStatus("c0-1", "completed", stage.player.journal.utc_ms())
        await link.send(encode_call("s", status))
        never = await link.refused("s", answer_ms)
        ponged = await link.ponged(answer_ms)
        seq = stage.next_seq
        await link.send(stage.reading())
        missing = await stage.acked(link, {seq}, result.ack_ms + stage.timing.ack_slack_ms)
        on = not missing and link.close_code() is None
        bad = (malformed, unreadable)
        return [
            judged("G-15", unknown == "unknown_action" and on, "unknown_action", unknown or "none"),
            judged("G-16", set(bad) == {"bad_message"} and on, "bad_message", f"{bad}"),
            judged("G-19", never == "unknown_command", "unknown_command", never or "no error"),
            judged("G-26", ponged, "a pong", "none"),
        ]


DOOR = GatewayScenario("door", ("G-1", "G-2", "G-3", "G-4", "G-5"), door)
GREETING = GatewayScenario("Hello", ("G-6", "G-7", "G-8", "G-18"), greeting)
LIVE = GatewayScenario("readings", ("G-9", "G-11", "G-12", "G-13", "G-17"), live)
ACK_PACE = GatewayScenario("pace of acks", ("G-27",), ack_pace)
BACKFILL = GatewayScenario("backfill", ("G-14",), backfill)
REFUSALS = GatewayScenario("refusals", ("G-15", "G-16", "G-19", "G-26"), refusals)
