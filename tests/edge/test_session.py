"""The device's side of the protocol: whatever the link does, no reading is lost unsaid."""

import random
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.leases import Leases
from edge.ring import MemoryRing
from edge.session import CHUNK_ROWS, Device, Step
from schemas.protocol import (
    CLOSE_ABUSE,
    CLOSE_REGISTRY_CHANGED,
    CLOSE_REPLACED,
    CLOSE_REVOKED,
    CLOSE_UNKNOWN_DEVICE,
    MAX_MESSAGE_BYTES,
    Backfill,
    CommandStatus,
    Drain,
    Hello,
    Prices,
    Result,
    SetpointResult,
    Telemetry,
    VendorTelemetry,
)
from schemas.telemetry import NativeBody, VendorBody
from schemas.wire import (
    decode,
    decode_result,
    encode_call,
    encode_error,
    encode_result,
)
from tests.support.plant_world import EPOCH, setpoint
from tests.support.simulated_device import (
    BOOT,
    backfilled_seqs,
    battery_lease,
    encoded_ack,
    hello_answer,
    live_device,
    new_device,
    reading_body,
    sent_payloads,
)


def test_hello_says_what_it_has() -> None:
    device = new_device()
    for i in range(3):
        device.measured(reading_body(i), i)
    (hello,) = sent_payloads(device.connected(1_763_856_009_000))
    assert hello == Hello(BOOT, 3, 0, "powerwall3", "24.36", t=1_763_856_009_000)


def test_live_readings_go_at_once_and_are_kept_until_acked() -> None:
    device = live_device()
    for i in range(3):
        (sent,) = sent_payloads(device.measured(reading_body(i), i))
        assert isinstance(sent, Telemetry)
        assert (sent.b, sent.s, sent.t, sent.p, sent.pv) == (
            BOOT,
            i,
            reading_body(i).t,
            float(i),
            None,
        )
    assert len(device.ring) == 3
    device.received(encoded_ack(0, 1), 10)
    assert (len(device.ring), device.ring.oldest_seq) == (1, 2)
    device.received(encoded_ack(0, 9, boot="0ff"), 10)
    assert len(device.ring) == 1, "an ack of another boot is not ours"


def test_readings_between_hello_and_its_answer_go_live() -> None:
    device = new_device()
    device.connected(0)
    for i in range(7):
        assert device.measured(reading_body(i), i) == Step()
    sent = [reading.s for reading in sent_payloads(device.received(hello_answer(), 7))]
    assert sent == [2, 3, 4, 5, 6], "a long wait does not become a burst"
    assert backfilled_seqs(device.tick(7)) == [0, 1]


def test_a_vendors_form_goes_live_and_its_native_form_as_backfill() -> None:
    device = live_device()
    document = VendorBody("fronius", msgspec.Raw(b'{"Body":1}'), reading_body(0).t)
    (sent,) = sent_payloads(device.measured(reading_body(0), 0, document))
    assert isinstance(sent, VendorTelemetry)
    assert (sent.vendor, bytes(sent.body), sent.s) == ("fronius", b'{"Body":1}', 0)
    device.disconnected()
    device.connected(0)
    device.received(hello_answer(), 1)
    (again,) = sent_payloads(device.tick(1))
    assert isinstance(again, Backfill)
    (values,) = again.rows
    assert values is not None
    row = dict(zip(again.cols, values, strict=True))
    assert msgspec.convert(row, NativeBody) == reading_body(0)


def test_backfill_waits_its_delay_and_keeps_the_pace() -> None:
    device = live_device(measured_before=100, delay_ms=(4000, 4000), rows_per_s=20)
    assert device.tick(3999) == Step()
    sent = {t: backfilled_seqs(device.tick(t)) for t in range(4000, 9001, 500)}
    assert [len(rows) for rows in sent.values()] == [20, 0, 20, 0, 20, 0, 20, 0, 20, 0, 0]
    assert [seq for seqs in sent.values() for seq in seqs] == list(range(100))
    device.received(encoded_ack(0, 99), 9001)
    assert len(device.ring) == 0


def test_time_in_which_nothing_was_due_does_not_become_a_burst() -> None:
    device = live_device(rows_per_s=20)
    device.tick(0)
    for i in range(90):
        device.measured(reading_body(i), 100_000)
    device.received(encode_error("-", "rate_limited", ""), 100_000)
    for i in range(90):
        device.received(encode_error(str(i), "rate_limited", ""), 100_000)
    assert len(backfilled_seqs(device.tick(200_000))) <= 2 * 20


