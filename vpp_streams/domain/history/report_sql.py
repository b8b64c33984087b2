"""The reports as SQL over the rows of history.

The tables ``periods`` (period, start_ms, end_ms, slots) and ``slots`` (slot_ms, period) are those
of the question; ``closed_ms`` is the time before which nothing changes any more. Every other name
that the functions take is SQL for the rows of a kind, each id once.

The rows of an answer are periods by subjects (regions, sites, markets), so that a period without a
record is a row in which nothing is known. A window that is missing counts in coverage as one in
which nothing was measured.
"""

from vpp_streams.domain.history.day_sums import ENERGIES, POWERS, REGIONS, SITES
from vpp_streams.domain.history.reports import EACH, Question

LEAST_COVERAGE = 0.5
"""Least measured share of a region for a quarter of an hour to be compared with its forecast."""
_WH = "interval_ms / 3.6e6"


def windows_sql(question: Question, windows: str, day_sums: str | None, closed_ms: int) -> str:
    """SQL for the reports ``energy`` and ``availability``.

    ``windows`` are rows of windows, and ``day_sums`` sums of the days that are not among them.
    """
    sums = REGIONS if question.site is None else SITES
    subject, where = ", ".join(sums.subject), _where(question)
    joined = "JOIN slots ON slot_ms = start_ms"
    parts = [
        f"SELECT period, {subject}, {sums.of_windows()} FROM {windows} {joined}{where} GROUP BY ALL"
    ]
    if day_sums is not None:
        columns = ", ".join(sums.sums)
        parts.append(f"SELECT period, {subject}, {columns} FROM {day_sums} {joined}{where}")
    found = (
        f"SELECT period, {_subject(question)}, {sums.of_sums()}"
        f" FROM ({' UNION ALL BY NAME '.join(parts)}) GROUP BY ALL"
    )
    figures = _energy() if question.report == "energy" else _availability(question)
    return _by_period(
        question,
        found,
        keys=("site_id",) if question.site is not None else ("region",),
        figures={**figures, **_WINDOWS},
        complete="coalesce(windows, 0) = slots AND slots > 0",
        closed_ms=closed_ms,
    )


_WINDOWS = {
    "windows": "sum(coalesce(windows, 0))::BIGINT",
    "windows_expected": "sum(slots)::BIGINT",
}
_THERE = "sum(coalesce(windows, 0)) / nullif(sum(slots), 0)"
"""Share of the windows that are in history."""


def _subject(question: Question) -> str:
    return "site_id, max(region) AS region" if question.site is not None else "region"


def _energy() -> dict[str, str]:
    share = "coalesce(sum({0}) / nullif(sum(expected), 0), 0) * " + _THERE
    return {
        **{name: f"sum({name})" for name in ENERGIES},
        **{f"{power}_coverage": share.format(f"{power}_covered") for power in POWERS},
        "coverage": share.format("covered"),
    }


def _availability(question: Question) -> dict[str, str]:
    # A site that is silent has no window, and was to report all the same.
    of_site = "CASE WHEN sum(windows) > 0 THEN sum(slots) END"
    expected = of_site if question.site is not None else "sum(expected)"
    return {
        "availability": f"sum(covered) / nullif({expected}, 0)",
        "measured_h": "sum(covered) / 4",
        "expected_h": f"({expected}) / 4",
        "sites_expected": "sum(expected / nullif(windows, 0))",
        "coverage": _THERE,
    }


def earnings_sql(question: Question, deliveries: str, awards: str, closed_ms: int) -> str:
    """SQL for the report ``earnings``."""
    keys = ("region", "market", "currency")
    found = f"""
        SELECT * FROM (
            SELECT period, {", ".join(keys)}, sum(money) AS money, count(*) AS intervals,
                sum(coverage) AS covered,
                sum(measured_w * {_WH}) FILTER (coverage > 0) AS delivered_wh
            FROM {_in_periods(question, deliveries)} GROUP BY ALL)
        FULL JOIN (
            SELECT period, {", ".join(keys)}, count(*) AS awards,
                sum(energy_w * {_WH}) AS awarded_wh
            FROM {_in_periods(question, awards)} GROUP BY ALL)
        USING (period, {", ".join(keys)})"""
    figures = {
        "money": "sum(money)",
        "awarded_wh": "sum(awarded_wh)",
        "delivered_wh": "sum(delivered_wh)",
        **_AWARDS,
    }
    return _by_period(
        question, found, keys=keys, figures=figures, complete=_DELIVERED, closed_ms=closed_ms
    )


