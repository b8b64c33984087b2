"""What is taken from MQTT messages, and what is not: the mapping and its sources."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.drivers.mqtt_inbox import Inbox
from edge.drivers.mqtt_mapping import Source, described, read_mapping

SOC = Source(topic="soc", scale=0.01)


def soc_of(payload: bytes, source: Source = SOC) -> float | None:
    inbox = Inbox({"soc": source})
    inbox.receive(source.topic, payload, retained=False, now_ms=0)
    readings = inbox.readings(0)
    return readings[0].value if readings else None


@pytest.mark.parametrize(
    ("payload", "soc"),
    [
        (b"55", 0.55),
        (b" 55.5 ", 0.555),
        (b"1e2", 1.0),
        (b"0", 0.0),
        (b"", None),
        (b"unknown", None),
        (b"unavailable", None),
        (b"None", None),
        (b"nan", None),
        (b"inf", None),
        (b"5_5", None),
        (b"101", None),
        (b"-1", None),
        (b"32768", None),
        (b"\xff\xfe", None),
        (b'{"soc": 55}', None),
        (b"55 %", None),
    ],
)
def test_a_payload_is_a_number_or_nothing(payload: bytes, soc: float | None) -> None:
    assert soc_of(payload) == (None if soc is None else pytest.approx(soc))


@pytest.mark.parametrize(
    ("payload", "soc"),
    [
        (b'{"a": {"b": 40}}', 0.4),
        (b'{"a": {"b": "40"}}', 0.4),
        (b'{"a": {"b": null}}', None),
        (b'{"a": {}}', None),
        (b'{"a": 40}', None),
        (b'{"a": [1, 2]}', None),
        (b'{"a": {"b": [40]}}', None),
        (b'{"a": {"b": 40}', None),
        (b"[" * 100_000, None),
    ],
)
def test_a_field_of_a_json_payload(payload: bytes, soc: float | None) -> None:
    assert soc_of(payload, Source(topic="t", field="a.b", scale=0.01)) == soc


@given(st.binary(max_size=40))
def test_whatever_a_payload_holds_nothing_is_raised(payload: bytes) -> None:
    for field in ("", "a.b", "0"):
        soc = soc_of(payload, Source(topic="t", field=field, scale=0.01))
        assert soc is None or 0 <= soc <= 1


def test_a_value_is_measured_until_it_is_too_old() -> None:
    inbox = Inbox({"grid_w": Source(topic="g", max_age_s=10)})
    inbox.receive("g", b"300", retained=False, now_ms=1000)
    assert [r.value for r in inbox.readings(11_000)] == [300]
    assert inbox.readings(11_001) == ()


def test_a_retained_value_may_be_days_old_and_is_not_measured() -> None:
    inbox = Inbox({"soc": SOC})
    inbox.receive("soc", b"90", retained=True, now_ms=0)
    assert inbox.readings(0) == ()


def test_a_newer_value_that_is_none_replaces_an_older_one() -> None:
    inbox = Inbox({"soc": SOC})
    inbox.receive("soc", b"90", retained=False, now_ms=0)
    inbox.receive("soc", b"unavailable", retained=False, now_ms=1)
    assert inbox.readings(1) == ()


def test_what_its_availability_calls_offline_is_not_believed() -> None:
    inbox = Inbox({"soc": Source(topic="soc", scale=0.01, available="status")})
    inbox.receive("soc", b"90", retained=False, now_ms=0)
    assert [r.value for r in inbox.readings(0)] == [0.9]
    inbox.receive("status", b"offline", retained=True, now_ms=0)
    assert inbox.readings(0) == ()
    inbox.receive("status", b"online", retained=False, now_ms=0)
    assert len(inbox.readings(0)) == 1


ASKED = Source(discovery="homeassistant/sensor/x/config", scale=-1.0)


def test_a_discovery_says_topic_unit_field_and_expiry() -> None:
    told = {
        "~": "inverter",
        "stat_t": "~/state",
        "unit_of_meas": "kW",
        "val_tpl": "{{ value_json.battery['power'] | float }}",
        "exp_aft": 30,
        "avty_t": "~/status",
        "pl_avail": "up",
    }
    found = described(ASKED, json.dumps(told).encode())
    assert found == Source(
        topic="inverter/state",
        field="battery.power",
        scale=-1000.0,
        max_age_s=30,
        available="inverter/status",
        available_payload="up",
    )


@pytest.mark.parametrize(
    "told",
    [
        {"state_topic": "t", "value_template": "{{ value_json.a * 2 }}"},
        {"state_topic": "t", "unit_of_measurement": "kWh"},
        {"state_topic": "a/#"},
        {"state_topic": 5},
        {},
        [],
        None,
    ],
)
def test_a_discovery_that_is_not_understood_gives_no_value(told: Any) -> None:
    assert described(ASKED, json.dumps(told).encode()) is None


def test_a_description_that_changes_forgets_the_value_before() -> None:
    inbox = Inbox({"battery_w": ASKED})
    assert inbox.topics == {ASKED.discovery}
    told = {"state_topic": "p", "unit_of_measurement": "W"}
    inbox.receive(ASKED.discovery, json.dumps(told).encode(), retained=True, now_ms=0)
    assert inbox.topics == {ASKED.discovery, "p"}
    inbox.receive("p", b"2", retained=False, now_ms=0)
    assert [r.value for r in inbox.readings(0)] == [-2]
    told["unit_of_measurement"] = "kW"
    inbox.receive(ASKED.discovery, json.dumps(told).encode(), retained=False, now_ms=0)
    assert inbox.readings(0) == ()
    inbox.receive("p", b"2", retained=False, now_ms=0)
    assert [r.value for r in inbox.readings(0)] == [-2000]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[measure.soc]", "give either topic, or discovery"),
        ('[measure.soc]\ntopic = "a/+"', "matching regex"),
        ('[measure.sock]\ntopic = "a"', "sock"),
        ("", "measure"),
        ("[measure", "mapping"),
        (
            '[measure.soc]\ntopic = "a"\n[command]\ntopic = "c"\npayload = "x"\n'
            'release_payload = ""\nown_timer = false',
            "payload needs {power_w} or {charge_w}",
        ),
        (
            '[measure.soc]\ntopic = "a"\n[command]\ntopic = "c"\npayload = "{power_w}"\n'
            'release_payload = ""\nown_timer = true',
            "own_timer = true needs {seconds}",
        ),
    ],
)
def test_a_mistake_in_a_mapping_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="mapping") as raised:
        read_mapping(str(path))
    assert words in str(raised.value)
