"""Files of programs, tariffs and enrolments (TOML): records, or everything that is wrong with it.

People write prices per kWh, event or kW in the currency's unit and times as local times with their
offset; records have micros and ms since 1970.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from schemas.assets import Site
from schemas.bounds import Count, Currency, Fraction, Id, Label, MaybeId
from schemas.programs import (
    WEEKDAYS,
    BaselineMethod,
    Enrolment,
    Program,
    Rate,
    Tariff,
    TimeOfDay,
    TimeZone,
    Version,
    Weekday,
)
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.errors import InputError

MICROS = 1_000_000
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset, for example ``2026-12-01T00:00:00+01:00``."""
Price = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Payment = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Record = Program | Tariff | Enrolment

EXAMPLE = """\
# Terms that owners are paid by. New terms are a new version with a later `from`.
[[program]]
id = "share-60"
version = 1
name = "Revenue share, 60 %"
currency = "EUR"
from = 2026-12-01T00:00:00+01:00
owner_share = 0.6            # of what the home earned in a market
# per_kwh = 0.05             # paid per kWh that was delivered in events
# per_event = 0.10
# per_kw_hour = 0.0012       # availability
# baseline = "no_battery"    # or "ten_of_ten"
# opt_outs_per_month = 3     # left out = any number
# opt_out_notice_s = 3600

# What homes pay for energy: for what storms cost.
[[tariff]]
id = "day-and-night"
version = 1
currency = "EUR"
time_zone = "Europe/Berlin"
from = 2026-12-01T00:00:00+01:00
buy = [                      # or "market"
  { from = "00:00", until = "06:00", per_kwh = 0.22 },
  { from = "06:00", until = "24:00", per_kwh = 0.34 },
]
sell = [{ from = "00:00", until = "24:00", per_kwh = 0.08 }]
# fees_per_kwh = 0.15
# tax = 0.19

# Who takes part from when on: sites by id, or all that have a battery in some regions.
[[enrolment]]
program = "share-60"
tariff = "day-and-night"
from = 2026-12-01T00:00:00+01:00
# until = 2027-12-01T00:00:00+01:00
sites = ["home-0001"]
# regions = ["north"]
"""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    from_: Moment = msgspec.field(name="from")


class _Program(_Part, frozen=True, kw_only=True):
    id: Id
    version: Version
    name: Label
    currency: Currency
    baseline: BaselineMethod = "no_battery"
    owner_share: Fraction = 0.0
    per_kwh: Payment = 0.0
    per_event: Payment = 0.0
    per_kw_hour: Payment = 0.0
    per_kw_month: Payment = 0.0
    opt_outs_per_month: Count | None = None
    opt_out_notice_s: Annotated[int, msgspec.Meta(ge=0, le=31 * 86_400)] = 0


class _Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    from_: TimeOfDay = msgspec.field(name="from")
    until: TimeOfDay
    per_kwh: Price
    days: tuple[Weekday, ...] = WEEKDAYS


class _Tariff(_Part, frozen=True, kw_only=True):
    id: Id
    version: Version
    currency: Currency
    time_zone: TimeZone
    buy: Literal["market"] | tuple[_Rate, ...]
    sell: Literal["market"] | tuple[_Rate, ...]
    fees_per_kwh: Price = 0.0
    tax: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0


