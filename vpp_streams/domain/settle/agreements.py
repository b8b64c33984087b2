"""What owners agreed to at a moment: a fold of topics ``programs``, ``enrolments``, ``tariffs``.

A record that contradicts itself or an earlier one is refused with a sentence and changes nothing.
The topics may be read in any order: an enrolment in a program that nobody knows yet is kept, and
its site earns nothing until the program is known.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np

from schemas.programs import Enrolment, Program, Tariff
from vpp_streams.domain.arrays import Ints
from vpp_streams.domain.settle.money import MILLIONTHS
from vpp_streams.domain.settle.tariffs import tariff_fault

Versioned = TypeVar("Versioned", bound=Program | Tariff)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Which program each site takes part in at a moment, by columns of shape (sites,)."""

    programs: tuple[Program, ...]
    code: Ints
    """Index into ``programs``; -1 = the site takes part in none."""
    until_ms: float
    """The first later moment at which this changes; inf = none is known."""

    def share_millionths(self) -> Ints:
        """The owner's share of revenue, in millionths; 0 where a site takes part in no program."""
        shares = [round(program.owner_share * MILLIONTHS) for program in self.programs]
        return self.rates(shares)

    def rates(self, by_program: Sequence[int]) -> Ints:
        """A number of each site's program; 0 where a site takes part in none."""
        found: Ints = np.array([*by_program, 0], np.int64)[self.code]
        return found


class Agreements:
    """Programs, enrolments and tariffs by their times of effect."""

    def __init__(self) -> None:
        self._programs: dict[str, list[Program]] = {}
        self._tariffs: dict[str, list[Tariff]] = {}
        self._enrolments: dict[str, list[Enrolment]] = {}

    def apply(self, record: Program | Enrolment | Tariff) -> str | None:
        """Apply a record; returns why it was refused, in one sentence, or None.

        The same record again changes nothing.
        """
        match record:
            case Program():
                return program_fault(record) or _add_version(
                    self._programs, record.program_id, record
                )
            case Tariff():
                return tariff_fault(record) or _add_version(self._tariffs, record.tariff_id, record)
            case Enrolment():
                return self._enrol(record)

    def _enrol(self, new: Enrolment) -> str | None:
        if new.until_ms is not None and new.until_ms <= new.effective_from_ms:
            return f"the enrolment of {new.site_id} ends before it begins"
        others = [
            one
            for one in self._enrolments.get(new.site_id, ())
            if one.effective_from_ms != new.effective_from_ms
        ]
        for one in others:
            if _from(one) < _until(new) and _from(new) < _until(one):
                return (
                    f"{new.site_id} takes part in {one.program_id} at the same time; end that"
                    " enrolment first"
                )
        self._enrolments[new.site_id] = sorted([*others, new], key=_from)
        return None

    def programs(self) -> Iterator[Program]:
        """Every version of every program."""
        return chain.from_iterable(self._programs.values())

    def program(self, program_id: str, at_ms: int) -> Program | None:
        """The version of a program that holds at a moment."""
        return _holding(self._programs.get(program_id, []), at_ms)

    def tariff(self, site_id: str, at_ms: int) -> Tariff | None:
        """What the owner of a site pays for energy at a moment; None = not known."""
        enrolment = self.enrolment(site_id, at_ms)
        return _holding(self._tariffs.get(enrolment.tariff_id, []), at_ms) if enrolment else None

    def enrolment(self, site_id: str, at_ms: int) -> Enrolment | None:
        """The enrolment of a site that holds at a moment."""
        known = self._enrolments.get(site_id, [])
        at = bisect_right(known, at_ms, key=_from) - 1
        return known[at] if at >= 0 and at_ms < _until(known[at]) else None

    def columns(self, site_ids: Sequence[str], at_ms: int) -> Enrolled:
        """The programs of sites at a moment. They hold until `Enrolled.until_ms`."""
        programs: dict[str, Program | None] = {}
        code_of: dict[str, int] = {}
        codes, changes = np.full(len(site_ids), -1, np.int64), [math.inf]
        for row, site_id in enumerate(site_ids):
            known = self._enrolments.get(site_id, [])
            changes += [t for one in known for t in (_from(one), _until(one)) if t > at_ms]
            enrolment = self.enrolment(site_id, at_ms)
            if enrolment is None:
                continue
            id_ = enrolment.program_id
            if id_ not in programs:
                programs[id_] = self.program(id_, at_ms)
                changes += [_from(v) for v in self._programs.get(id_, []) if _from(v) > at_ms]
            if programs[id_] is not None:
                codes[row] = code_of.setdefault(id_, len(code_of))
        found = [program for id_ in code_of if (program := programs[id_]) is not None]
        return Enrolled(tuple(found), codes, min(changes))


def program_fault(program: Program) -> str | None:
    """What is wrong with the terms of a program, in one sentence; None = nothing."""
    paid = (
        program.owner_share,
        program.per_kwh_micros,
        program.per_event_micros,
        program.per_kw_hour_micros,
        program.per_kw_month_micros,
    )
    if not any(paid):
        return f"program {program.program_id} pays nothing: give it a share or a price"
    if program.opt_outs_per_month == 0 and program.opt_out_notice_s:
        return f"program {program.program_id} has a notice for opt-outs and allows none"
    if program.per_kw_hour_micros and program.per_kw_month_micros:
        return f"program {program.program_id} pays for availability by the hour and by the month"
    return None


def _add_version(known: dict[str, list[Versioned]], id_: str, new: Versioned) -> str | None:
    versions = known.get(id_, [])
    for one in versions:
        if one == new:
            return None
        if one.version == new.version:
            return f"version {new.version} of {id_} has other terms; new terms are a new version"
        earlier, later = sorted((one, new), key=lambda each: each.version)
        if _from(earlier) >= _from(later):
            return f"version {later.version} of {id_} must begin after version {earlier.version}"
        if one.currency != new.currency:
            return f"{id_} is paid in {one.currency}; another currency is another id"
    known[id_] = sorted([*versions, new], key=_from)
    return None


def _holding(versions: Sequence[Versioned], at_ms: int) -> Versioned | None:
    at = bisect_right(versions, at_ms, key=_from) - 1
    return versions[at] if at >= 0 else None


def _from(record: Program | Tariff | Enrolment) -> int:
    return record.effective_from_ms


def _until(enrolment: Enrolment) -> float:
    return math.inf if enrolment.until_ms is None else enrolment.until_ms
