"""docs/devices.md says what the code does: its examples decode, its numbers are the code's."""

import re
from typing import get_args

import pytest

from edge.session import _HELD_ROWS, Patience
from schemas import protocol
from schemas.commands import FINAL
from schemas.protocol import (
    MAX_MESSAGE_BYTES,
    MAX_UNTOLD,
    PERMANENT,
    Call,
    DeviceCommandState,
    Error,
    ErrorCode,
    HelloResult,
    Malformed,
    Result,
    SetpointResult,
    SetpointStatus,
)
from schemas.wire import decode, decode_result
from tests.support.paths import DOCS
from vpp_streams.gateway import budget, logins
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.commands import ANSWER_MS

DOC = (DOCS / "devices.md").read_text()
EXAMPLES = re.findall(r"^\[\d,\".*\]$", DOC, re.MULTILINE)


def row(begin: str) -> list[str]:
    """The cells of the table's row that begins so."""
    (found,) = [line for line in DOC.splitlines() if line.startswith(f"| {begin}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_a_message(example: str) -> None:
    message = decode(example.encode())
    assert isinstance(message, Call | Result | Error)
    if isinstance(message, Result) and message.id == "h":
        assert isinstance(decode_result(message, HelloResult), HelloResult)
    if isinstance(message, Result) and message.id.startswith("c"):
        assert not isinstance(decode_result(message, SetpointResult), Malformed)


def test_every_message_has_an_example() -> None:
    actions = {m.payload.__class__.__name__ for m in map(decode, EXAMPLES) if isinstance(m, Call)}
    assert actions == {
        "Hello", "Telemetry", "VendorTelemetry", "Backfill", "Ack", "Setpoint", "CommandStatus",
        "Prices", "Drain",
    }  # fmt: skip


def test_every_code_is_there_with_its_kind() -> None:
    for code in get_args(ErrorCode):
        assert row(f"`{code}`")[1] == ("yes" if code in PERMANENT else "later")
    codes = [value for name, value in vars(protocol).items() if name.startswith("CLOSE_")]
    assert len(codes) >= 8
    ends = DOC.partition("## The end of a connection")[2]
    for code in codes:
        assert re.search(rf"^\| [\d, ]*\b{code}\b", ends, re.MULTILINE), code


def test_every_answer_and_state_of_a_command_is_there() -> None:
    for word in (*get_args(SetpointStatus), *get_args(DeviceCommandState)):
        assert f"\n| `{word}`" in DOC
    assert set(get_args(DeviceCommandState)) - FINAL == {"applied"}


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    pace = f"{2 * limits.backfill_rows_per_s} a second"
    expected = {
        "live readings": [f"{limits.live_per_s:g} a second", f"{limits.live_burst:g}"],
        "backfill rows": [pace, f"{limits.backfill_burst_rows}"],
        "refused messages": [f"{limits.strikes_per_min:g} a minute", f"{limits.strikes_burst:g}"],
        "frames;": [f"{budget.FRAMES_PER_S:g} a second", f"{budget.FRAMES_BURST:g}"],
        "upgrades": [f"{logins.CONNECTS_PER_S:g} a second", f"{logins.CONNECTS_BURST:g}"],
        "wrong tokens for": [f"{logins.GUESSES_PER_MIN:g} a minute", f"{logins.GUESSES_BURST:g}"],
        "wrong tokens from": [
            f"{logins.ADDRESS_GUESSES_PER_MIN:g} a minute",
            f"{logins.ADDRESS_GUESSES_BURST:g}",
        ],
    }
    for begin, figures in expected.items():
        assert row(begin)[1:] == figures, begin
    assert f"the pace announced is {limits.backfill_rows_per_s}" in row("backfill rows")[0]
    assert f"counts as {budget.EXTRA_COST}," in row("frames;")[0]


def test_the_times_and_sizes_are_those_of_the_code() -> None:
    limits, patience = Limits(), Patience()
    for words in (
        f"at most {MAX_MESSAGE_BYTES // 1024} KiB, at most {budget.MAX_FRAGMENTS} fragments",
        f"within {limits.hello_timeout_ms // 1000} s of the upgrade",
        f"{patience.resend_ms // 1000} s have passed since it was sent",
        f"after about {patience.refused_ms // 1000} s (draw 2.5 to 7.5)",
        f"min({patience.reconnect_most_ms // 1000} s, {patience.reconnect_first_ms // 1000} s",
        f"the last few (up to {_HELD_ROWS}) live",
        f"up to {MAX_UNTOLD} commands",
        f"within\n{ANSWER_MS // 1000} s",
    ):
        assert words in DOC, words
