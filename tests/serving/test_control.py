"""The read model of control: newest commands, alarms, requests; in any order, within bounds."""

import random
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import CommandEvent, CommandState
from schemas.dispatch import RequestEvent, RequestState, Target
from schemas.encoding import encode_frame
from schemas.grid import Alert, Droop
from tests.support.desk_world import held
from tests.support.telemetry_factory import make_batch
from tests.support.web_records import NOW_MS, command_frame, dispatch_status, notice, site
from tests.support.web_world import apply, apply_raw, fed_read_model, feed_control
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving import newest_commands as commands_module
from vpp_streams.serving.dispatches import HISTORY_MS, Dispatches
from vpp_streams.serving.newest_commands import Commands
from vpp_streams.serving.readmodel import ReadModel

DEVICE = "pw-001"
LIFE: tuple[CommandState, ...] = ("delivered", "accepted", "applied", "completed")
ENDS: tuple[CommandState, ...] = (
    "rejected", "opted_out", "expired", "completed", "superseded",
)  # fmt: skip


def event(frame_ms: int, state: CommandState, after_ms: int = 0, **changes: Any) -> CommandEvent:
    told: dict[str, Any] = {"device_id": DEVICE, "epoch": 17, **changes}
    return CommandEvent(command_id=f"c0-{frame_ms}", state=state, at_ms=frame_ms + after_ms, **told)


@pytest.fixture
def commands() -> Commands:
    return Commands(Registry([site(1)]))


# The newest command


def test_the_newest_command_counts_and_older_ones_change_nothing(commands: Commands) -> None:
    commands.apply_frame(command_frame(NOW_MS, {DEVICE: 1.0}))
    commands.apply_frame(command_frame(NOW_MS + 1, {DEVICE: 2.0}))
    commands.apply_frame(command_frame(NOW_MS, {DEVICE: 1.0}))
    commands.apply_event(event(NOW_MS, "superseded", 5))
    newest = commands.of_device(DEVICE)
    assert newest is not None
    assert (newest.desired_w, newest.state) == (2.0, "created")
    assert commands.of_device("nobody") is None


@given(st.permutations(LIFE), st.randoms(use_true_random=False))
def test_a_state_never_goes_back_and_events_may_come_before_their_command(
    order: list[CommandState], shuffle: Random
) -> None:
    commands = Commands(Registry())
    arrivals: list[Callable[[], object]] = [
        partial(commands.apply_event, event(NOW_MS, s)) for s in order
    ]
    arrivals.insert(
        shuffle.randint(0, len(arrivals)),
        partial(commands.apply_frame, command_frame(NOW_MS, {DEVICE: 1.0})),
    )
    for arrive in arrivals:
        arrive()
    newest = commands.of_device(DEVICE)
    assert newest is not None
    assert newest.state == "completed"


@pytest.mark.parametrize(
    "id_", ["", "c0", "c0-", "c0-x", "c0--5", "c1-5", "x" * 500, "c0-²", f"c0-{'9' * 5000}"]
)
def test_an_event_of_a_command_that_cannot_be_is_left_out(commands: Commands, id_: str) -> None:
    commands.apply_frame(command_frame(NOW_MS, {DEVICE: 1.0}))
    commands.apply_event(CommandEvent(device_id=DEVICE, command_id=id_, state="failed", at_ms=1))
    newest = commands.of_device(DEVICE)
    assert newest is not None
    assert newest.state == "created"


def test_devices_are_bounded_and_the_longest_unasked_leave_first(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_module, "_MAX_DEVICES", 100)
    for n in range(150):
        commands.apply_frame(command_frame(NOW_MS + n, {f"d{n}": 1.0, "always": 1.0}))
        commands.apply_event(event(NOW_MS + n, "accepted", device_id=f"unheard{n}"))
    assert len(commands) == 100
    assert commands.of_device("always") is not None
    assert commands.of_device("d149") is not None
    assert commands.of_device("d0") is None
    assert len(commands.alarms(NOW_MS + 10_000)) == 100


# Alarms


def holding(commands: Commands, setpoint_w: float = 3000.0, **changes: Any) -> None:
    """The device has taken a setpoint and reached it."""
    commands.apply_frame(command_frame(NOW_MS, {DEVICE: setpoint_w}, **changes))
    commands.apply_event(event(NOW_MS, "accepted"))
    commands.apply_event(event(NOW_MS, "applied"))


def measure(
    commands: Commands, battery_w: float, first_s: int, last_s: int, clock_ms: int = 0
) -> None:
    """A reading each second, by a device whose clock is ``clock_ms`` ahead."""
    for second in range(first_s, last_s + 1):
        at_ms = NOW_MS + 1000 * second
        commands.apply_readings([DEVICE], [at_ms + clock_ms], [at_ms], [battery_w])