def test_backfill_stays_under_the_message_limit_with_every_column_filled() -> None:
    device = new_device(ring_capacity=1000)
    full = NativeBody(
        1_763_856_000_000, -1_900_000.1, -1_900_000.1, 1.0e6, 9.0e6, 0.12345, 60.001, 120.1, -10.1,
        False, 60_000,
    )  # fmt: skip
    for i in range(1000):
        device.measured(full, i)
    device.connected(0)
    device.received(hello_answer(rows_per_s=1000), 0)
    step = device.tick(0)
    assert len(backfilled_seqs(step)) >= CHUNK_ROWS
    assert all(len(message) <= MAX_MESSAGE_BYTES for message in step.send)


def test_a_full_ring_drops_the_oldest_and_counts_it() -> None:
    counters: Counter[str] = Counter()
    device = Device(
        MemoryRing(BOOT, 10),
        "",
        "",
        rng=random.Random(1),
        counters=counters,
        controls=battery_lease(),
    )
    for i in range(25):
        device.measured(reading_body(i), i)
    assert (len(device.ring), device.ring.oldest_seq, counters["dropped"]) == (10, 15, 15)
    device.connected(0)
    device.received(hello_answer(), 0)
    assert backfilled_seqs(device.tick(0)) == list(range(15, 25))


def test_a_refusal_for_now_is_sent_again_and_one_for_good_is_not() -> None:
    device = live_device()
    for i in range(3):
        device.measured(reading_body(i), i)
    device.received(encode_error("0", "not_stored", ""), 10)
    device.received(encode_error("1", "bad_message", ""), 10)
    device.received(encoded_ack(2, 2), 10)
    assert device.tick(11) == Step()
    assert backfilled_seqs(device.tick(10 + 8000)) == [0]
    device.received(encode_error("0-0", "unavailable", ""), 9000)
    assert backfilled_seqs(device.tick(9000 + 8000)) == [0]
    device.received(encoded_ack(0, 0), 20_000)
    assert len(device.ring) == 0


def test_what_hears_no_answer_goes_again() -> None:
    device = live_device()
    device.measured(reading_body(0), 0)
    assert device.tick(59_999) == Step()
    assert backfilled_seqs(device.tick(60_000)) == [0]


def test_after_a_loss_live_goes_first_and_what_was_lost_beside_it() -> None:
    device = live_device()
    for i in range(3):
        device.measured(reading_body(i), i)
    device.disconnected()
    device.measured(reading_body(3), 3)
    (hello,) = sent_payloads(device.connected(0))
    assert (hello.oldest_seq, hello.next_seq) == (0, 4)
    device.received(hello_answer(delay_ms=(500, 500)), 1000)
    (live,) = sent_payloads(device.measured(reading_body(4), 1100))
    assert live.s == 4
    assert backfilled_seqs(device.tick(1500)) == [0, 1, 2, 3]


def test_reconnects_back_off_with_full_jitter() -> None:
    device = new_device()
    waits = [device.disconnected() or 0.0 for _ in range(12)]
    ceilings = [min(1000 * 2**n, 60_000) for n in range(12)]
    assert all(0 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))
    assert max(waits) > 10_000
    drawn = [new_device(seed=seed).disconnected() or 0.0 for seed in range(200)]
    assert min(drawn) < 50
    assert max(drawn) > 950
    device.connected(0)
    device.received(hello_answer(), 0)
    assert device.disconnected() <= 1000, "an accepted Hello forgives what was before"


def test_close_codes() -> None:
    assert live_device().disconnected(CLOSE_REPLACED) is None
    device = live_device()
    for _ in range(10):
        device.disconnected()
    assert device.disconnected(CLOSE_REGISTRY_CHANGED) <= 1000


@pytest.mark.parametrize("code", [CLOSE_ABUSE, CLOSE_UNKNOWN_DEVICE, CLOSE_REVOKED])
def test_a_device_that_was_thrown_out_does_not_come_back_at_once(code: int) -> None:
    waits = [live_device().disconnected(code) for _ in range(3)]
    assert all(30_000 <= wait <= 60_000 for wait in waits)


def test_a_drained_device_waits_for_its_acks_and_comes_back_when_told() -> None:
    device = live_device()
    device.measured(reading_body(0), 0)
    step = device.received(encode_call("g9", Drain((7000, 7000))), 10)
    assert [decode(message) for message in step.send] == [Result("g9", msgspec.Raw(b"{}"))]
    assert not step.close
    assert device.measured(reading_body(1), 20) == Step(), "kept, not sent"
    assert device.tick(30) == Step()
    assert device.received(encoded_ack(0, 0), 40).close
    assert device.disconnected(1001) == 7000


