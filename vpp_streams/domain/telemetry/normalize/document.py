"""Reading untrusted documents: parsing, paths, numbers, times, and error answers."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.bounds import MAX_TIME_MS
from schemas.telemetry import JsonValue, Rejection
from vpp_streams.domain.telemetry.normalize.checked import EARLIEST_MS

NAN = math.nan
_LOOKS = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<!--", "a web page"),
    (b"<?xml", "an XML document"),
    (b"http/", "an HTTP answer with its headers"),
)
_ERROR_KEYS = ("error", "err", "Error")


def parse(body: bytes) -> JsonValue | Rejection:
    """The JSON document in ``body``, or a `Rejection` that states what it is instead."""
    try:
        return msgspec.json.decode(body)
    except UnicodeError:
        return Rejection("bad_encoding", "A text in it is not UTF-8.")
    except RecursionError:
        return Rejection("bad_json", "The JSON is nested too deeply.")
    except msgspec.DecodeError as error:
        start = body.lstrip()[:20].lower()
        if not start:
            return Rejection("bad_json", "The document is empty.")
        kind = next((what for prefix, what in _LOOKS if start.startswith(prefix)), None)
        detail = f"This is {kind}, not JSON." if kind else f"It is not JSON: {error}."
        return Rejection("bad_json", detail)


def at(document: JsonValue, *path: str | int) -> Any:
    """The value at a path of keys and indexes; None if there is none."""
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and step < len(document):
            document = document[step]
        else:
            return None
    return document


def items(document: JsonValue, *path: str | int) -> list[Any]:
    """The list at a path, or the values of the object there; empty if there is neither."""
    found = at(document, *path)
    if isinstance(found, dict):
        return list(found.values())
    return found if isinstance(found, list) else []


def number(value: JsonValue) -> float:
    """A finite number, else NaN (null, text, bool, out of range)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NAN
    try:
        result = float(value)
    except OverflowError:
        return NAN
    return result if math.isfinite(result) else NAN


def total(values: list[JsonValue]) -> float:
    """Sum of numbers; NaN if one of them is not measured, or there are none."""
    return sum(map(number, values)) if values else NAN


def time_ms(value: JsonValue) -> int | None:
    """ISO 8601 text or Unix seconds as ms; None for anything else, or a clock never set."""
    if isinstance(value, str):
        try:
            stamp = datetime.fromisoformat(value)
        except ValueError:
            return None
        seconds = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    else:
        seconds = number(value)
    ms = seconds * 1000
    return int(ms) if EARLIEST_MS <= ms <= MAX_TIME_MS else None


def latest_ms(values: list[JsonValue]) -> int | None:
    """The newest of some times, ms; None if none of them is a time."""
    return max((ms for ms in map(time_ms, values) if ms is not None), default=None)


def not_telemetry(vendor: str, document: JsonValue, kinds: Mapping[str, str]) -> Rejection:
    """The rejection of a document without power, with its kind recognized by a key of its own.

    ``kinds`` maps such keys (of the document, or of its first entry) to kinds of document.
    """
    for key in _ERROR_KEYS:
        if isinstance(message := at(document, key), str) and message:
            detail = f"The device answered with an error: {message[:120].rstrip('.')}."
            return Rejection("device_error", detail)
    if not document and isinstance(document, list | dict):
        return Rejection("not_telemetry", "The document is empty.")
    entry = at(document, 0) if isinstance(document, list) else document
    keys = entry.keys() if isinstance(entry, dict) else ()
    kind = next((what for key, what in kinds.items() if key in keys), None)
    if kind:
        return Rejection("not_telemetry", f"This is {kind}; it has no power in it.")
    names = ", ".join(key[:40] for key in list(keys)[:6])
    what = f"has {names}" if names else f"is {str(document)[:60]}"
    detail = f"This is no known telemetry of {vendor}: it {what}."
    return Rejection("not_telemetry", detail)
