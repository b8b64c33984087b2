"""The metrics of a process, from the counters that it publishes anyway."""

import math
from importlib.metadata import version

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vpp_streams.process.exposition import MOST_VALUES, Exposition
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.metric_table import ROWS
from vpp_streams.process.weighted_histogram import WeightedHistogram


def series(health: HealthReporter) -> dict[tuple[str, ...], float]:
    """Every series as Prometheus reads it: (name, label values sorted by label) -> value."""
    exposition = Exposition(health, "demo")
    text = generate_latest(exposition.gathered(exposition.read())).decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_counter_has_its_own_name_and_the_others_a_general_one() -> None:
    health = HealthReporter("ingest")
    health.counters.update({"canonical": 7, "rejected": 2, "reading_rejected:bad_json": 2})
    health.counters["something_new"] = 5
    found = series(health)
    assert found["vpp_ingest_readings_total", "canonical"] == 7
    assert found["vpp_ingest_readings_total", "rejected"] == 2
    assert found["vpp_readings_rejected_total", "bad_json", "ingest"] == 2
    assert found["vpp_events_total", "something_new", "ingest"] == 5
    assert ("vpp_events_total", "canonical", "ingest") not in found, "nothing is counted twice"


def test_dead_letters_are_counted_by_topic_and_reason() -> None:
    health = HealthReporter("region")
    health.counters.update({"records_rejected": 3, "rejected:dispatch.targets:invalid": 3})
    found = series(health)
    assert found["vpp_records_rejected_total", "region"] == 3
    assert found["vpp_dead_letters_total", "invalid", "region", "dispatch.targets"] == 3


def test_what_was_not_counted_yet_is_zero_so_that_its_first_increase_is_seen() -> None:
    found = series(HealthReporter("optimizer"))
    assert found["vpp_gates_missed_total", "none"] == 0
    assert found["vpp_gates_missed_total", "late"] == 0
    assert not any(name[0] == "vpp_gateway_readings_total" for name in found), "another role's"


def test_what_is_not_known_has_no_series() -> None:
    health = HealthReporter("fleet")
    health.gauges["devices"] = lambda: math.nan
    health.figures.append(lambda: [("vpp_recovery_seconds", (), math.nan)])
    health.figures.append(lambda: [("vpp_region_soc_ratio", ("north",), None)])
    names = {name[0] for name in series(health)}
    absent = {"vpp_fleet_devices", "vpp_recovery_seconds", "vpp_region_soc_ratio"}
    assert not names & absent
    assert "vpp_kafka_answer_age_seconds" not in names, "Kafka has confirmed nothing yet"


def test_figures_with_labels_get_the_role() -> None:
    health = HealthReporter("fleet")
    health.figures.append(lambda: [("vpp_consumer_lag_records", ("telemetry", "3"), 17)])
    assert series(health)["vpp_consumer_lag_records", "3", "fleet", "telemetry"] == 17


def test_labels_from_outside_are_bounded() -> None:
    health = HealthReporter("ingest")
    health.counters.update({f"reading_rejected:made_up_{n}": 1 for n in range(MOST_VALUES + 50)})
    found = {k: v for k, v in series(health).items() if k[0] == "vpp_readings_rejected_total"}
    assert len(found) == MOST_VALUES + 1
    assert found["vpp_readings_rejected_total", "other", "ingest"] == 50


def test_a_histogram_is_cumulative() -> None:
    health = HealthReporter("region")
    ages = WeightedHistogram((1.0,))
    health.histograms["vpp_reading_age_seconds"] = {"north": ages}
    ages.add(0.2, 40)
    ages.add(3.0, 2)
    found = series(health)
    assert found["vpp_reading_age_seconds_bucket", "1.0", "north"] == 40
    assert found["vpp_reading_age_seconds_bucket", "+Inf", "north"] == 42
    assert found["vpp_reading_age_seconds_count", "north"] == 42


def test_readiness_and_the_seat_are_metrics() -> None:
    health = HealthReporter("region")
    read = health.probes.need("the registry")
    assert series(health)["vpp_ready", "region"] == 0
    read()
    health.probes.seat = "warm"
    found = series(health)
    assert found["vpp_ready", "region"] == 1
    assert found["vpp_warm", "region"] == 1
    assert found["vpp_build_info", "demo", "region", version("vpp-streams")] == 1


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_names_follow_the_conventions(row: object) -> None:
    name, kind, labels = row.name, row.kind, row.labels  # type: ignore[attr-defined]  # MetricRow
    assert name.startswith("vpp_")
    assert name.endswith("_total") == (kind == "counter")
    assert not {"device", "site", "request", "bid"} & set(labels), "the fleet's size is no label"
    assert not name.endswith(("_ms", "_s", "_w", "_wh", "_percent")), "base units, written out"
