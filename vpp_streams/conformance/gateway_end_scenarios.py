"""Scenarios of a check of a gateway about what has to end a connection, with which code."""

from schemas.protocol import (
    CLOSE_ABUSE,
    CLOSE_IDLE,
    CLOSE_PROTOCOL_ERROR,
    CLOSE_REPLACED,
    MAX_MESSAGE_BYTES,
)
from vpp_streams.conformance.gateway_stage import GatewayScenario, GatewayStage
from vpp_streams.conformance.verdicts import Verdict, judged

_TOO_BIG, _NOT_UTF8 = 1009, 1007
_PINGS = 4
"""Pings in the silence of a connection."""
_ABUSES = 60
"""Refused messages after which a connection has to be closed: 20 at once are allowed."""


async def offences(stage: GatewayStage) -> list[Verdict]:
    """What has to end a connection: too long, not UTF-8, refused too often."""
    within_ms = stage.timing.close_slack_ms
    long = '[6,"x","Telemetry",{"b":"1","s":1,"x":"' + "x" * MAX_MESSAGE_BYTES + '"}]'
    verdicts = []
    for id_, code, data in (("G-20", _TOO_BIG, long), ("G-21", _NOT_UTF8, b"\xff\xfe")):
        async with stage.live() as (link, _):
            await link.send(data)
            found = await link.closed(within_ms)
            verdicts.append(judged(id_, found == code, f"{code}", found))
    async with stage.live() as (link, _):
        for number in range(_ABUSES):
            await link.send(f'[6,"{number}","Telemetry",{{}}]')
        found = await link.closed(within_ms)
        verdicts.append(judged("G-22", found == CLOSE_ABUSE, f"{CLOSE_ABUSE}", found))
    return verdicts


async def newer(stage: GatewayStage) -> list[Verdict]:
    """Connect twice as the same device."""
    async with stage.live() as (older, _), stage.live():
        code = await older.closed(stage.timing.close_slack_ms)
        return [judged("G-23", code == CLOSE_REPLACED, f"{CLOSE_REPLACED}", code)]


async def silence(stage: GatewayStage) -> list[Verdict]:
    """Say nothing: before Hello, and after it but for pings."""
    slack_ms = stage.timing.close_slack_ms
    async with stage.connection() as link:
        code = await link.closed(stage.timing.hello_ms + slack_ms)
        expected = f"{CLOSE_PROTOCOL_ERROR}"
        verdicts = [judged("G-24", code == CLOSE_PROTOCOL_ERROR, expected, code)]
    async with stage.live() as (link, result):
        idle_ms = result.idle_s * 1000
        for _ in range(_PINGS):
            if link.close_code() is None:
                await link.socket.ping()
            await link.closed(idle_ms // _PINGS)
        code = await link.closed(slack_ms)
        expected = f"{CLOSE_IDLE} after {result.idle_s} s"
        return [*verdicts, judged("G-25", code == CLOSE_IDLE, expected, code)]


OFFENCES = GatewayScenario("offences", ("G-20", "G-21", "G-22"), offences)
NEWER = GatewayScenario("a newer connection", ("G-23",), newer)
SILENCE = GatewayScenario("silence", ("G-24", "G-25"), silence)