@pytest.mark.parametrize(
    ("setpoint_w", "battery_w", "off"),
    [
        (3000.0, 2851.0, False),
        (3000.0, 2849.0, True),
        (3000.0, 3151.0, True),
        (-3000.0, -2849.0, True),
        (-3000.0, 3000.0, True),
        (500.0, 401.0, False),
        (500.0, 399.0, True),
        (0.0, 99.0, False),
        (0.0, -101.0, True),
        (3000.0, float("nan"), False),
    ],
)
def test_off_by_more_than_5_percent_and_100_w_for_5_s_is_an_alarm(
    commands: Commands, setpoint_w: float, battery_w: float, off: bool
) -> None:
    holding(commands, setpoint_w)
    measure(commands, battery_w, 1, 5)
    assert commands.alarms(NOW_MS + 5000) == []
    measure(commands, battery_w, 6, 6)
    found = commands.alarms(NOW_MS + 6000)
    assert [alarm.kind for alarm in found] == ["deviates"] * off
    if off:
        assert (found[0].desired_w, found[0].reported_w) == (setpoint_w, battery_w)
        assert found[0].since_ms == NOW_MS + 1000
        assert found[0].site_id == "home-001"


def test_the_alarm_ends_when_it_is_right_again_or_its_lease_is_over(commands: Commands) -> None:
    holding(commands)
    measure(commands, 0.0, 1, 10)
    assert commands.alarms(NOW_MS + 10_000)
    measure(commands, 3000.0, 11, 11)
    assert commands.alarms(NOW_MS + 11_000) == []
    measure(commands, 0.0, 12, 29)
    assert commands.alarms(NOW_MS + 29_000)
    assert commands.alarms(NOW_MS + 30_000) == []


def test_a_renewed_lease_of_the_same_setpoint_does_not_start_the_clock_anew(
    commands: Commands,
) -> None:
    holding(commands)
    measure(commands, 0.0, 1, 3)
    later = NOW_MS + 3500
    commands.apply_frame(command_frame(later, {DEVICE: 3020.0}))
    commands.apply_event(event(later, "accepted"))
    measure(commands, 0.0, 4, 6)
    [alarm] = commands.alarms(NOW_MS + 6000)
    assert (alarm.kind, alarm.since_ms) == ("deviates", NOW_MS + 1000)


def test_on_the_way_to_another_setpoint_nothing_is_off(commands: Commands) -> None:
    holding(commands)
    later = NOW_MS + 1000
    commands.apply_frame(command_frame(later, {DEVICE: -3000.0}))
    measure(commands, 3000.0, 1, 2)
    commands.apply_event(event(later, "accepted", 100))
    measure(commands, 0.0, 3, 9)
    assert [a.kind for a in commands.alarms(NOW_MS + 9000)] == []


def test_what_was_measured_before_is_not_held_against_it(commands: Commands) -> None:
    commands.apply_readings([DEVICE], [NOW_MS], [NOW_MS], [0.0])
    holding(commands)
    commands.apply_readings([DEVICE], [NOW_MS - 60_000], [NOW_MS + 500], [0.0])
    measure(commands, 3000.0, 1, 1)
    old = range(NOW_MS - 9000, NOW_MS - 1000, 1000)
    commands.apply_readings([DEVICE] * 8, old, [NOW_MS + 1500] * 8, [0.0] * 8)
    assert commands.alarms(NOW_MS + 6000) == []


@pytest.mark.parametrize("clock_ms", [-1_380_000, 400_000])
def test_a_device_with_a_wrong_clock_is_seen_to_deviate(commands: Commands, clock_ms: int) -> None:
    holding(commands)
    measure(commands, 3000.0, 1, 1)
    measure(commands, 0.0, 2, 14, clock_ms)
    [alarm] = commands.alarms(NOW_MS + 14_000)
    assert alarm.kind == "deviates"
    newest = commands.of_device(DEVICE)
    assert newest is not None
    assert newest.measured_at_ms == NOW_MS + 14_000 + clock_ms


def test_droop_moves_the_battery_as_it_should(commands: Commands) -> None:
    holding(commands, droop=Droop(nominal_hz=60.0))
    measure(commands, 0.0, 1, 20)
    assert commands.alarms(NOW_MS + 20_000) == []


def test_a_device_that_fell_silent_is_not_said_to_deviate(commands: Commands) -> None:
    holding(commands)
    measure(commands, 0.0, 1, 8)
    assert commands.alarms(NOW_MS + 18_000)
    assert commands.alarms(NOW_MS + 18_001) == []


