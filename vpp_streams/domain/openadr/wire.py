"""OpenADR 3 objects as received: faults are corrected and reported, unreadable ones refused.

Real VTNs send what the specification does not allow: scalars for arrays, numbers for ids, the
targets of 3.0. Each has one possible meaning, which is used, and a `Remark` names the fault. The
models are `openadr3`'s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openadr3.entities.raw import RawEvent, RawProgram
from pydantic import ValidationError

FINDINGS = frozenset(
    {
        "number_as_id",
        "scalar_values",
        "no_object_type",
        "old_targets",
        "empty_target",
        "negative_setpoint",
        "outranked",
        "price_gap",
        "fine_grid",
        "many_prices",
        "many_requests",
    }
)
"""Reasons of remarks on parts that were followed; of all others, a part was refused."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A fault that was corrected in an event, or why (a part of) it was refused."""

    event_id: str
    """Empty if not even that can be read."""
    reason: str
    """A stable code (see docs/openadr.md)."""
    detail: str
    """One sentence for people."""


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event in the form of the specification, and the faults that were corrected in it."""

    event: RawEvent
    event_id: str
    found: tuple[Remark, ...]


def read_event(raw: object) -> ReadEvent | Remark:
    """Read one event of a VTN's answer, or return why it cannot be read. Never raises."""
    if not isinstance(raw, dict):
        return Remark("", "bad_event", f"an event is an object, not {type(raw).__name__}")
    tidy = _Tidy(_text(raw.get("id"))[:128])
    try:
        event = RawEvent.model_validate(tidy.event(raw))
    except (ValidationError, RecursionError) as error:
        return Remark(tidy.event_id, "bad_event", _sentence(error))
    if not event.id:
        return Remark(
            "", "bad_event", "it has no id, so that changes of it could not be recognized"
        )
    return ReadEvent(event, event.id, tuple(dict.fromkeys(tidy.found)))


def read_program(raw: object) -> RawProgram | Remark:
    """Read one program of a VTN's answer, or return why it cannot be read. Never raises."""
    if not isinstance(raw, dict):
        return Remark("", "bad_program", f"a program is an object, not {type(raw).__name__}")
    tidy = _Tidy("")
    try:
        return RawProgram.model_validate(tidy.program(raw))
    except (ValidationError, RecursionError) as error:
        return Remark("", "bad_program", f"program {_text(raw.get('id'))!r}: {_sentence(error)}")


class _Tidy:
    """Corrects faults that have only one meaning, and records them."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.found: list[Remark] = []

    def event(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        event = self._ids(raw, ("id", "programID"))
        event["payloadDescriptors"] = self._descriptors(raw.get("payloadDescriptors"))
        event["targets"] = self._targets(raw.get("targets"))
        event["reportDescriptors"] = self._each(
            raw.get("reportDescriptors"), self._report_descriptor
        )
        event["intervals"] = self._each(raw.get("intervals"), self._interval)
        return event

    def program(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        program = self._ids(raw, ("id",))
        program["payloadDescriptors"] = self._descriptors(raw.get("payloadDescriptors"))
        program["targets"] = self._targets(raw.get("targets"))
        program.pop("attributes", None)
        program.pop("programDescriptions", None)
        return program

    def _say(self, reason: str, detail: str) -> None:
        self.found.append(Remark(self.event_id, reason, detail))

    def _ids(self, raw: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        tidy = dict(raw)
        for name in names:
            if isinstance(raw.get(name), int):
                self._say("number_as_id", f"{name} is a number, read as its digits")
                tidy[name] = _text(raw[name])
        return tidy

    def _each(self, raw: object, tidy: Any) -> Any:
        if not isinstance(raw, list):
            return raw
        return [tidy(item) if isinstance(item, dict) else item for item in raw]

    def _interval(self, raw: dict[str, Any]) -> dict[str, Any]:
        return {**raw, "payloads": self._each(raw.get("payloads"), self._payload)}

    def _payload(self, raw: dict[str, Any]) -> dict[str, Any]:
        values = raw.get("values")
        if values is None or isinstance(values, list):
            return raw
        self._say("scalar_values", f"values of {raw.get('type')} is no array, read as one value")
        return {**raw, "values": [values]}

    def _descriptors(self, raw: object) -> Any:
        if not isinstance(raw, list):
            return raw
        described = [d for d in raw if _kind(d) != "REPORT_PAYLOAD_DESCRIPTOR"]
        for descriptor in described:
            if isinstance(descriptor, dict) and "objectType" not in descriptor:
                self._say("no_object_type", "a payloadDescriptor has no objectType")
        return [
            {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", **d} if isinstance(d, dict) else d
            for d in described
        ]

    def _report_descriptor(self, raw: dict[str, Any]) -> dict[str, Any]:
        # The models do not accept null where the specification has a default.
        tidy = {name: value for name, value in raw.items() if value is not None}
        return {**tidy, "targets": self._targets(raw.get("targets"))}

    def _targets(self, raw: object) -> Any:
        """Targets in the form of 3.1, strings; those of 3.0 are {type, values}."""
        if not isinstance(raw, list):
            return raw
        strings: list[Any] = []
        for target in raw:
            if not isinstance(target, dict):
                strings.append(target)
            elif not target:
                self._say("empty_target", "a target is empty and was left out")
            else:
                self._say("old_targets", "targets are of OpenADR 3.0: any of their values counts")
                values = target.get("values")
                strings += values if isinstance(values, list) else [values]
        return strings


def _kind(descriptor: object) -> object:
    return descriptor.get("objectType") if isinstance(descriptor, dict) else None


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _sentence(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}{more}"[:300]
