"""Records and views as protobuf messages: fields of the same name, and words as enum values."""

import re
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)
Field = Any
"""A field's descriptor, which has a class of its own in each implementation of protobuf."""


def message_of(type_: type[M], source: object, /, **given: Any) -> M:
    """A message whose fields are the attributes of ``source`` with their names.

    ``given`` fields come before attributes; None leaves a field unset. Raises `AttributeError` for
    a field that neither has: a contract and its source must not drift apart silently.
    """
    message = type_()
    fill(message, source, **given)
    return message


def fill(message: Message, source: object, /, **given: Any) -> None:
    """As `message_of`, into a message that is there."""
    for field in message.DESCRIPTOR.fields:
        name = field.name
        if name in given:
            value = given[name]
        elif field.containing_oneof is not None and _is_choice(field):
            continue  # the caller sets the choice
        else:
            value = getattr(source, name)
        if value is not None:
            _set(message, field, value)


def word_of(enum: EnumDescriptor, number: int) -> str | None:
    """The word of an enum value; None = unspecified, or a value of a newer contract."""
    value = enum.values_by_number.get(number)
    if value is None or number == 0:
        return None
    return value.name.removeprefix(prefix_of(enum)).lower()


def prefix_of(enum: EnumDescriptor) -> str:
    """What the names of an enum's values begin with: ``REQUEST_STATE_``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"


def _is_choice(field: Field) -> bool:
    """Whether a field is in a oneof of several: an optional field is in one of its own."""
    return field.containing_oneof is not None and len(field.containing_oneof.fields) > 1


def _set(message: Message, field: Field, value: Any) -> None:
    name = field.name
    if field.is_repeated and field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            getattr(message, name).update(value)
            return
        many = getattr(message, name)
        for one in value:
            if isinstance(one, Message):
                many.append(one)
            else:
                fill(many.add(), one)
    elif field.is_repeated:
        getattr(message, name).extend(value)
    elif field.message_type is not None:
        if isinstance(value, Message):
            getattr(message, name).CopyFrom(value)
        else:
            inner = getattr(message, name)
            inner.SetInParent()  # an empty message is set too
            fill(inner, value)
    elif field.enum_type is not None:
        word = prefix_of(field.enum_type) + str(value).upper()
        setattr(message, name, field.enum_type.values_by_name[word].number)
    else:
        setattr(message, name, value)
