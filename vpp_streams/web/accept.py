"""Content negotiation (RFC 9110, 12.5.1): which of our media types a client prefers."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

from vpp_streams.serving.problems import ApiError

F = TypeVar("F", bound=str)


def format_for(accept: str | None, media_types: Mapping[F, str], noun: str) -> F:
    """The format that a client prefers; of equals the first. Raises `ApiError` (406) for none."""
    formats = {media.partition(";")[0]: name for name, media in media_types.items()}
    media = preferred(accept, list(formats))
    if media is None:
        raise ApiError(
            HTTPStatus.NOT_ACCEPTABLE,
            f"a {noun} is none of {(accept or '')[:100]!r}",
            f"Accept one of {', '.join(formats)}, or set format={'|'.join(formats.values())}",
        )
    return formats[media]


def preferred(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer with the highest weight, of equals the first; None if none is acceptable.

    The most specific range of the header decides an offer's weight. Without a header every offer is
    acceptable. A range that cannot be read counts as absent.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = [parsed for item in accept.split(",") if (parsed := _range(item))]
    weights = [_weight(offer, ranges) for offer in offers]
    best = max(weights)
    return offers[weights.index(best)] if best > 0 else None


def _range(item: str) -> tuple[str, float] | None:
    """A media range and its weight; None if it cannot be read."""
    name, *parameters = (part.strip() for part in item.split(";"))
    weight = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                return None
    if not 0 <= weight <= 1 or name.count("/") != 1:
        return None
    return name.lower(), weight


def _weight(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    for wanted in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        found = [weight for name, weight in ranges if name == wanted]
        if found:
            return max(found)
    return 0.0
