"""ACLs and quotas as others read them: Kafka's own tools, JSON, and Strimzi's resources."""

import json
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from vpp_streams.kafka.access.acls import Acl, acls_of
from vpp_streams.kafka.access.principals import PRINCIPALS, Principal

STRIMZI_CLUSTER = "vpp"
"""Name of the Kafka resource whose users these are; `strimzi.io/cluster`."""
_STRIMZI = "kafka.strimzi.io/v1"
_STRIMZI_TYPES = {"transactional-id": "transactionalId"}
_STRIMZI_PATTERNS = {"prefixed": "prefix"}


def as_commands(namespace: str, server: str) -> str:
    """Lines for `kafka-acls.sh` and `kafka-configs.sh`, of a file that may be run as it is."""
    return "\n".join(line for one in PRINCIPALS for line in _commands(one, namespace, server))


def as_json(namespace: str, _server: str) -> str:
    """One document with every principal."""
    return json.dumps([_plain(one, namespace) for one in PRINCIPALS], indent=2)


def as_strimzi(namespace: str, _server: str) -> str:
    """A `KafkaUser` for each principal, which signs in with SCRAM-SHA-512."""
    return yaml.safe_dump_all([_user(one, namespace) for one in PRINCIPALS], sort_keys=False)


FORMATS: dict[str, Callable[[str, str], str]] = {
    "commands": as_commands,
    "json": as_json,
    "strimzi": as_strimzi,
}


def quotas_of(one: Principal) -> dict[str, float]:
    """Kafka's names of a principal's quotas, with their values in bytes/s."""
    return {
        "producer_byte_rate": float(one.produce_bytes_s),
        "consumer_byte_rate": float(one.consume_bytes_s),
    }


def _commands(one: Principal, namespace: str, server: str) -> Iterator[str]:
    common = ["--bootstrap-server", server, "--command-config", "admin.properties"]
    yield f"# {one.user}: {one.about}"
    for (operation, resource, pattern), names in _grouped(acls_of(one, namespace)):
        what = [word for name in names for word in (f"--{resource}", name)]
        words = ["--add", "--allow-principal", f"User:{one.user}", "--operation", operation]
        words += [*what, "--resource-pattern-type", pattern]
        yield shlex.join(["kafka-acls.sh", *common, *words])
    quotas = ",".join(f"{name}={value:.0f}" for name, value in quotas_of(one).items())
    words = ["--alter", "--entity-type", "users", "--entity-name", one.user]
    yield shlex.join(["kafka-configs.sh", *common, *words, "--add-config", quotas])


def _grouped(acls: frozenset[Acl]) -> list[tuple[tuple[str, str, str], list[str]]]:
    """Names by operation, kind and pattern, in a stable order."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for acl in sorted(acls):
        found[acl.operation, acl.resource, acl.pattern].append(acl.name)
    return sorted(found.items())


def _plain(one: Principal, namespace: str) -> dict[str, Any]:
    acls = [
        {"operation": operation, "resource": resource, "pattern": pattern, "names": names}
        for (operation, resource, pattern), names in _grouped(acls_of(one, namespace))
    ]
    return {"user": one.user, "about": one.about, "acls": acls, "quotas": quotas_of(one)}


def _user(one: Principal, namespace: str) -> dict[str, Any]:
    operations: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for acl in sorted(acls_of(one, namespace)):
        operations[acl.resource, acl.name, acl.pattern].append(acl.operation)
    acls = [
        {
            "resource": {
                "type": _STRIMZI_TYPES.get(resource, resource),
                "name": name,
                "patternType": _STRIMZI_PATTERNS.get(pattern, pattern),
            },
            "operations": found,
        }
        for (resource, name, pattern), found in sorted(operations.items())
    ]
    return {
        "apiVersion": _STRIMZI,
        "kind": "KafkaUser",
        "metadata": {"name": one.user, "labels": {"strimzi.io/cluster": STRIMZI_CLUSTER}},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": acls},
            "quotas": {
                "producerByteRate": one.produce_bytes_s,
                "consumerByteRate": one.consume_bytes_s,
            },
        },
    }
