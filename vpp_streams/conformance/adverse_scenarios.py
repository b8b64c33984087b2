"""Scenarios about commands in adversity: beyond limits, without a connection, by another clock."""

from schemas.protocol import Setpoint
from vpp_streams.conformance.command_scenarios import (
    LONG,
    MEASURES_ONLY,
    SIZE_W,
    choose_target_w,
    judge_end,
    left_ms,
)
from vpp_streams.conformance.judge_power import RATING_MARGIN, within
from vpp_streams.conformance.stage import Scenario, Stage, command_id, in_words
from vpp_streams.conformance.transcript import statuses
from vpp_streams.conformance.verdicts import Verdict, judged, not_tried

_HOUR_MS = 3_600_000


async def limits(stage: Stage) -> list[Verdict]:
    """A setpoint far beyond the rating, and a discharge below ``soc_min``."""
    if stage.hello.measures_only:
        return not_tried(LIMITS.tries, MEASURES_ONLY)
    await stage.more_live(1)
    return [await _over_rating(stage), await _below_soc_min(stage)]


async def _over_rating(stage: Stage) -> Verdict:
    if stage.rated_w is None:
        return not_tried(["D-31"], "the rated power is not known: give it with --rated-w")[0]
    base_w, goal_w = choose_target_w(stage)
    direction = 1.0 if goal_w > base_w else -1.0
    most_w = max(abs(each) for each in await _powers_during(stage, 100 * direction * stage.rated_w))
    bound_w = RATING_MARGIN * stage.rated_w
    return judged("D-31", most_w <= bound_w, f"at most {bound_w:.0f} W", f"{most_w:.0f} W")


async def _below_soc_min(stage: Stage) -> Verdict:
    bodies = [reading.body for reading in stage.live() if reading.body is not None]
    soc = next((body.soc for body in reversed(bodies) if body.soc is not None), None)
    if soc is None or soc > 0.99:
        return not_tried(["D-32"], f"its state of charge is {soc}")[0]
    most_w = (await _powers_during(stage, SIZE_W, soc_min=1.0))[-1]
    expected = f"no discharge at a state of charge of {soc:.2f} with soc_min 1"
    return judged("D-32", most_w <= 50.0, expected, f"{most_w:.0f} W")


async def _powers_during(stage: Stage, power_w: float, **changes: object) -> list[float]:
    """Offer a lease, watch it, release it; returns the powers in it, W, at least one value."""
    setpoint = stage.next_lease(power_w, LONG * stage.timing.lease_ms, **changes)
    await stage.offer(setpoint)
    await stage.pause(stage.timing.interval_ms)
    await stage.more_live(3)
    ends_ms = stage.player.clock_ms()
    await stage.offer(stage.next_lease(None, stage.timing.lease_ms))
    held = within(stage.samples(), setpoint.not_before, ends_ms)
    return [sample.power_w for sample in held] or [0.0]


async def lease_alone(stage: Stage) -> list[Verdict]:
    """A lease that ends while there is no connection, and whose status is lost once."""
    if stage.hello.measures_only:
        return not_tried(ALONE.tries, MEASURES_ONLY)
    await stage.more_live(1)
    _, goal_w = choose_target_w(stage)
    setpoint = stage.next_lease(goal_w, stage.timing.lease_ms)
    if in_words(await stage.offer(setpoint)) != "accepted":
        return not_tried(ALONE.tries, "it did not accept the lease")
    await stage.state_reported(setpoint, "applied", stage.timing.lease_ms)
    link = stage.player.link
    stage.player.behave(turn_away=True, answers_statuses=False)
    stage.player.cut()
    await stage.pause(left_ms(stage, setpoint))
    stage.player.behave(turn_away=False)
    if not await stage.player.connection(link, stage.timing.connection_ms):
        return not_tried(ALONE.tries, "it did not connect again")
    end = await stage.end_reported(setpoint, stage.timing.answer_ms)
    await stage.more_live(2)
    verdicts = [judge_end(stage, setpoint, end)]
    verdicts.append(await _judge_status_kept(stage, setpoint))
    return verdicts


async def _judge_status_kept(stage: Stage, setpoint: Setpoint) -> Verdict:
    """Cut the connection while the status is unanswered, and expect it in the next one."""
    name = command_id(setpoint)
    expected = "in untold and as CommandStatus, in each connection until it is answered"
    for last in (False, True):
        link, untold = stage.player.link, list(stage.hello.untold)
        if name not in untold:
            return judged("D-33", False, expected, f"untold {untold}")

        def came(link: int = link) -> bool:
            return link in [number for number, _ in statuses(stage.events, name)]

        if not await stage.until(came, stage.timing.answer_ms):
            return judged("D-33", False, expected, "no CommandStatus in time")
        stage.player.behave(answers_statuses=True)
        if not last and not await stage.connected_anew():
            return not_tried(["D-33"], "it did not connect again")[0]
    return judged("D-33", True, expected, "")


async def gateway_clock(stage: Stage) -> list[Verdict]:
    """A lease of a gateway whose clock is an hour behind the device's."""
    if stage.hello.measures_only:
        return not_tried(CLOCK.tries, MEASURES_ONLY)
    stage.player.behave(clock_ahead_ms=-_HOUR_MS)
    if not await stage.connected_anew() or not await stage.more_live(1):
        return not_tried(CLOCK.tries, "it did not connect again")
    _, goal_w = choose_target_w(stage)
    setpoint = stage.next_lease(goal_w, stage.timing.lease_ms)
    answer = await stage.offer(setpoint)
    end = await stage.end_reported(setpoint, left_ms(stage, setpoint))
    stage.reset()
    await stage.connected_anew()
    expected = "accepted, and its end at valid_until, by a clock an hour behind"
    seen = f"{in_words(answer)}; {in_words(end)}"
    late_ms = abs(end.t - setpoint.valid_until) if end else 0
    ended = end is not None and end.state in ("completed", "failed")
    in_time = late_ms <= stage.timing.status_slack_ms
    return [judged("D-34", in_words(answer) == "accepted" and ended and in_time, expected, seen)]


LIMITS = Scenario("limits", ("D-31", "D-32"), limits)
ALONE = Scenario("lease without a connection", ("D-23", "D-33"), lease_alone)
CLOCK = Scenario("the gateway's clock", ("D-34",), gateway_clock)