def test_no_answer_late_and_failed_are_told_while_the_lease_could_stand(commands: Commands) -> None:
    commands.apply_frame(command_frame(NOW_MS, {DEVICE: 3000.0}))
    assert commands.alarms(NOW_MS + 4999) == []
    assert [a.kind for a in commands.alarms(NOW_MS + 5000)] == ["no_answer"]
    commands.apply_event(event(NOW_MS, "accepted", 5500))
    # 5 s, and 6 s from full charge to full discharge at 1000 W/s.
    assert commands.alarms(NOW_MS + 16_499) == []
    assert [a.kind for a in commands.alarms(NOW_MS + 16_500)] == ["late"]
    commands.apply_event(event(NOW_MS, "failed", 17_000, reason="inverter fault"))
    [failed] = commands.alarms(NOW_MS + 17_000)
    assert (failed.kind, failed.reason) == ("failed", "inverter fault")
    assert commands.alarms(NOW_MS + 30_000) == []


def test_what_a_device_refuses_or_ends_is_no_alarm(commands: Commands) -> None:
    for n, state in enumerate(ENDS):
        at_ms = NOW_MS + n
        commands.apply_frame(command_frame(at_ms, {DEVICE: 3000.0}))
        commands.apply_event(event(at_ms, state))
        assert commands.alarms(at_ms + 10_000) == []
    commands.apply_frame(command_frame(NOW_MS + 9, {DEVICE: None}))
    assert commands.alarms(NOW_MS + 20_000) == []


@given(st.lists(st.tuples(st.sampled_from([*LIFE, "failed", "frame", "off", "on"]))), st.integers())
def test_whatever_comes_alarms_are_of_known_devices_and_repeatable(
    steps: list[tuple[Any]], seed: int
) -> None:
    commands, rng = Commands(Registry()), random.Random(seed)
    now_ms = rank_ms = NOW_MS
    for (step,) in steps:
        now_ms += rng.randint(1, 4000)
        if step == "frame":
            rank_ms = now_ms
            commands.apply_frame(command_frame(rank_ms, {DEVICE: rng.choice([0.0, 3000.0, None])}))
        elif step in ("on", "off"):
            measured = [3000.0 if step == "on" else 1000.0]
            commands.apply_readings([DEVICE], [now_ms], [now_ms], measured)
        else:
            commands.apply_event(event(rank_ms, step, now_ms - rank_ms))
        first = commands.alarms(now_ms)
        assert commands.alarms(now_ms) == first
        assert {alarm.device_id for alarm in first} <= {DEVICE}


def test_reported_is_what_telemetry_says() -> None:
    model = ReadModel(started_at_ms=NOW_MS)
    apply_raw(model, topics.TELEMETRY, None, b"junk", offset=0, now_ms=NOW_MS)
    apply(model, topics.COMMANDS, command_frame(NOW_MS, {DEVICE: 3000.0}))
    reading = {"device_id": DEVICE, "site_id": "home-001", "seq": 1, "received_at_ms": NOW_MS}
    batch = make_batch([{**reading, "measured_at_ms": NOW_MS, "battery_w": 1234.0}])
    apply_raw(model, topics.TELEMETRY, None, encode_frame(batch), offset=1, now_ms=NOW_MS)
    newest = model.commands.of_device(DEVICE)
    assert newest is not None
    assert (newest.reported_w, newest.measured_at_ms) == (1234.0, NOW_MS)
    apply_raw(model, topics.TELEMETRY, None, b"junk", offset=2, now_ms=NOW_MS)
    assert model.undecodable == {"telemetry": 2}


# Requests and status


def asked(n: int, **changes: Any) -> Target:
    told = {"region": "north", "ends_at_ms": NOW_MS + 900_000, "priority": "operator", **changes}
    return Target(
        request_id=f"target-{n}",
        export_w=1.0,
        starts_at_ms=NOW_MS,
        source="operator:ann",
        issued_at_ms=NOW_MS + n,
        **told,
    )


def became(n: int, state: RequestState) -> RequestEvent:
    return RequestEvent(request_id=f"target-{n}", region="north", state=state, at_ms=NOW_MS)


def test_a_request_is_known_by_whichever_topic_tells_first() -> None:
    dispatches = Dispatches()
    dispatches.apply_event(became(1, "active"), NOW_MS)
    assert dispatches.view("north", 10, NOW_MS).requests == []
    dispatches.apply_request(asked(1))
    dispatches.apply_request(asked(1, priority="emergency"))
    [told] = dispatches.view("north", 10, NOW_MS).requests
    assert (told.state, told.request.priority) == ("active", "operator")


def test_requests_are_bounded_and_what_is_over_leaves_first() -> None:
    dispatches = Dispatches()
    for n in range(6000):
        dispatches.apply_request(asked(n))
        if n % 2:
            dispatches.apply_event(became(n, "completed"), NOW_MS)
    assert dispatches.request("target-0")[0] is not None
    assert dispatches.request("target-1")[0] is None
    view = dispatches.view("north", 10, NOW_MS)
    assert len(view.requests) == 100
    assert view.requests[0].request.request_id == "target-5998"


