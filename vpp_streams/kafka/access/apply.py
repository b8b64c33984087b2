"""Gives Kafka the ACLs, quotas and passwords of our principals."""

import hashlib
import secrets
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.admin import DescribeAclsRequest

from vpp_streams.errors import BrokerError
from vpp_streams.kafka.access.acls import (
    Acl,
    Difference,
    Operation,
    Pattern,
    Resource,
    difference,
    wanted_acls,
)
from vpp_streams.kafka.access.documents import quotas_of
from vpp_streams.kafka.access.principals import PRINCIPALS, Principal
from vpp_streams.kafka.access.wire import AclRow, AlterQuotas, CreateAcls, DeleteAcls, SetScram
from vpp_streams.kafka.clients import KafkaClients, administering

W = TypeVar("W", Resource, Pattern, Operation)

SCRAM_ITERATIONS = 8192
_TYPES: dict[Resource, int] = {"topic": 2, "group": 3, "transactional-id": 5}
_PATTERNS: dict[Pattern, int] = {"literal": 3, "prefixed": 4}
_OPERATIONS: dict[Operation, int] = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
_ANY, _ALLOW, _ANY_HOST = 1, 3, "*"
_NO_AUTHORIZER, _DENIED = 54, 31
_USER = "User:"


async def apply_access(clients: KafkaClients) -> Difference:
    """Add the ACLs that are missing, remove those too many, set quotas; returns what changed.

    Raises `BrokerError` where Kafka refuses, or has no authorizer.
    """
    namespace = clients.settings.namespace
    async with administering(clients) as admin:
        existing = [acl for one in PRINCIPALS for acl in await acls_in_kafka(admin, one.user)]
        change = difference(wanted_acls(namespace), existing, namespace)
        if change.add:
            answer = await _send(admin, CreateAcls([_row(acl) for acl in change.add]))
            _check("add ACLs", answer.creation_responses)
        if change.remove:
            answer = await _send(admin, DeleteAcls([_row(acl) for acl in change.remove]))
            _check("remove ACLs", answer.filter_responses)
        answer = await _send(admin, AlterQuotas({one.user: quotas_of(one) for one in PRINCIPALS}))
        _check("set quotas", answer.entries)
    return change


async def acls_in_kafka(admin: AIOKafkaAdminClient, user: str) -> list[Acl]:
    """What Kafka allows a user now; ACLs of other kinds than ours are left out."""
    request = DescribeAclsRequest(_ANY, None, _ANY, _USER + user, None, _ANY, _ANY)
    answer = await _send(admin, request)
    _check("read ACLs", [(answer.error_code, answer.error_message)])
    found = []
    for type_, name, pattern, rows in answer.resources:
        for principal, host, operation, permission in rows:
            acl = _acl(principal, operation, type_, name, pattern)
            if acl is not None and (host, permission) == (_ANY_HOST, _ALLOW):
                found.append(acl)
    return found


async def set_password(clients: KafkaClients, one: Principal, password: str) -> None:
    """Set a principal's password for SCRAM-SHA-512. Raises `BrokerError`.

    Connections that exist stay; the next one needs it.
    """
    salt = secrets.token_bytes(24)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, SCRAM_ITERATIONS)
    request = SetScram(one.user, iterations=SCRAM_ITERATIONS, salt=salt, salted=salted)
    async with administering(clients) as admin:
        answer = await _send(admin, request)
    _check("set the password", [row[1:] for row in answer.results])


async def _send(admin: AIOKafkaAdminClient, request: Any) -> Any:
    try:
        return await admin._send_request(request)  # noqa: SLF001 - aiokafka has no call for these
    except (KafkaError, OSError, NotImplementedError, IncompatibleBrokerVersion) as error:
        raise BrokerError(f"Kafka did not answer a request about access ({error!r})") from None


def _check(what: str, answers: Any) -> None:
    for code, message, *_ in answers:
        if code == _NO_AUTHORIZER:
            raise BrokerError(
                "Kafka has no authorizer: whoever connects may do everything; set"
                " authorizer.class.name on its brokers (docs/kafka-security.md)"
            )
        if code == _DENIED:
            raise BrokerError(
                f"Kafka does not let this user {what}; use one of its super.users"
                " (VPP_KAFKA_SASL_USERNAME, or the certificate)"
            )
        if code:
            raise BrokerError(f"Kafka did not {what}: {message or for_code(code).__name__}")


def _row(acl: Acl) -> AclRow:
    return (
        _TYPES[acl.resource],
        acl.name,
        _PATTERNS[acl.pattern],
        _USER + acl.user,
        _ANY_HOST,
        _OPERATIONS[acl.operation],
        _ALLOW,
    )


def _acl(principal: str, operation: int, type_: int, name: str, pattern: int) -> Acl | None:
    """An ACL of Kafka in our words; None for one of another kind."""
    what = _word(_OPERATIONS, operation)
    kind, how = _word(_TYPES, type_), _word(_PATTERNS, pattern)
    if what is None or kind is None or how is None:
        return None
    return Acl(principal.removeprefix(_USER), what, kind, name, how)


def _word(numbers: dict[W, int], number: int) -> W | None:
    return next((word for word, n in numbers.items() if n == number), None)
