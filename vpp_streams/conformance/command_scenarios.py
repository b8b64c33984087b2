"""Scenarios about commands: leases that are accepted, end, are replaced and are refused."""

from schemas.protocol import CommandStatus, Setpoint, SetpointResult
from vpp_streams.conformance.judge_power import (
    Ramp,
    is_near,
    target_w,
    too_fast,
    within,
)
from vpp_streams.conformance.stage import Scenario, Stage, in_words
from vpp_streams.conformance.verdicts import Verdict, judged, not_tried

SIZE_W = 1000.0
"""Power of a setpoint where the rating is not known."""
_RAMP_SHARE = 0.4
"""Share of a lease in which its ramp reaches the setpoint."""
LONG = 6
"""A lease that another one replaces would last this many times as long."""
_NO_POWER = "its live readings say nothing of the battery's power"
MEASURES_ONLY = "it takes no setpoint (measures_only)"


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
        return verdicts + not_tried(others, MEASURES_ONLY)
    verdicts += not_tried(["D-22"], "it takes setpoints")
    if answer is None or answer.status != "accepted":
        verdicts.append(judged("D-21", False, "accepted", in_words(answer)))
        others = [id_ for id_ in LEASE.tries if id_ not in ("D-20", "D-21", "D-22")]
        return verdicts + not_tried(others, "it did not accept the lease")
    verdicts += await _offer_refusable(stage, setpoint)
    end = await stage.end_reported(setpoint, left_ms(stage, setpoint))
    await stage.pause(stage.timing.status_slack_ms)
    return [*verdicts, *_judge_lease(stage, setpoint, end)]


def left_ms(stage: Stage, setpoint: Setpoint) -> int:
    """Time until the end of a lease has to be reported."""
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
        judge_end(stage, setpoint, end),
    ]
    if not held:
        return verdicts + not_tried(["D-30"], _NO_POWER)
    ramp = Ramp(goal_w, setpoint.ramp_w_s, setpoint.not_before, setpoint.valid_until)
    jump = too_fast(power, ramp, timing.interval_ms)
    expected = f"at most {setpoint.ramp_w_s:.0f} W a second"
    return [*verdicts, judged("D-30", jump is None, expected, jump or "")]


def judge_end(stage: Stage, setpoint: Setpoint, end: CommandStatus | None) -> Verdict:
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
        return not_tried(SUCCESSION.tries, MEASURES_ONLY)
    await stage.more_live(1)
    timing = stage.timing
    _, goal_w = choose_target_w(stage)
    first = stage.next_lease(goal_w, LONG * timing.lease_ms)
    if in_words(await stage.offer(first)) != "accepted":
        return not_tried(SUCCESSION.tries, "it did not accept the first lease")
    await stage.state_reported(first, "applied", timing.lease_ms)
    begins_ms = stage.player.clock_ms() + timing.lease_ms // 2
    second = stage.next_lease(goal_w / 2, LONG * timing.lease_ms, not_before=begins_ms)
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


LEASE = Scenario(
    "lease",
    ("D-20", "D-21", "D-22", "D-23", "D-24", "D-25", "D-26", "D-27", "D-30"),
    lease,
)
SUCCESSION = Scenario("succession", ("D-28", "D-29"), succession)