_AWARDS = {
    "intervals": "sum(coalesce(intervals, 0))::BIGINT",
    "awards": "sum(coalesce(awards, 0))::BIGINT",
    "coverage": "coalesce(sum(covered), 0) / nullif(greatest(sum(intervals), sum(awards)), 0)",
}
_DELIVERED = "coalesce(intervals, 0) >= coalesce(awards, 0)"


def delivery_sql(
    question: Question, deliveries: str, awards: str, shortfalls: str, closed_ms: int
) -> str:
    """SQL for the report ``delivery``.

    An award that another request overrode counts by the windows that none touched, if there are.
    """
    keys = ("region", "market")
    both = "needed_w IS NOT NULL AND given_w IS NOT NULL"
    no_evidence = "overridden_s > 0 OR metered_at = 'connection'"
    needed, given = (
        f"CASE WHEN {both} THEN {known} WHEN {no_evidence} THEN NULL ELSE {else_} END"
        for known, else_ in (("needed_w", "awarded_w"), ("given_w", "measured_w"))
    )
    pairs = (
        f"SELECT *, {needed} AS called_w, {given} AS got_w FROM {_in_periods(question, deliveries)}"
    )
    known = "FILTER (coverage > 0 AND called_w IS NOT NULL)"
    short = f"SELECT bid_id FROM {shortfalls} GROUP BY bid_id HAVING arg_max(missing_w, at_ms) <> 0"
    found = f"""
        SELECT * FROM (
            SELECT period, {", ".join(keys)}, count(*) AS intervals, sum(coverage) AS covered,
                sum(abs(called_w) * {_WH}) {known} AS needed_wh,
                sum(got_w * sign(called_w) * {_WH}) {known} AS given_wh,
                sum(abs(got_w - called_w) * {_WH}) {known} AS off_wh,
                sum(overridden_s) AS overridden_s
            FROM ({pairs}) GROUP BY ALL)
        FULL JOIN (
            SELECT period, {", ".join(keys)}, count(*) AS awards,
                count(*) FILTER (bid_id IN ({short})) AS shortfalls
            FROM {_in_periods(question, awards)} GROUP BY ALL)
        USING (period, {", ".join(keys)})"""
    figures = {
        "needed_wh": "sum(needed_wh)",
        "given_wh": "sum(given_wh)",
        "off_wh": "sum(off_wh)",
        "delivery_error": "sum(off_wh) / nullif(sum(needed_wh), 0)",
        "shortfalls": "sum(shortfalls)::BIGINT",
        "overridden_s": "sum(overridden_s)",
        **_AWARDS,
    }
    return _by_period(
        question, found, keys=keys, figures=figures, complete=_DELIVERED, closed_ms=closed_ms
    )


