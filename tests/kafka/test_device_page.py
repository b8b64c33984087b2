"""The tables of docs/devices.md are generated."""

import pytest

from schemas.protocol import Backfill, Hello, HelloResult, Telemetry
from tests.support.paths import DOCS
from vpp_streams.cli.contracts import device_page
from vpp_streams.errors import VppError
from vpp_streams.kafka.device_page import field_table, filled

PAGE = DOCS / "devices.md"


def test_the_page_is_as_generated_and_has_every_table() -> None:
    page = PAGE.read_text()
    assert device_page(page) == page
    assert "<!-- end -->\n<!-- end -->" not in page
    assert page.count("<!-- table: ") == page.count("<!-- end -->") == 15


def test_a_table_that_was_changed_by_hand_is_filled_again() -> None:
    page = "before\n<!-- table: x -->\nold\n<!-- end -->\nafter"
    once = filled(page, {"x": "| new |"})
    assert once == "before\n<!-- table: x -->\n\n| new |\n\n<!-- end -->\nafter"
    assert filled(once, {"x": "| new |"}) == once


def test_a_table_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(VppError, match="no table y; there are x"):
        filled("<!-- table: y -->\n<!-- end -->", {"x": ""})


def test_types_limits_defaults_and_meanings() -> None:
    rows = [row for each in (Hello, Telemetry, Backfill, HelloResult)
            for row in field_table(each).splitlines()]  # fmt: skip
    for row in (
        "| `boot` | string | 1 to 8 hex digits | required | Boot id of the live readings of this"
        " connection; new at every start of the device. |",
        "| `measures_only` | boolean |  | `false` | Whether the device takes no setpoint: its"
        " readings count, and it rejects every command. |",
        "| `p` | number or null |  |  | Battery power, W, + = discharge. |",
        "| `iv` | integer | > 0, ≤ 86,400,000 | `1000` | The time this reading stands for, ms,"
        " from `t` on. |",
        "| `rows` | array | 1 to 1,000 values; each 0 to 32 values | required | null = the device"
        " no longer has the reading; a null value = not measured. |",
        "| `backfill` | `BackfillPace` |  | required | The pace of the readings that the device"
        " kept. |",
    ):
        assert row in rows


def test_every_field_of_a_message_has_a_meaning() -> None:
    tables = PAGE.read_text().split("<!-- table: ")[1:]
    rows = [row for table in tables for row in table.splitlines() if row.startswith("| `")]
    assert len(rows) > 60
    assert [row for row in rows if row.endswith("|  |")] == []
