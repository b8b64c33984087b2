"""The ACLs of a principal, and those that Kafka has too many or too few."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from vpp_streams.kafka import topics
from vpp_streams.kafka.access.principals import PRINCIPALS, Principal, readable, writable

Resource = Literal["topic", "group", "transactional-id"]
Pattern = Literal["literal", "prefixed"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs", "AlterConfigs"]

ANY = "*"


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """That a user may do one thing with one resource, from any host."""

    user: str
    operation: Operation
    resource: Resource
    name: str
    pattern: Pattern = "literal"


def acls_of(one: Principal, namespace: str) -> frozenset[Acl]:
    """All that a principal needs in a namespace, and nothing else.

    It may describe every topic there: a process finds out at its start what is missing.
    """
    return frozenset(_acls(one, namespace))


def _acls(one: Principal, namespace: str) -> Iterator[Acl]:
    def full(name: str) -> str:
        return f"{namespace}.{name}" if namespace else name

    everything: tuple[str, Pattern] = (full(""), "prefixed") if namespace else (ANY, "literal")
    yield Acl(one.user, "Describe", "topic", *everything)
    for topic in readable(one):
        yield Acl(one.user, "Read", "topic", full(topic.name))
    for topic in writable(one):
        yield Acl(one.user, "Write", "topic", full(topic.name))
    for group in one.groups:
        yield Acl(one.user, "Read", "group", full(group))
    for prefix in one.transactional:
        yield Acl(one.user, "Write", "transactional-id", full(prefix), "prefixed")
    if one.manages_topics:
        for topic in (*topics.ALL, *topics.INTERNAL):
            yield Acl(one.user, "Create", "topic", full(topic.name))
        yield Acl(one.user, "DescribeConfigs", "topic", *everything)
        yield Acl(one.user, "AlterConfigs", "topic", *everything)


def wanted_acls(namespace: str) -> frozenset[Acl]:
    """The ACLs of all principals."""
    return frozenset(acl for one in PRINCIPALS for acl in acls_of(one, namespace))


@dataclass(frozen=True, slots=True)
class Difference:
    """What to change so that Kafka has the wanted ACLs."""

    add: tuple[Acl, ...]
    remove: tuple[Acl, ...]


def difference(wanted: frozenset[Acl], existing: Iterable[Acl], namespace: str) -> Difference:
    """Compare with those that exist for our users; those of other namespaces stay."""
    there = frozenset(existing)
    extra = (acl for acl in there - wanted if _is_of(acl.name, namespace))
    return Difference(tuple(sorted(wanted - there)), tuple(sorted(extra)))


def _is_of(name: str, namespace: str) -> bool:
    if namespace:
        return name.startswith(f"{namespace}.")
    # Without a namespace, only a name that we use is known to be ours.
    return name == ANY or name in _OUR_NAMES


_OUR_NAMES = frozenset(
    name
    for one in PRINCIPALS
    for name in (
        *(t.name for t in (*topics.ALL, *topics.INTERNAL)),
        *one.groups,
        *one.transactional,
    )
)