def forecast_sql(question: Question, forecasts: str, windows: str, closed_ms: int) -> str:
    """SQL for the report ``forecast``."""
    where = _where(question)
    columns = [f"{q}_{v}_w" for q in ("load", "solar") for v in ("mean", "low", "high")]
    # Of the forecasts of a slot, the first one counts.
    first = ", ".join(f"arg_min({c}[n], known_at_ms) AS {c}" for c in columns)
    by_slot = f"""
        SELECT region, start_ms + (n - 1) * slot_s * 1000 AS slot_ms, {first}
        FROM (SELECT *, unnest(range(1, len(load_mean_w) + 1)) AS n FROM {forecasts}{where})
        WHERE slot_s = 900 GROUP BY ALL"""
    measured = f"""
        SELECT region, start_ms, 1 AS windows,
            CASE WHEN coverage >= {LEAST_COVERAGE} THEN mean_load_w END AS load,
            CASE WHEN coverage >= {LEAST_COVERAGE} THEN mean_solar_w END AS solar
        FROM {windows}{where}"""
    sums = ", ".join(
        f"""count({q} - {q}_mean_w)::DOUBLE AS {q}_slots,
            sum(abs({q} - {q}_mean_w)) AS {q}_error, sum({q} - {q}_mean_w) AS {q}_bias,
            count(*) FILTER ({q} BETWEEN {q}_low_w AND {q}_high_w)::DOUBLE AS {q}_inside"""
        for q in ("load", "solar")
    )
    found = f"""
        SELECT period, m.region AS region, sum(windows) AS windows, {sums}
        FROM (SELECT * FROM ({measured}) m JOIN slots ON slots.slot_ms = m.start_ms) m
        LEFT JOIN ({by_slot}) f ON f.region = m.region AND f.slot_ms = m.start_ms
        GROUP BY period, m.region"""
    figures = {
        name: sql
        for q in ("load", "solar")
        for name, sql in {
            f"{q}_slots": f"sum(coalesce({q}_slots, 0))::BIGINT",
            f"{q}_error_w": f"sum({q}_error) / nullif(sum({q}_slots), 0)",
            f"{q}_bias_w": f"sum({q}_bias) / nullif(sum({q}_slots), 0)",
            f"{q}_inside": f"sum({q}_inside) / nullif(sum({q}_slots), 0)",
        }.items()
    }
    coverage = {
        "coverage": "least(sum(coalesce(load_slots, 0)), sum(coalesce(solar_slots, 0)))"
        " / nullif(sum(slots), 0)"
    }
    return _by_period(
        question,
        found,
        keys=("region",),
        figures={**figures, **coverage, **_WINDOWS},
        complete="coalesce(windows, 0) = slots AND slots > 0",
        closed_ms=closed_ms,
    )


def _where(question: Question) -> str:
    """The condition of the question's region and site."""
    named = (("region", question.region), ("site_id", question.site))
    found = [f"{column} = '{name}'" for column, name in named if name not in (None, EACH)]
    return f" WHERE {' AND '.join(found)}" if found else ""


def _in_periods(question: Question, rows: str) -> str:
    """Rows of a kind with the period in which each starts."""
    return (
        f"(SELECT r.*, period FROM (SELECT * FROM {rows}{_where(question)}) r"
        " ASOF JOIN periods p ON r.start_ms >= p.start_ms WHERE r.start_ms < p.end_ms)"
    )


def _by_period(
    question: Question,
    found: str,
    *,
    keys: tuple[str, ...],
    figures: dict[str, str],
    complete: str,
    closed_ms: int,
) -> str:
    """Figures by period and by the keys that the question asks for.

    ``found`` has a row for each period and ``keys``, as far as there is something. ``complete``
    says of such a row whether everything is there.
    """
    by_site = question.site is not None
    subjects = f"SELECT DISTINCT {', '.join(keys)} FROM found"
    if by_site:
        subjects = "SELECT site_id, max(region) AS region FROM found GROUP BY site_id"
    named = question.site if question.site is not None else question.region
    if len(keys) == 1 and named != EACH:
        # A row also where nothing is known of what was asked for.
        none = "NULL" if named is None else f"'{named}'"
        none += ", NULL" if by_site else ""
        subjects += f" UNION SELECT {none} WHERE NOT EXISTS (FROM found)"
    columns = ", ".join(f"{sql} AS {name}" for name, sql in figures.items())
    select = [f"subjects.{key}" for key in question.keys]
    names = "".join(f", {key}" for key in select)
    ordered = ", ".join(["start_ms", *select])
    return f"""
        WITH found AS MATERIALIZED ({found}), subjects AS ({subjects})
        SELECT p.start_ms, p.end_ms{names}, {columns},
            bool_and({complete}) AND p.end_ms <= {closed_ms} AS final
        FROM periods p CROSS JOIN subjects LEFT JOIN found USING (period, {", ".join(keys)})
        GROUP BY p.start_ms, p.end_ms{names} ORDER BY {ordered}"""
