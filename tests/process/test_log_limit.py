"""The log does not grow with what strangers do."""

import logging

import pytest
import structlog

from vpp_streams.process.log_limit import PER_MINUTE, LogLimit
from vpp_streams.settings import Settings


def lines(limit: LogLimit, *messages: object) -> list[str]:
    written = []
    for message in messages:
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, message, None, None)
        if limit.filter(record):
            written.append(str(record.msg))
    return written


def test_one_kind_is_cut_and_the_next_minute_says_how_much_was_left_out() -> None:
    now_s = [0.0]
    limit = LogLimit(lambda: now_s[0])
    flood = ["socket.accept() out of system resource"] * (PER_MINUTE + 1000)
    assert len(lines(limit, *flood)) == PER_MINUTE
    assert lines(limit, "something else") == ["something else"]
    now_s[0] = 60
    [line] = lines(limit, flood[0])
    assert line == f"{flood[0]} (1000 lines like this were left out)"


def test_events_count_by_their_name_whatever_else_they_say() -> None:
    now_s = [0.0]
    limit = LogLimit(lambda: now_s[0])
    events = [{"event": "too slow", "client": f"192.0.2.{n}"} for n in range(PER_MINUTE + 7)]
    assert len(lines(limit, *events)) == PER_MINUTE
    now_s[0] = 61
    assert "'lines_left_out': 7" in lines(limit, events[0])[0]


def test_kinds_are_bounded() -> None:
    limit = LogLimit(lambda: 0.0)
    lines(limit, *(f"kind {n}" for n in range(5000)))
    assert len(limit._kinds) <= 1000  # noqa: SLF001  # what is kept must be bounded


def test_what_structlog_writes_passes_the_limit(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    from vpp_streams.process.logs import set_up_logs  # noqa: PLC0415  # what it needs is loaded here

    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    configuration = structlog.get_config()
    try:
        set_up_logs(settings)
        for number in range(PER_MINUTE + 50):
            structlog.get_logger("flood").warning("a flood", number=number)
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        structlog.configure(**configuration)
    assert capsys.readouterr().err.count("a flood") == PER_MINUTE