def test_a_notice_stands_until_nothing_is_missing() -> None:
    dispatches = Dispatches()
    dispatches.apply_event(notice("north", "target-1"), NOW_MS)
    dispatches.apply_event(notice("north", "target-1", 1000.0), NOW_MS)
    assert [n.missing_w for n in dispatches.now(NOW_MS)[0].notices] == [1000.0]
    dispatches.apply_event(notice("north", "target-1", 0.0), NOW_MS)
    assert dispatches.now(NOW_MS)[0].notices == []


def test_the_status_becomes_stale_and_its_history_is_half_an_hour() -> None:
    dispatches = Dispatches()
    for step in range(4000):
        status = dispatch_status("north", NOW_MS + 500 * step, asked_w=float(step // 1000))
        dispatches.apply_event(status, NOW_MS + 500 * step)
    last_ms = NOW_MS + 500 * 3999
    view = dispatches.view("north", 4000, last_ms + 10_001)
    assert view.now.stale
    assert view.history.at_ms[-1] == last_ms
    assert last_ms - view.history.at_ms[0] <= HISTORY_MS
    assert not dispatches.view("north", 10, last_ms + 10_000).now.stale
    # A replay starts again in the past: what it did before gives way.
    dispatches.apply_event(dispatch_status("north", NOW_MS - 1), last_ms)
    assert dispatches.view("north", 10, last_ms).history.at_ms == [NOW_MS - 1]


def test_a_change_of_what_is_asked_is_always_a_point() -> None:
    dispatches = Dispatches()
    for after_ms, asked_w in ((0, 1.0), (100, 1.0), (150, 2.0), (200, None)):
        dispatches.apply_event(dispatch_status("north", NOW_MS + after_ms, asked_w=asked_w), NOW_MS)
    assert dispatches.view("north", 10, NOW_MS).history.asked_w == [1.0, 2.0, None]


def test_storms_are_told_until_they_are_over_or_called_off() -> None:
    model = ReadModel(started_at_ms=NOW_MS)
    each: tuple[dict[str, Any], ...] = ({}, {"cancelled": True}, {"ends_at_ms": NOW_MS})
    for n, changes in enumerate(each):
        told: dict[str, Any] = {
            "prepare_from_ms": NOW_MS,
            "starts_at_ms": NOW_MS,
            "ends_at_ms": NOW_MS + 1,
        }
        alert = Alert(alert_id=f"s{n}", kind="storm", **{**told, **changes})
        apply(model, topics.GRID_ALERTS, alert)
    assert [alert.alert_id for alert in model.alerts(NOW_MS)] == ["s0"]
    assert model.alerts(NOW_MS + 1) == []
    apply_raw(model, topics.GRID_ALERTS, b"s0", None, offset=0, now_ms=NOW_MS)
    assert model.alerts(NOW_MS) == []


READ = (
    topics.DISPATCH_TARGETS,
    topics.DISPATCH_EVENTS,
    topics.COMMANDS,
    topics.COMMAND_EVENTS,
    topics.GRID_ALERTS,
)


@pytest.mark.parametrize("topic", READ, ids=lambda topic: topic.name)
@pytest.mark.parametrize("junk", [b"", b"{", b"null", b"[]", b'{"type":"x"}', b"\xff", b"NaN"])
def test_a_record_that_cannot_be_read_is_counted(topic: Topic, junk: bytes) -> None:
    model = ReadModel(started_at_ms=NOW_MS)
    apply_raw(model, topic, b"key", junk, offset=0, now_ms=NOW_MS)
    assert model.undecodable == {topic.name: 1}
    apply_raw(model, topic, b"key", None, offset=1, now_ms=NOW_MS)
    apply_raw(model, topic, b"\xff", None, offset=1, now_ms=NOW_MS)
    assert model.undecodable.total() <= 3  # nothing can be removed where no keys are kept


def test_a_region_is_told_with_the_request_that_rules_it() -> None:
    model = fed_read_model()
    feed_control(model)

    def ruling() -> str | None:
        now = model.dispatches.one("north", NOW_MS)
        return now.ruling.request_id if now is not None and now.ruling is not None else None

    assert ruling() == "target-1"
    held(model, "north")
    assert ruling() == "hold-north", "though the status of a held region names no request"
    event = RequestEvent(
        request_id="hold-north", region="north", at_ms=NOW_MS, state="withdrawn", by="withdraw-1"
    )
    apply(model, topics.DISPATCH_EVENTS, event)
    assert ruling() is None
    idle: dict[str, Any] = {"mode": "idle", "request_id": "", "asked_w": None}
    apply(model, topics.DISPATCH_EVENTS, dispatch_status("north", **idle))
    assert ruling() is None
