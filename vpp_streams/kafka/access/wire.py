"""Requests about ACLs, quotas and passwords, which aiokafka 0.14's admin client has no calls for.

Some structs are the library's; those that it lacks are declared here.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest_v1
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Float64,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

_TAGS = ("tags", TaggedFields)
_TEXT = String("utf-8")
_COMPACT = CompactString("utf-8")
_ENTITY = Array(("entity_type", _TEXT), ("entity_name", _TEXT))

AclRow = tuple[int, str, int, str, str, int, int]
"""Resource type, name, pattern, principal, host, operation, permission, in Kafka's numbers."""


class CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]  # aiokafka is untyped
    """Adds ACLs, all in one request."""

    API_KEY = 30

    def __init__(self, rows: Sequence[AclRow]) -> None:
        self._rows = rows

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        """See aiokafka."""
        return request_struct_class(list(self._rows))


class DeleteAcls(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]  # aiokafka is untyped
    """Removes ACLs that equal these, all in one request."""

    API_KEY = 31

    def __init__(self, rows: Sequence[AclRow]) -> None:
        self._rows = rows

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        """See aiokafka."""
        return request_struct_class(list(self._rows))


class _AlterQuotasResponse(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", _TEXT), ("entity", _ENTITY))),
    )


class _AlterQuotasV0(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterQuotasResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", _ENTITY),
                ("ops", Array(("key", _TEXT), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class AlterQuotas(Request[_AlterQuotasV0]):  # type: ignore[misc]  # aiokafka is untyped
    """Sets quotas of users."""

    API_KEY = 49

    def __init__(self, quotas: dict[str, dict[str, float]]) -> None:
        self._quotas = quotas

    def build(self, request_struct_class: type[_AlterQuotasV0]) -> _AlterQuotasV0:
        """See aiokafka."""
        entries = [
            ([("user", user)], [(name, value, False) for name, value in values.items()])
            for user, values in self._quotas.items()
        ]
        return request_struct_class(entries, False)


class _AlterScramResponse(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", _COMPACT), ("error_code", Int16), ("error_message", _COMPACT), _TAGS
            ),
        ),
        _TAGS,
    )


class _AlterScramV0(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterScramResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", _COMPACT), ("mechanism", Int8), _TAGS)),
        (
            "upsertions",
            CompactArray(
                ("name", _COMPACT),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class SetScram(Request[_AlterScramV0]):  # type: ignore[misc]  # aiokafka is untyped
    """Sets a user's password for SCRAM-SHA-512; Kafka receives it salted and hashed."""

    API_KEY = 51
    SHA_512 = 2

    def __init__(self, user: str, *, iterations: int, salt: bytes, salted: bytes) -> None:
        self._row: tuple[Any, ...] = (user, self.SHA_512, iterations, salt, salted, {})

    def build(self, request_struct_class: type[_AlterScramV0]) -> _AlterScramV0:
        """See aiokafka."""
        return request_struct_class([], [self._row], {})