def test_a_drained_device_does_not_wait_for_ever() -> None:
    device = live_device()
    device.measured(reading_body(0), 0)
    device.received(encode_call("g9", Drain((0, 0))), 10)
    assert not device.tick(2009).close
    assert device.tick(2010).close


GATEWAY_MS = 1_763_856_500_000


def answer(device: Device, id_: str, now_ms: int, p: float | None = 100.0, **fields: Any) -> str:
    """The status of the device's answer to a Setpoint."""
    call = encode_call(id_, setpoint(p, **{"now_ms": GATEWAY_MS, **fields}))
    (message,) = device.received(call, now_ms).send
    result = decode(message)
    assert isinstance(result, Result)
    assert result.id == id_
    return decode_result(result, SetpointResult).status


def reports(step: Step) -> dict[str, CommandStatus]:
    calls = [decode(message) for message in step.send]
    return {call.id: call.payload for call in calls if isinstance(call.payload, CommandStatus)}


def test_a_setpoint_is_answered_at_once_and_hello_names_the_last_one() -> None:
    device = live_device(t=GATEWAY_MS)
    assert answer(device, "c1", 10, rank=1) == "accepted"
    assert answer(device, "c1", 20, rank=1) == "duplicate"
    assert answer(device, "c2", 30, rank=2, epoch=EPOCH - 1) == "stale_epoch"
    device.disconnected()
    (hello,) = sent_payloads(device.connected(0))
    assert hello.last_cmd == "c1"
    assert answer(device, "c3", 40, rank=3) == "stale_epoch", "its Hello has no answer yet"
    device.received(hello_answer(t=GATEWAY_MS), 50)
    assert answer(device, "c1", 60, rank=1) == "duplicate"
    assert answer(device, "c3", 70, rank=3) == "accepted"


def test_hello_names_the_commands_whose_reports_nobody_answered() -> None:
    device = live_device(t=GATEWAY_MS)
    heard, unheard = CommandStatus("c1", "applied", 1), CommandStatus("c2", "applied", 1)
    (id_,) = reports(device.report(heard, 10))
    device.report(unheard, 20)
    device.report(CommandStatus("c2", "superseded", 1), 20)
    device.received(encode_result(id_, {}), 30)
    device.disconnected()
    (hello,) = sent_payloads(device.connected(40))
    assert hello.untold == ("c2",)


def test_prices_are_taken_and_answered() -> None:
    taken: list[tuple[int, Prices]] = []
    leases = Leases(np.array([True]), lambda row, prices: taken.append((row, prices)))
    device = new_device(controls=leases.of(0))
    device.connected(0)
    device.received(hello_answer(t=GATEWAY_MS), 0)
    prices = Prices(from_=GATEWAY_MS, interval_ms=1000, per_mwh=(9.0, 1.0, 1.0))
    assert device.received(encode_call("p1", prices), 10).send == [encode_result("p1", {})]
    assert taken == [(0, prices)]


def test_the_gateways_clock_counts_however_wrong_the_devices_own_is() -> None:
    device = live_device(t=GATEWAY_MS)
    assert device.gateway_ms(500) == GATEWAY_MS + 500
    short = {"valid_until": GATEWAY_MS + 1000}
    assert answer(device, "c1", 999, rank=1, **short) == "accepted"
    assert answer(device, "c2", 1000, rank=2, **short) == "expired"


def test_the_clock_is_set_by_the_promptest_message() -> None:
    device = live_device(t=GATEWAY_MS - 800)  # its Hello was answered late
    device.received(encoded_ack(0, 0, t=GATEWAY_MS + 1000), 1000)
    assert device.gateway_ms(2000) == GATEWAY_MS + 2000
    device.received(encoded_ack(0, 0, t=GATEWAY_MS + 2000), 2640)  # 640 ms late
    assert device.gateway_ms(3000) == GATEWAY_MS + 3000 - 10
    device.received(encoded_ack(0, 0, t=GATEWAY_MS + 4000), 4000)
    assert device.gateway_ms(4000) == GATEWAY_MS + 4000


def test_a_gateways_clock_that_was_set_back_is_believed_at_once() -> None:
    device = live_device(t=GATEWAY_MS + 7_200_000)
    device.received(encoded_ack(0, 0, t=GATEWAY_MS + 1000), 1000)
    assert device.gateway_ms(1000) == GATEWAY_MS + 1000
    assert answer(device, "c1", 1000, rank=1, valid_until=GATEWAY_MS + 30_000) == "accepted"


