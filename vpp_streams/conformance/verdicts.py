"""Verdicts on obligations, and the report that they make up."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from vpp_streams.conformance.obligations import BY_ID, Obligation

Outcome = Literal["pass", "fail", "not tried"]


class Verdict(NamedTuple):
    """What one scenario found about one obligation."""

    id: str
    outcome: Outcome
    expected: str = ""
    seen: str = ""
    """What was seen instead of it; of an obligation that was not tried, why."""


class Line(NamedTuple):
    """An obligation and the verdict on it."""

    obligation: Obligation
    verdict: Verdict


def judged(id_: str, holds: bool, expected: str, seen: object) -> Verdict:
    """The verdict on an obligation that was tried. Raises `KeyError` for an unknown number."""
    if holds:
        return Verdict(BY_ID[id_].id, "pass", expected)
    return Verdict(BY_ID[id_].id, "fail", expected, str(seen))


def not_tried(ids: Iterable[str], why: str) -> list[Verdict]:
    """Verdicts on obligations that could not be tried, for one reason."""
    return [Verdict(BY_ID[id_].id, "not tried", seen=why) for id_ in ids]


def report(obligations: Sequence[Obligation], verdicts: Sequence[Verdict]) -> list[Line]:
    """One line per obligation: a failure outweighs a pass, and a pass what was not tried."""
    lines = []
    for obligation in obligations:
        found = [verdict for verdict in verdicts if verdict.id == obligation.id]
        why = obligation.untried or "its scenario was not reached"
        found.append(Verdict(obligation.id, "not tried", seen=why))
        order: tuple[Outcome, ...] = ("fail", "pass", "not tried")
        lines.append(Line(obligation, min(found, key=lambda each: order.index(each.outcome))))
    return lines


def conforms(lines: Iterable[Line]) -> bool:
    """Whether no MUST failed, and at least one obligation was tried and passed."""
    outcomes = [(line.obligation.level, line.verdict.outcome) for line in lines]
    passed = any(outcome == "pass" for _, outcome in outcomes)
    return passed and ("MUST", "fail") not in outcomes


def as_text(lines: Sequence[Line]) -> str:
    """The report for people: a line per obligation, and what went wrong below it."""
    text = []
    for (id_, level, words, _), verdict in lines:
        text.append(f"{verdict.outcome:9}  {id_:4}  {level:6}  {words}")
        if verdict.outcome == "fail":
            text += [f"{'':11}expected: {verdict.expected}", f"{'':11}seen: {verdict.seen}"]
        elif verdict.outcome == "not tried":
            text.append(f"{'':11}{verdict.seen}")
    outcomes = [line.verdict.outcome for line in lines]
    counts = ", ".join(f"{outcomes.count(each)} {each}" for each in ("pass", "fail", "not tried"))
    verdict_in_words = "conforms to vpp.v1" if conforms(lines) else "does not conform to vpp.v1"
    return "\n".join([*text, "", f"{counts}: {verdict_in_words}"])


def as_document(lines: Sequence[Line]) -> dict[str, object]:
    """The report for programs."""
    return {
        "conforms": conforms(lines),
        "obligations": [
            {
                "id": obligation.id,
                "level": obligation.level,
                "words": obligation.words,
                "outcome": verdict.outcome,
                "expected": verdict.expected,
                "seen": verdict.seen,
            }
            for obligation, verdict in lines
        ],
    }
