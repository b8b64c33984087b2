"""Kinds of history: every record of their topics finds its rows, and columns follow contracts."""

import msgspec
import pyarrow as pa
import pytest

from schemas.commands import CommandEvent, CommandEvents
from schemas.forecast import RegionForecast
from schemas.windows import SiteWindow
from tests.support.web_records import region_forecast, site_window
from vpp_streams.domain.history.columns import leaves_of
from vpp_streams.domain.history.kinds import BY_NAME, KINDS, Kind, parse_keep_days, rows_of
from vpp_streams.kafka import topics


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_fits_its_topic_and_its_columns(kind: Kind) -> None:
    assert kind.topic in {topic.name for topic in topics.ALL}
    names = kind.schema.names
    assert len(names) == len(set(names))
    assert {*kind.id, kind.at, *([kind.revision] if kind.revision else [])} <= set(names)


def test_a_window_is_of_the_kind_of_its_size() -> None:
    for size_s, name in ((900, "site_windows"), (60, "site_minutes")):
        found = [kind.name for kind, _ in rows_of("site.windows", site_window("s", 0, size_s))]
        assert found == [name]


def test_only_the_ends_of_commands_are_kept() -> None:
    events = CommandEvents(
        source="g",
        partition=0,
        events=tuple(
            CommandEvent(device_id=f"d-{state}", command_id="c0-1", state=state, at_ms=1)
            for state in ("accepted", "completed", "failed")
        ),
    )
    found = [row.device_id for _, row in rows_of("command.events", events)]
    assert found == ["d-completed", "d-failed"]


def test_a_struct_within_is_columns_and_an_absent_one_is_null() -> None:
    leaves = {leaf.name: leaf for leaf in leaves_of(SiteWindow)}
    windows = [site_window("a", 0), site_window("b", 0, battery=None)]
    found = leaves["battery_mean_w"].array(windows)
    assert found.to_pylist() == [1200.0, None]
    assert leaves["soc_first"].array(windows).to_pylist() == [0.61, 0.61]


def test_a_tuple_of_numbers_is_a_list_and_other_structures_are_json() -> None:
    forecast = {leaf.name: leaf for leaf in leaves_of(RegionForecast)}
    assert forecast["load_mean_w"].type == pa.list_(pa.float64())
    one = region_forecast("north", 0)
    assert forecast["load_mean_w"].array([one]).to_pylist() == [list(one.load.mean_w)]
    prices = next(leaf for leaf in leaves_of(BY_NAME["clearings"].record) if leaf.name == "prices")
    clearing = msgspec.convert(
        {
            "type": "clearing", "market": "sim", "start_ms": 0, "interval_ms": 1,
            "cleared_at_ms": 0, "prices": {"energy": 5.5}, "currency": "EUR",
        },
        BY_NAME["clearings"].record,
    )  # fmt: skip
    assert prices.array([clearing]).to_pylist() == ['{"energy":5.5}']


def test_days_to_keep_are_a_setting() -> None:
    assert parse_keep_days("")["site_minutes"] == BY_NAME["site_minutes"].keep_days
    assert parse_keep_days(" site_minutes=7 , bids=1")["site_minutes"] == 7
    for wrong in ("site=7", "bids=0", "bids=-1", "bids", "bids=many", "bids=99999999"):
        with pytest.raises(ValueError, match=r"no kind|number from 1"):
            parse_keep_days(wrong)
