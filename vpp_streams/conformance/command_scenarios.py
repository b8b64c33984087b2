"""Scenarios about commands: leases that are accepted, end, are replaced and are refused."""

from schemas.protocol import CommandStatus, Setpoint, SetpointResult
from vpp_streams.conformance.judge_power import (
    RATING_MARGIN,
    Ramp,
    is_near,
    target_w,
    too_fast,
    within,
)
from vpp_streams.conformance.stage import Scenario, Stage, command_id, in_words
from vpp_streams.conformance.transcript import statuses
from vpp_streams.conformance.verdicts import Verdict, judged, not_tried

SIZE_W = 1000.0
"""Power of a setpoint where the rating is not known."""
_RAMP_SHARE = 0.4
"""Share of a lease in which its ramp reaches the setpoint."""
_LONG = 6
"""A lease that another one replaces would last this many times as long."""
_NO_POWER = "its live readings say nothing of the battery's power"
_MEASURES_ONLY = "it takes no setpoint (measures_only)"
_HOUR_MS = 3_600_000


def choose_target_w(stage: Stage) -> tuple[float, float]:
    """(power now, a setpoint unlike it), W."""
    bodies = [reading.body for reading in stage.live() if reading.body is not None]
    base_w = next((body.p for body in reversed(bodies) if body.p is not None), 0.0)
    soc = next((body.soc for body in reversed(bodies) if body.soc is not None), None)
    size_w = SIZE_W if stage.rated_w is None else stage.rated_w / 2
    return base_w, target_w(base_w, soc, size_w)


async def lease(stage: Stage) -> list[Verdict]:
    """One lease from its start to its end, with commands beside it that have to be refused."""
    await stage.more_live(2)
    base_w, goal_w = choose_target_w(stage)
    lasts_ms = stage.timing.lease_ms
    ramp_w_s = abs(goal_w - base_w) / (_RAMP_SHARE * lasts_ms / 1000)
    setpoint = stage.next_lease(goal_w, lasts_ms, ramp_w_s=ramp_w_s)
    answer = await stage.offer(setpoint)
    verdicts = [judged("D-20", answer is not None, "an answer within 5 s", in_words(answer))]
    if stage.hello.measures_only:
        refused = answer is not None and (answer.status, answer.reason) == (
            "rejected",
            "no_battery",
        )
        verdicts.append(judged("D-22", refused, "rejected (no_battery)", in_words(answer)))
        others = [id_ for id_ in LEASE.tries if id_ not in ("D-20", "D-22")]
        return verdicts + not_tried(others, _MEASURES_ONLY)
    verdicts += not_tried(["D-22"], "it takes setpoints")
    if answer is None or answer.status != "accepted":
        verdicts.append(judged("D-21", False, "accepted", in_words(answer)))
        others = [id_ for id_ in LEASE.tries if id_ not in ("D-20", "D-21", "D-22")]
        return verdicts + not_tried(others, "it did not accept the lease")
    verdicts += await _offer_refusable(stage, setpoint)
    end = await stage.end_reported(setpoint, _left_ms(stage, setpoint))
    await stage.pause(stage.timing.status_slack_ms)
    return [*verdicts, *_judge_lease(stage, setpoint, end)]


def _left_ms(stage: Stage, setpoint: Setpoint) -> int:
    """Until the end of a lease has to be reported."""
    return setpoint.valid_until - stage.player.clock_ms() + stage.timing.status_slack_ms


async def _offer_refusable(stage: Stage, held: Setpoint) -> list[Verdict]:
    """Offer what has to be refused while a lease is held."""
    verdicts = []

    def judge(id_: str, status: str, answer: SetpointResult | None) -> None:
        holds = answer is not None and answer.status == status
        verdicts.append(judged(id_, holds, status, in_words(answer)))

    judge("D-24", "duplicate", await stage.offer(held))
    lower = stage.next_lease(held.p, stage.timing.lease_ms, rank=held.rank - 1)
    judge("D-25", "superseded", await stage.offer(lower))
    other = stage.next_lease(held.p, stage.timing.lease_ms, epoch=stage.player.epoch + 1)
    judge("D-26", "stale_epoch", await stage.offer(other))
    over_ms = stage.player.clock_ms() - stage.timing.lease_ms
    over = stage.next_lease(held.p, 0, not_before=over_ms - 1000, valid_until=over_ms)
    judge("D-27", "expired", await stage.offer(over))
    return verdicts


def _judge_lease(stage: Stage, setpoint: Setpoint, end: CommandStatus | None) -> list[Verdict]:
    goal_w, timing = setpoint.p or 0.0, stage.timing
    power = stage.samples()
    held = within(power, setpoint.not_before, setpoint.valid_until)
    applied = "applied" in [status.state for status in stage.reports(setpoint)]
    reached = not held or any(is_near(sample.power_w, goal_w) for sample in held)
    seen = "no applied" if not applied else f"{[round(each.power_w) for each in held][-5:]} W"
    verdicts = [
        judged("D-21", applied and reached, f"applied, and {goal_w:.0f} W", seen),
        _judge_end(stage, setpoint, end),
    ]
    if not held:
        return verdicts + not_tried(["D-30"], _NO_POWER)
    ramp = Ramp(goal_w, setpoint.ramp_w_s, setpoint.not_before, setpoint.valid_until)
    jump = too_fast(power, ramp, timing.interval_ms)
    expected = f"at most {setpoint.ramp_w_s:.0f} W a second"
    return [*verdicts, judged("D-30", jump is None, expected, jump or "")]


