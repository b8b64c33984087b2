"""OpenADR events as our records: the published examples, signs, dirt, times, priorities."""

import itertools
import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from openadr3.entities.raw import RawProgram

from schemas.dispatch import Limit, Target
from schemas.encoding import decode_json, encode_json
from tests.support.examples import examples
from tests.support.openadr_events_world import (
    DAY_MS,
    HOUR_MS,
    MODIFIED,
    NOON,
    NOW,
    VEN,
    event,
    follow,
    mapped,
    ms,
    reasons,
    value,
)
from tests.support.paths import ROOT, SHARED_DATA
from vpp_streams.domain.control.requests import LONGEST_MS
from vpp_streams.domain.openadr.events import map_events
from vpp_streams.domain.openadr.requests import Ven
from vpp_streams.domain.openadr.standing import Standing
from vpp_streams.domain.openadr.wire import FINDINGS

EXAMPLES = SHARED_DATA / "openadr3" / "examples"
needs_data = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="no openadr3/examples in ../shared/data"
)


def example(name: str) -> list[dict[str, Any]]:
    """The events of an example file, with the times as they are written there."""

    class Loader(yaml.SafeLoader):
        """YAML would read the times as its own."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith("timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    document = yaml.load((EXAMPLES / name).read_text(), Loader)
    return [{**e, "createdDateTime": "2023-12-31T00:00:00Z"} for e in document["events"]]


@needs_data
def test_the_dso_limitation_is_two_limits_and_its_dirt_is_named() -> None:
    raw = json.loads((EXAMPLES / "event.json").read_text())
    told = mapped(raw, now_ms=ms("2024-06-19T09:55:00Z"))
    limits = [
        (r.import_limit_w, r.export_limit_w, r.starts_at_ms, r.ends_at_ms, r.priority)
        for r in told.requests
        if isinstance(r, Limit)
    ]
    first, second = ms("2024-06-19T09:51:12.531Z"), ms("2024-06-19T10:06:12.531Z")
    assert limits == [
        (100_000.0, 10_000.0, first, second, "grid_limit"),
        (50_000.0, 60_000.0, second, second + 900_000, "grid_limit"),
    ]
    assert not told.refused
    assert sorted(set(reasons(told.found))) == [
        "empty_target",
        "no_object_type",
        "number_as_id",
        "scalar_values",
    ]


@needs_data
def test_two_days_of_hourly_prices_are_one_series_per_mwh() -> None:
    told = mapped(*example("dyn-price.oadr.yaml"), now_ms=ms("2024-01-01T10:30:00Z"))
    assert told.prices is not None
    assert told.prices.currency == "EUR"
    assert (told.prices.from_ms, told.prices.interval_ms) == (ms("2024-01-01T00:00:00Z"), HOUR_MS)
    assert len(told.prices.per_mwh) == 48
    assert told.prices.per_mwh[:9] == (
        420.0,
        430.0,
        440.0,
        450.0,
        460.0,
        470.0,
        480.0,
        490.0,
        500.0,
    )
    assert told.prices.per_mwh[24:] == told.prices.per_mwh[:24]
    assert not told.refused


@needs_data
def test_a_level_is_refused_with_a_sentence() -> None:
    told = mapped(*example("load-sched.oadr.yaml"), now_ms=ms("2024-01-01T14:00:00Z"))
    assert told.requests == ()
    assert [(r.event_id, r.reason) for r in told.refused] == [("ls101-e0", "no_counterpart")]
    assert told.refused[0].detail.startswith("SIMPLE: a level is no power")


@needs_data
def test_the_example_that_only_asks_for_reports_is_taken() -> None:
    told = mapped(*example("state-of-charge.oadr.yaml"), now_ms=ms("2024-01-01T00:00:00Z"))
    assert [k.event_id for k in told.known] == ["sof101-e1"]
    assert told.requests == ()
    assert not told.refused


@pytest.mark.parametrize(
    ("units", "number", "export_w"),
    [("KW", 50, -50_000.0), ("KW", -20.5, 20_500.0), ("W", 700, -700.0), ("mw", -1, 1e6),
     ("KW", 0, 0.0)],
)  # fmt: skip
def test_a_setpoint_counts_consumption_and_ours_the_export(
    units: str, number: float, export_w: float
) -> None:
    told = mapped(event([value("DISPATCH_SETPOINT", number)], units))
    (target,) = told.requests
    assert isinstance(target, Target)
    assert (target.export_w, target.priority, target.region) == (export_w, "market", "north")
    assert (target.starts_at_ms, target.ends_at_ms) == (NOW, NOW + HOUR_MS)
    assert target.source == "market:openadr:vpp-north"
    assert decode_json(encode_json(target), Target) == target
    assert reasons(told.found) == (["negative_setpoint"] if number < 0 else [])


@pytest.mark.parametrize(
    ("payload", "units", "reason"),
    [
        (value("DISPATCH_SETPOINT", 5), None, "no_units"),
        (value("DISPATCH_SETPOINT", 5), "KVAR", "bad_units"),
        (value("DISPATCH_SETPOINT", "5"), "KW", "bad_value"),
        (value("DISPATCH_SETPOINT", True), "KW", "bad_value"),
        (value("DISPATCH_SETPOINT", float("nan")), "KW", "bad_value"),
        (value("DISPATCH_SETPOINT", 10**400), "KW", "bad_value"),
        (value("DISPATCH_SETPOINT", 1e12), "MW", "bad_value"),
        ({"type": "DISPATCH_SETPOINT", "values": [1, 2]}, "KW", "bad_value"),
        ({"type": "DISPATCH_SETPOINT", "values": []}, "KW", "bad_value"),
        (value("IMPORT_CAPACITY_LIMIT", -1), "KW", "bad_value"),
        (value("DISPATCH_SETPOINT_RELATIVE", 5), "KW", "no_counterpart"),
        (value("CHARGE_STATE_SETPOINT", 0.5), "PERCENT", "no_counterpart"),
        (value("EXPORT_PRICE", 0.5), "KWH", "no_counterpart"),
        (value("ALERT_AIR_QUALITY", "smoke"), None, "no_counterpart"),
        (value("OUR_OWN_TYPE", 1), None, "no_counterpart"),
        (value("PRICE", 0.5), None, "no_units"),
        (value("PRICE", 0.5), "THERMS", "bad_units"),
        (value("PRICE", 1e9), "KWH", "bad_value"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_a_stable_reason(
    payload: dict[str, Any], units: str | None, reason: str
) -> None:
    told = mapped(event([payload], units))
    assert (told.requests, told.alerts, told.prices) == ((), (), None)
    assert reasons(told.refused) == [reason]
    assert payload["type"] in told.refused[0].detail


def test_a_price_without_a_currency_is_refused_and_not_taken_for_dollars() -> None:
    raw = event([value("PRICE", 0.4)])
    raw["payloadDescriptors"][0]["currency"] = None
    assert reasons(mapped(raw).refused) == ["no_currency"]


def test_a_program_s_descriptor_holds_where_the_event_has_none() -> None:
    raw = event([value("DISPATCH_SETPOINT", 5)])
    descriptors = raw.pop("payloadDescriptors")
    program = {"id": "p1", "programName": "p", "payloadDescriptors": descriptors}
    told = map_events([raw], {"p1": RawProgram.model_validate(program)}, VEN, NOW)
    assert [r.export_w for r in told.requests if isinstance(r, Target)] == [-5000.0]


def test_an_emergency_alone_asks_for_no_import_and_beside_a_setpoint_goes_first() -> None:
    alert = value("ALERT_GRID_EMERGENCY", "the grid may fail")
    (limit,) = mapped(event([alert])).requests
    assert isinstance(limit, Limit)
    assert (limit.import_limit_w, limit.export_limit_w, limit.priority) == (0.0, None, "emergency")
    (target,) = mapped(event([alert, value("DISPATCH_SETPOINT", -80)])).requests
    assert isinstance(target, Target)
    assert (target.export_w, target.priority) == (80_000.0, "emergency")


def test_an_outage_ahead_is_a_storm_and_one_without_end_is_prolonged() -> None:
    raw = event([value("ALERT_POSSIBLE_OUTAGE", "fire weather")])
    (alert,) = mapped(raw).alerts
    assert (alert.regions, alert.starts_at_ms, alert.ends_at_ms) == (("north",), NOW, NOW + HOUR_MS)
    assert alert.prepare_from_ms == ms(MODIFIED)
    raw["intervalPeriod"]["duration"] = "P9999Y"
    (today,) = mapped(raw).alerts
    (tomorrow,) = mapped(raw, now_ms=NOW + DAY_MS).alerts
    assert today.alert_id == tomorrow.alert_id
    assert tomorrow.ends_at_ms - today.ends_at_ms == DAY_MS
    assert today.ends_at_ms - NOW <= 7 * DAY_MS


def test_an_interval_without_end_is_asked_in_pieces_that_follow_each_other() -> None:
    raw = event([value("DISPATCH_SETPOINT", -5)])
    raw["intervalPeriod"] = {"start": "0001-01-01T00:00:00", "duration": "P9999Y"}
    standing, asked = Standing(VEN), []
    for half_day in range(60):
        now_ms = NOW + half_day * DAY_MS // 2
        asked += follow(standing, mapped(raw, now_ms=now_ms), now_ms)
        assert any(r.starts_at_ms <= now_ms < r.ends_at_ms for r in asked)
    assert all(isinstance(r, Target) for r in asked)
    assert all(r.ends_at_ms - r.starts_at_ms <= LONGEST_MS for r in asked)
    assert all(a.ends_at_ms == b.starts_at_ms for a, b in itertools.pairwise(asked))


def test_very_many_setpoints_are_asked_as_their_time_comes() -> None:
    raw = event([value("DISPATCH_SETPOINT", 5)], duration="P7D")
    raw["intervalPeriod"] = {"start": NOON, "duration": "PT1M"}
    told = mapped(raw)
    assert len(told.requests) == 1000
    assert told.requests[0].starts_at_ms == NOW
    assert "many_requests" in reasons(told.found)


def test_without_a_duration_a_limit_holds_and_a_setpoint_is_refused() -> None:
    period = {"start": NOON}
    held = mapped(event([value("EXPORT_CAPACITY_LIMIT", 5)], intervalPeriod=period))
    assert held.requests[0].starts_at_ms == NOW
    assert not held.refused
    refused = mapped(event([value("DISPATCH_SETPOINT", 5)], intervalPeriod=period))
    assert (refused.requests, reasons(refused.refused)) == ((), ["no_duration"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"intervalPeriod": None}, "bad_time"),
        ({"intervalPeriod": {"start": "yesterday", "duration": "PT1H"}}, "bad_time"),
        ({"intervalPeriod": {"start": "2024-06-19T12:00:00", "duration": "PT1H"}}, "bad_time"),
        ({"intervalPeriod": {"start": NOON, "duration": "-PT1H"}}, "bad_time"),
        ({"intervalPeriod": {"start": NOON, "duration": "1 hour"}}, "bad_time"),
        ({"createdDateTime": None, "modificationDateTime": None}, "bad_time"),
        ({"intervals": [{"payloads": []}]}, "bad_event"),
        ({"intervals": [7]}, "bad_event"),
        ({"intervals": "none"}, "bad_event"),
        ({"id": None}, "bad_event"),
        ({"targets": [["x"]]}, "bad_event"),
        ({"duration": "PT1S", "intervals": None}, None),
    ],
)
def test_an_event_that_cannot_be_read_is_refused_as_a_whole(
    change: dict[str, Any], reason: str | None
) -> None:
    told = mapped({**event([value("DISPATCH_SETPOINT", 5)]), **change})
    assert reasons(told.refused) == ([reason] if reason else [])
    assert told.requests == ()
    assert all(len(r.detail) > 10 for r in told.refused)


@pytest.mark.parametrize(
    ("targets", "ours"),
    [
        (None, True),
        ([], True),
        ([{}], True),
        (["north"], True),
        (["vpp-north"], True),
        (["north-batteries"], True),
        (["south"], False),
        (["south", "group-1"], True),
        ([{"type": "VEN_NAME", "values": ["vpp-north"]}], True),
        ([{"type": "RESOURCE_NAME", "values": ["other"]}], False),
    ],
)
def test_targets_of_3_1_and_of_3_0_say_whom_an_event_is_for(targets: Any, ours: bool) -> None:
    ven = Ven("vpp-north", "north", frozenset({"group-1"}))
    told = mapped(event([value("DISPATCH_SETPOINT", 5)], targets=targets), ven=ven)
    assert bool(told.requests) is ours
    assert not told.refused


def test_of_two_events_the_higher_one_cuts_the_lower_and_leaves_it_the_rest() -> None:
    low = event([value("DISPATCH_SETPOINT", -10)], priority=5)
    low["intervalPeriod"] = {"start": NOON, "duration": "PT3H"}
    high = event([value("DISPATCH_SETPOINT", -90)], id="e2", priority=0)
    high["intervalPeriod"] = {"start": "2024-06-19T13:00:00Z", "duration": "PT1H"}
    for events in ((low, high), (high, low)):
        told = mapped(*events)
        parts = sorted(
            ((r.starts_at_ms - NOW) // HOUR_MS, (r.ends_at_ms - NOW) // HOUR_MS, r.export_w)
            for r in told.requests
            if isinstance(r, Target)
        )
        assert parts == [(0, 1, 10_000.0), (1, 2, 90_000.0), (2, 3, 10_000.0)]
        assert reasons(told.found).count("outranked") == 1


texts = st.text(max_size=8) | st.sampled_from([NOON, "PT1H", "P9999Y", "KW", "PRICE", "e1"])
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
PATHS: list[tuple[str | int, ...]] = [
    ("id",), ("programID",), ("priority",), ("targets",), ("duration",), ("intervals",),
    ("intervalPeriod",), ("intervalPeriod", "start"), ("intervalPeriod", "duration"),
    ("intervalPeriod", "randomizeStart"), ("payloadDescriptors",),
    ("payloadDescriptors", 0), ("payloadDescriptors", 0, "units"), ("reportDescriptors",),
    ("intervals", 0), ("intervals", 0, "id"), ("intervals", 0, "payloads"),
    ("intervals", 0, "payloads", 0), ("intervals", 0, "payloads", 0, "values"),
    ("intervals", 0, "payloads", 0, "type"), ("createdDateTime",), ("modificationDateTime",),
]  # fmt: skip


@examples(1600, ci=150)
@given(st.lists(st.tuples(st.sampled_from(PATHS), junk), max_size=3), junk)
def test_no_event_of_any_form_raises_and_what_comes_of_it_keeps_the_contracts(
    changes: list[tuple[tuple[str | int, ...], Any]], other: Any
) -> None:
    names = ("DISPATCH_SETPOINT", "IMPORT_CAPACITY_LIMIT", "PRICE", "ALERT_WIND")
    raw: Any = event([value(name, 5) for name in names])
    raw["intervalPeriod"]["randomizeStart"] = "PT5M"
    for path, instead in changes:
        at = raw
        try:
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = instead
        except (KeyError, IndexError, TypeError):
            continue
    program = RawProgram.model_validate({"id": "p1", "programName": "p"})
    told = map_events([raw, other], {"p1": program}, VEN, NOW)
    for request in told.requests:
        assert decode_json(encode_json(request), type(request)) == request
        assert 0 < request.ends_at_ms - request.starts_at_ms <= LONGEST_MS
        assert request.ends_at_ms > NOW
    for alert in told.alerts:
        assert decode_json(encode_json(alert), type(alert)) == alert
    if told.prices is not None:
        assert decode_json(encode_json(told.prices), type(told.prices)) == told.prices


def test_every_reason_is_in_the_documentation() -> None:
    sources = "".join(p.read_text() for p in sorted((ROOT / "vpp_streams").rglob("openadr/*.py")))
    given = set(re.findall(r'(?:Remark\([^"()]*(?:"",\s*)?|_say\(\s*)"([a-z_]+)"', sources))
    assert {"bad_event", "no_units", "second_tariff", "report_refused"} <= given
    page = (ROOT / "docs" / "openadr.md").read_text()
    assert [reason for reason in sorted(given | FINDINGS) if f"`{reason}`" not in page] == []
