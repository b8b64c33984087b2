"""Untrusted documents: parsing, and what those without power are."""

from collections.abc import Mapping

import msgspec

from edge.vendor_fields.document import at
from schemas.telemetry import JsonValue, Rejection

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
