"""The fleet role in the style of a Faust tutorial: the baseline of `benchmarks.fleet`.

One reading per message, decoded to a `faust.Record`; a Table with each device's last reading, and
a tumbling-window Table with each site's energies per minute. Both are kept in changelogs. It does
less than the fleet role (no repeats dropped, no 15 min windows, no extremes, no regions, no
state that survives a kill exactly), so the comparison flatters it.

    VPP_NAMESPACE=bench-1 python -m benchmarks.idiomatic_faust worker -l info
"""

import faust

from vpp_streams.settings import load_settings

MINUTE_S = 60.0
POWERS = ("battery_w", "grid_w", "solar_w", "load_w")
TOPIC = "idiomatic"
PARTITIONS = 8


class Reading(faust.Record, serializer="json"):  # type: ignore[call-arg]  # faust is untyped
    """One second of one device."""

    device_id: str
    site_id: str
    seq: int
    measured_at_s: float
    battery_w: float
    grid_w: float
    solar_w: float
    load_w: float
    soc: float
    frequency_hz: float
    voltage_v: float


def create_app() -> faust.App:
    """The app, in the namespace of the environment."""
    settings = load_settings()
    app = faust.App(
        f"{settings.namespace}.{TOPIC}",
        broker=f"kafka://{settings.kafka}",
        store="memory://",
        autodiscover=False,
        datadir=settings.state_dir / "workers",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    readings = app.topic(f"{settings.namespace}.{TOPIC}", value_type=Reading)
    twins = app.Table("twins", partitions=PARTITIONS)
    energies = app.Table("energies", default=dict, partitions=PARTITIONS)
    windows = energies.tumbling(MINUTE_S, expires=6 * 3600).relative_to_field(Reading.measured_at_s)

    @app.agent(readings)
    async def update(stream: faust.StreamT[Reading]) -> None:
        async for reading in stream:
            twins[reading.device_id] = reading.asdict()
            before = windows[reading.site_id].value()
            after = {"readings": before.get("readings", 0) + 1}
            for power in POWERS:
                name = power.replace("_w", "_wh")
                after[name] = before.get(name, 0.0) + getattr(reading, power) / 3600
            windows[reading.site_id] = after

    return app


if __name__ == "__main__":
    create_app().main()
