"""Which format a client prefers, by the header Accept."""

from http import HTTPStatus

from vpp_streams.statements.files import Format
from vpp_streams.web.problems import ApiError

_FORMATS: dict[str, Format] = {
    "application/json": "json",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "json",
    "application/*": "json",
    "text/*": "csv",
    "*/*": "json",
}
"""A browser that opens the address names HTML first, and takes anything."""


def format_of(accept: str) -> Format:
    """The format for a header. Raises `ApiError` (406) for one that names none of ours."""
    if not accept.strip():
        return "json"
    ranges = [_range(part) for part in accept.split(",")]
    known = [(weight, name) for weight, name in ranges if name in _FORMATS and weight > 0]
    if not known:
        raise ApiError(
            HTTPStatus.NOT_ACCEPTABLE,
            f"there is no statement as {accept[:64]!r}",
            "it is there as application/json, text/csv and application/pdf",
        )
    best = max(weight for weight, _ in known)
    return next(_FORMATS[name] for weight, name in known if weight == best)


def _range(part: str) -> tuple[float, str]:
    name, *parameters = (word.strip().lower() for word in part.split(";"))
    weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
    try:
        return float(weight), name
    except ValueError:
        return 0.0, name
