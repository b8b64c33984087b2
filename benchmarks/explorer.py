"""The fleet explorer's answers: CPU time of a page, by filter and order, for 100,000 sites.

    python -m benchmarks.explorer

Every site has a battery that is connected (nine of ten are) and has just reported. An answer is
what the web process does for one request: newest values, what hinders each battery, filters, order,
and the page as JSON. The ratio is to a plain program that walks the sites one by one, with the same
filter and order over values that it already has.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.homes import T0_MS
from benchmarks.report import Table, cpu_s, parser, publish
from schemas.assets import Device, Site
from schemas.encoding import encode_json
from schemas.presence import Presence
from schemas.telemetry import TELEMETRY_V1
from vpp_streams.domain.explorer.clusters import Box
from vpp_streams.domain.explorer.site_query import SiteQuery
from vpp_streams.serving.readmodel import ReadModel

NOW_MS = T0_MS + 60_000
PAGE = 50
REGIONS = 20
Row = tuple[str, str, float]
"""Site id, region and state of charge: all that the plain program needs."""


def fleet(sites: int) -> tuple[ReadModel, list[Row]]:
    """A read model with a fleet, and the same for the plain program."""
    chance = np.random.default_rng(1)
    soc = chance.uniform(0, 1, sites)
    north, east = chance.uniform(47, 55, sites), chance.uniform(6, 15, sites)
    model = ReadModel(started_at_ms=T0_MS)
    rows: list[Row] = []
    for n in range(sites):
        device = Device(f"pw-{n:06}", "powerwall", "", 13_500.0, 5_000.0, 5_000.0)
        at, along = float(north[n]), float(east[n])
        region = f"region-{n % REGIONS:02}"
        site = Site(f"home-{n:06}", region, (device,), latitude=at, longitude=along)
        model.sites.registry.apply(site)
        rows.append((site.site_id, site.region, float(soc[n])))
        if n % 10:
            connected = Presence(device.device_id, site.site_id, "connected", 0, NOW_MS)
            model.explorer.apply_presence(device.device_id, connected)
    model.explorer.apply_readings(_readings(soc))
    return model, rows


def _readings(soc: np.ndarray[Any, Any]) -> pa.RecordBatch:
    count = len(soc)
    values = {"measured_at_ms": NOW_MS - 1000, "received_at_ms": NOW_MS - 900, "battery_w": 1500.0}
    names = pa.array([f"pw-{n:06}" for n in range(count)])
    columns = {
        field.name: pa.array(np.full(count, values.get(field.name, 0)), field.type)
        for field in TELEMETRY_V1
        if field.type != pa.string()
    }
    known = {"device_id": names, "site_id": names, "soc": pa.array(soc)}
    return pa.RecordBatch.from_pydict({**columns, **known}, schema=TELEMETRY_V1)


def walked(rows: list[Row], region: str | None, least: float, by_soc: bool, text: str) -> bytes:
    """The baseline: one site after another."""
    found = [
        row
        for row in rows
        if (region is None or row[1] == region) and row[2] >= least and text in row[0]
    ]
    found.sort(key=(lambda row: (row[2], row[0])) if by_soc else (lambda row: (row[0],)))
    return encode_json(found[:PAGE])


QUERIES: dict[str, tuple[SiteQuery, tuple[str | None, float, bool, str]]] = {
    "all, by id": (SiteQuery(), (None, 0.0, False, "")),
    "all, by charge": (SiteQuery(sort="soc"), (None, 0.0, True, "")),
    "a region above half charge, by charge": (
        SiteQuery(region="region-03", soc_min=0.5, sort="soc"),
        ("region-03", 0.5, True, ""),
    ),
    "a part of an id": (SiteQuery(text="e-0999"), (None, 0.0, False, "e-0999")),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, repeat=5)
    options.add_argument("--sites", type=int, default=100_000)
    args = options.parse_args(argv)
    model, rows = fleet(args.sites)
    table = Table(f"A page of {args.sites:,} sites", ("query", "x plain", "ms", "plain, ms"))

    def page(query: SiteQuery) -> Callable[[], bytes]:
        return lambda: encode_json(model.explorer.page(query, NOW_MS, limit=PAGE))

    for name, (query, plain) in QUERIES.items():
        page(query)()  # the first one brings the columns up to date
        ours_s = cpu_s(page(query), args.repeat)
        plain_s = cpu_s(lambda plain=plain: walked(rows, *plain), args.repeat)  # type: ignore[misc]  # a default keeps this turn's value
        table.add(name, ours_s / plain_s, 1e3 * ours_s, 1e3 * plain_s)
    everywhere = Box(-90, -180, 90, 180)
    on_map_s = cpu_s(
        lambda: encode_json(model.explorer.map(SiteQuery(), NOW_MS, everywhere, 0.5)), args.repeat
    )
    table.notes.append(f"all of them as clusters on the map: {1e3 * on_map_s:.0f} ms")
    publish(args, [table])


if __name__ == "__main__":
    main()