def test_reports_are_told_until_they_are_heard() -> None:
    device = new_device()
    first, second = CommandStatus("c1", "applied", 1), CommandStatus("c1", "completed", 2)
    assert device.report(first, 0) == Step()
    device.connected(0)
    ((id_, told),) = reports(device.received(hello_answer(), 10)).items()
    assert told == first
    assert reports(device.tick(20)) == {}
    device.disconnected()
    device.connected(0)
    assert reports(device.received(hello_answer(), 30)) == {id_: first}, "nobody said it was heard"
    device.received(encode_result(id_, {}), 40)
    ((later, told),) = reports(device.report(second, 50)).items()
    assert told == second
    device.received(encode_error(later, "not_stored", ""), 60)
    assert reports(device.tick(100)) == {}
    assert reports(device.tick(60 + 8000)) == {later: second}
    device.received(encode_error(later, "unknown_command", ""), 9000)
    device.disconnected()
    device.connected(0)
    assert reports(device.received(hello_answer(), 10_000)) == {}


def test_reports_that_nobody_hears_are_bounded_and_the_oldest_go() -> None:
    device = new_device()
    for t in range(100):
        device.report(CommandStatus("c1", "applied", t), 0)
    device.connected(0)
    told = reports(device.received(hello_answer(), 0)).values()
    assert [report.t for report in told] == list(range(36, 100))


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b'[3,"hello",{}]', b'[9,"1","x",{}]', b'[6,"1","Reboot",{}]', "\ud800"],
)
def test_nonsense_from_a_gateway_does_no_harm(data: bytes | str) -> None:
    device = live_device()
    device.measured(reading_body(0), 0)
    device.received(data, 10)
    assert len(device.ring) == 1


def test_a_refused_hello_ends_the_connection() -> None:
    device = new_device()
    device.connected(0)
    assert device.received(encode_error("hello", "unavailable", "no Kafka"), 1).close


def test_a_boot_that_has_used_higher_numbers_is_not_used_again() -> None:
    device = new_device()
    device.measured(reading_body(0), 0)
    device.connected(0)
    assert device.received(hello_answer(boot_used=True), 1).close
    device.disconnected()
    device.measured(reading_body(1), 2)
    (hello,) = sent_payloads(device.connected(3))
    assert (hello.boot != BOOT, hello.next_seq, hello.oldest_seq) == (True, 2, 0)
    device.received(hello_answer(), 4)
    (live,) = sent_payloads(device.measured(reading_body(2), 5))
    assert (live.b, live.s) == (hello.boot, 2)
    backfills = sent_payloads(device.tick(6)) + sent_payloads(device.tick(1000))
    assert [(b.b, b.from_, len(b.rows)) for b in backfills] == [(BOOT, 0, 1), (hello.boot, 1, 1)]
    device.received(encoded_ack(0, 2, boot=hello.boot), 1001)
    assert (len(device.ring), device.ring.oldest_seq) == (1, 0)


def test_a_ring_that_begins_another_boot_takes_another_hello() -> None:
    device = live_device()
    device.measured(reading_body(0), 0)
    device.ring.renew("b0b0")
    step = device.measured(reading_body(1), 1)
    assert (step.send, step.close) == ([], True)
    device.disconnected()
    (hello,) = sent_payloads(device.connected(2))
    assert hello.boot == "b0b0"


def test_a_reading_that_was_lost_meanwhile_is_reported_as_lost() -> None:
    class Losing(MemoryRing):
        def bodies(self, run: range) -> list[NativeBody | None]:
            return [
                body if seq != 1 else None
                for seq, body in zip(run, super().bodies(run), strict=True)
            ]

    device = Device(
        Losing(BOOT, 10), "", "", rng=random.Random(1), counters=Counter(), controls=battery_lease()
    )
    for i in range(3):
        device.measured(reading_body(i), i)
    device.connected(0)
    device.received(hello_answer(), 0)
    (backfill,) = sent_payloads(device.tick(1))
    assert [row and row[0] for row in backfill.rows] == [reading_body(0).t, None, reading_body(2).t]


def test_a_device_without_a_battery_says_that_it_only_measures() -> None:
    solar = Leases(np.array([False]), lambda _row, _prices: None)
    (hello,) = sent_payloads(new_device(controls=solar.of(0)).connected(0))
    assert hello.measures_only