class _Enrolment(_Part, frozen=True, kw_only=True):
    program: Id
    tariff: MaybeId = ""
    until: Moment | None = None
    sites: tuple[Id, ...] = ()
    regions: tuple[Id, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    program: tuple[_Program, ...] = ()
    tariff: tuple[_Tariff, ...] = ()
    enrolment: tuple[_Enrolment, ...] = ()


def records_in(text: str, name: str, sites: Iterable[Site], known: Agreements) -> list[Record]:
    """The records of a file that are applied to ``known``, which is changed by them.

    ``sites`` are those of the registry. Raises `InputError` with every problem, a line each.
    """
    try:
        found = msgspec.toml.decode(text, type=_File)
    except msgspec.DecodeError as error:
        raise InputError(f"{name}: {error}; `vpp programs example` prints a file") from None
    problems: list[str] = []
    records: list[Record] = []
    for record in _records(found, list(sites), problems.append):
        fault = known.apply(record)
        if fault is None:
            records.append(record)
        else:
            problems.append(f"{_named(record)}{fault}")
    problems.extend(_without_terms(records, known))
    if not problems and not records:
        problems.append("it has no [[program]], [[tariff]] or [[enrolment]]")
    if problems:
        raise InputError("\n".join(f"{name}: {problem}" for problem in problems))
    return records


def _records(found: _File, sites: list[Site], fault: Callable[[str], None]) -> Iterator[Record]:
    for program in found.program:
        yield _program(program, fault)
    for tariff in found.tariff:
        yield _tariff(tariff, fault)
    for enrolment in found.enrolment:
        for site_id in _enrolled(enrolment, sites, fault):
            yield Enrolment(
                site_id=site_id,
                program_id=enrolment.program,
                tariff_id=enrolment.tariff,
                effective_from_ms=_ms(enrolment.from_),
                until_ms=None if enrolment.until is None else _ms(enrolment.until),
            )


def _without_terms(records: Iterable[Record], known: Agreements) -> Iterator[str]:
    """A fault for each program that has no terms when an enrolment in it begins."""
    sites_of: dict[str, list[str]] = {}
    for one in records:
        if isinstance(one, Enrolment) and not known.program(one.program_id, one.effective_from_ms):
            sites_of.setdefault(one.program_id, []).append(one.site_id)
    for program_id, site_ids in sites_of.items():
        yield (
            f"program {program_id} has no terms when the enrolment of {site_ids[0]} begins"
            f" (enrolments: {len(site_ids)})"
        )


def _named(record: Record) -> str:
    """What a fault is of, where the fault itself does not say so."""
    match record:
        case Program():
            return f"program {record.program_id}: "
        case Tariff():
            return f"tariff {record.tariff_id}: "
    return ""


def _program(one: _Program, fault: Callable[[str], None]) -> Program:
    where = f"program {one.id}"
    return Program(
        program_id=one.id,
        version=one.version,
        name=one.name,
        currency=one.currency,
        effective_from_ms=_ms(one.from_),
        baseline=one.baseline,
        owner_share=one.owner_share,
        per_kwh_micros=_micros(one.per_kwh, where, fault),
        per_event_micros=_micros(one.per_event, where, fault),
        per_kw_hour_micros=_micros(one.per_kw_hour, where, fault),
        per_kw_month_micros=_micros(one.per_kw_month, where, fault),
        opt_outs_per_month=one.opt_outs_per_month,
        opt_out_notice_s=one.opt_out_notice_s,
    )


def _tariff(one: _Tariff, fault: Callable[[str], None]) -> Tariff:
    where = f"tariff {one.id}"

    def rates(given: Literal["market"] | tuple[_Rate, ...]) -> Literal["market"] | tuple[Rate, ...]:
        if given == "market":
            return "market"
        return tuple(
            Rate(
                from_=rate.from_,
                until=rate.until,
                per_kwh_micros=_micros(rate.per_kwh, where, fault),
                days=rate.days,
            )
            for rate in given
            if not isinstance(rate, str)
        )

    return Tariff(
        tariff_id=one.id,
        version=one.version,
        currency=one.currency,
        time_zone=one.time_zone,
        effective_from_ms=_ms(one.from_),
        buy=rates(one.buy),
        sell=rates(one.sell),
        fees_per_kwh_micros=_micros(one.fees_per_kwh, where, fault),
        tax=one.tax,
    )


def _enrolled(one: _Enrolment, sites: list[Site], fault: Callable[[str], None]) -> list[str]:
    """Ids of the sites that an enrolment names; what it names and is not registered is a fault."""
    known = {site.site_id for site in sites}
    regions = {site.region for site in sites}
    for site_id in one.sites:
        if site_id not in known:
            fault(f"there is no site {site_id!r} in the registry")
    for region in one.regions:
        if region not in regions:
            fault(f"there is no region {region!r} in the registry")
    if not one.sites and not one.regions:
        fault(f"an enrolment in {one.program} names neither sites nor regions")
    with_battery = {
        site.site_id
        for site in sites
        if site.region in one.regions and any(d.rated_energy_wh > 0 for d in site.devices)
    }
    return sorted(with_battery | (set(one.sites) & known))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _micros(price: float, where: str, fault: Callable[[str], None]) -> int:
    micros = round(price * MICROS)
    if abs(micros - price * MICROS) > 1e-4:
        fault(f"{where}: {price:g} is finer than a millionth of the currency's unit")
    return micros