def _judge_end(stage: Stage, setpoint: Setpoint, end: CommandStatus | None) -> Verdict:
    """Whether a lease ended by itself: reported once, at its time, and the power left it."""
    expected = f"completed or failed once, at valid_until, and no longer {setpoint.p:.0f} W"
    if end is None:
        return judged("D-23", False, expected, "no status in time")
    if end.state not in ("completed", "failed"):
        return judged("D-23", False, expected, in_words(end))
    early_ms = setpoint.valid_until - end.t
    if not -stage.timing.status_slack_ms <= early_ms <= stage.timing.interval_ms:
        return judged("D-23", False, expected, f"t is {-early_ms} ms after valid_until")
    ends = [each for each in stage.reports(setpoint) if each.state == end.state]
    if len(ends) > 1 and stage.player.manners.answers_statuses:
        return judged("D-23", False, expected, f"{end.state} {len(ends)} times, though answered")
    later = within(stage.samples(), setpoint.valid_until, float("inf"))
    if later and is_near(later[-1].power_w, setpoint.p or 0.0):
        words = f"{later[-1].power_w:.0f} W {later[-1].t_ms - setpoint.valid_until} ms after it"
        return judged("D-23", False, expected, words)
    return judged("D-23", True, expected, "")


async def succession(stage: Stage) -> list[Verdict]:
    """A lease, one of a higher rank that begins later, and a release."""
    if stage.hello.measures_only:
        return not_tried(SUCCESSION.tries, _MEASURES_ONLY)
    await stage.more_live(1)
    timing = stage.timing
    _, goal_w = choose_target_w(stage)
    first = stage.next_lease(goal_w, _LONG * timing.lease_ms)
    if in_words(await stage.offer(first)) != "accepted":
        return not_tried(SUCCESSION.tries, "it did not accept the first lease")
    await stage.state_reported(first, "applied", timing.lease_ms)
    begins_ms = stage.player.clock_ms() + timing.lease_ms // 2
    second = stage.next_lease(goal_w / 2, _LONG * timing.lease_ms, not_before=begins_ms)
    taken = in_words(await stage.offer(second))
    end = await stage.end_reported(first, timing.lease_ms // 2 + timing.status_slack_ms)
    in_time = end is not None and end.t >= begins_ms - timing.interval_ms
    seen = f"{taken}; {in_words(end)}, {end.t - begins_ms if end else 0} ms after not_before"
    expected = "accepted, and the first superseded at not_before of the second"
    held = end is not None and end.state == "superseded"
    verdicts = [judged("D-29", taken == "accepted" and held and in_time, expected, seen)]
    await stage.state_reported(second, "applied", timing.lease_ms)
    release = stage.next_lease(None, timing.lease_ms)
    released = in_words(await stage.offer(release))
    end = await stage.end_reported(second, timing.status_slack_ms)
    done = await stage.end_reported(release, timing.status_slack_ms)
    words = (released, in_words(end), in_words(done))
    expected = "accepted, superseded, completed"
    holds = held and words == ("accepted", "superseded", "completed")
    return [*verdicts, judged("D-28", holds, expected, ", ".join(words))]


async def limits(stage: Stage) -> list[Verdict]:
    """A setpoint far beyond the rating, and a discharge below ``soc_min``."""
    if stage.hello.measures_only:
        return not_tried(LIMITS.tries, _MEASURES_ONLY)
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
    setpoint = stage.next_lease(power_w, _LONG * stage.timing.lease_ms, **changes)
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
        return not_tried(ALONE.tries, _MEASURES_ONLY)
    await stage.more_live(1)
    _, goal_w = choose_target_w(stage)
    setpoint = stage.next_lease(goal_w, stage.timing.lease_ms)
    if in_words(await stage.offer(setpoint)) != "accepted":
        return not_tried(ALONE.tries, "it did not accept the lease")
    await stage.state_reported(setpoint, "applied", stage.timing.lease_ms)
    link = stage.player.link
    stage.player.behave(turn_away=True, answers_statuses=False)
    stage.player.cut()
    await stage.pause(_left_ms(stage, setpoint))
    stage.player.behave(turn_away=False)
    if not await stage.player.connection(link, stage.timing.connection_ms):
        return not_tried(ALONE.tries, "it did not connect again")
    end = await stage.end_reported(setpoint, stage.timing.answer_ms)
    await stage.more_live(2)
    verdicts = [_judge_end(stage, setpoint, end)]
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
        return not_tried(CLOCK.tries, _MEASURES_ONLY)
    stage.player.behave(clock_ahead_ms=-_HOUR_MS)
    if not await stage.connected_anew() or not await stage.more_live(1):
        return not_tried(CLOCK.tries, "it did not connect again")
    _, goal_w = choose_target_w(stage)
    setpoint = stage.next_lease(goal_w, stage.timing.lease_ms)
    answer = await stage.offer(setpoint)
    end = await stage.end_reported(setpoint, _left_ms(stage, setpoint))
    stage.reset()
    await stage.connected_anew()
    expected = "accepted, and its end at valid_until, by a clock an hour behind"
    seen = f"{in_words(answer)}; {in_words(end)}"
    late_ms = abs(end.t - setpoint.valid_until) if end else 0
    ended = end is not None and end.state in ("completed", "failed")
    in_time = late_ms <= stage.timing.status_slack_ms
    return [judged("D-34", in_words(answer) == "accepted" and ended and in_time, expected, seen)]


LEASE = Scenario(
    "lease",
    ("D-20", "D-21", "D-22", "D-23", "D-24", "D-25", "D-26", "D-27", "D-30"),
    lease,
)
SUCCESSION = Scenario("succession", ("D-28", "D-29"), succession)
LIMITS = Scenario("limits", ("D-31", "D-32"), limits)
ALONE = Scenario("lease without a connection", ("D-23", "D-33"), lease_alone)
CLOCK = Scenario("the gateway's clock", ("D-34",), gateway_clock)
