"""Common parts of requests: numbers with a default, and orders from messages."""

import re
from http import HTTPStatus
from typing import TypeVar

import msgspec
from google.protobuf.message import Message

from vpp_streams.rpc.messages import word_of
from vpp_streams.serving.problems import ApiError

T = TypeVar("T", bound=msgspec.Struct)
_PATH = re.compile(r" - at `\$\.(\w+)`$")
SIZES_S = (60, 900)


def wrong(field: str, error: str, hint: str = "") -> ApiError:
    """The refusal of a request with a field that cannot be used."""
    return ApiError(HTTPStatus.BAD_REQUEST, f"{field}: {error}", hint, field=field)


def limit_of(request: Message, field: str, default: int, most: int) -> int:
    """A number of rows: 0 stands for the default. Raises `ApiError` (400)."""
    value: int = getattr(request, field)
    if not 0 <= value <= most:
        raise wrong(field, f"{value} is not between 0 and {most}")
    return value or default


def size_of(request: Message, default: int) -> int:
    """A size of windows in s: 0 stands for the default. Raises `ApiError` (400)."""
    value: int = request.size_s  # type: ignore[attr-defined]  # of requests for windows
    if value not in (0, *SIZES_S):
        raise wrong("size_s", f"there are no windows of {value} s", "sizes: 60 and 900")
    return value or default


def order_of(type_: type[T], request: Message, **given: object) -> T:
    """A request's fields as an order, within the bounds of its contract. Raises `ApiError` (400).

    Fields that are not set are left out, and so is the region: it is no part of orders.
    """
    values: dict[str, object] = dict(given)
    for field, value in request.ListFields():
        if field.name in given or field.name not in type_.__struct_fields__:
            continue
        if field.enum_type is None:
            values[field.name] = value
        elif (word := word_of(field.enum_type, value)) is not None:
            values[field.name] = word
        else:
            raise wrong(field.name, f"there is no value {value}")
    try:
        return msgspec.convert(values, type_)
    except msgspec.ValidationError as error:
        raise _not_valid(str(error)) from None


def _not_valid(error: str) -> ApiError:
    found = _PATH.search(error)
    field = found[1] if found else ""
    sentence = _PATH.sub("", error)
    sentence = sentence[:1].lower() + sentence[1:300]
    return wrong(field, sentence, "nothing was written") if field else _plain(sentence)


def _plain(sentence: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, f"the order is not valid: {sentence}", "")
