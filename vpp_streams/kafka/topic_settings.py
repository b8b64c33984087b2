"""The settings of topics that exist on the broker, compared with those that this version gives.

A topic keeps the settings that it was created with, so an upgrade alone does not change them.
Nothing is changed unasked: an operator may have set a longer retention on purpose.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NoError, TopicAuthorizationFailedError, for_code

from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import topic_config
from vpp_streams.kafka.clients import KafkaClients, administering

_OF_THE_TOPIC = 1
"""Kafka's number for where a setting comes from: it was set for the topic itself."""
_LISTS = frozenset({"cleanup.policy"})
"""Settings that are lists, whose order says nothing."""


@dataclass(frozen=True, slots=True, order=True)
class OtherSetting:
    """A setting of a topic that is not as this version creates it."""

    topic: str
    """Its full name."""
    name: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.name} is {self.found}, a new topic has {self.wanted}"


async def other_settings(clients: KafkaClients) -> list[OtherSetting]:
    """The settings that are not as a new topic would have them; topics that do not exist have none.

    Raises `BrokerError` where the broker does not answer or does not let this user read them.
    """
    wanted = {clients.full(topic): topic for topic in (*topics.ALL, *topics.INTERNAL)}
    async with administering(clients) as admin:
        existing = sorted(wanted.keys() & set(await admin.list_topics()))
        described = {d["topic"]: d for d in await admin.describe_topics(existing)}
        found = await _settings(admin, existing)
    return sorted(
        OtherSetting(name, key, found[name].get(key, ("none", 0))[0], value)
        for name in existing
        for key, value in topic_config(wanted[name], _replicas(described[name])).items()
        if not _same(key, found[name].get(key, ("none", 0))[0], value)
    )


async def alter_settings(clients: KafkaClients, others: Iterable[OtherSetting]) -> None:
    """Give topics the settings of new ones; what else was set for a topic stays.

    Raises `BrokerError` where the broker refuses.
    """
    changes: dict[str, dict[str, str]] = defaultdict(dict)
    for one in others:
        changes[one.topic][one.name] = one.wanted
    if not changes:
        return
    async with administering(clients) as admin:
        found = await _settings(admin, sorted(changes))
        # Kafka replaces all that was set for a topic by what is named.
        resources = [
            ConfigResource(
                ConfigResourceType.TOPIC,
                name,
                {
                    **{k: v for k, (v, source) in found[name].items() if source == _OF_THE_TOPIC},
                    **changed,
                },
            )
            for name, changed in changes.items()
        ]
        for answer in await _asked(admin.alter_configs(resources), "change"):
            for code, message, _, name in answer.resources:
                _check("change", name, code, message)


async def _settings(
    admin: AIOKafkaAdminClient, names: list[str]
) -> dict[str, dict[str, tuple[str, int]]]:
    """Topic -> setting -> its value, and Kafka's number of where it comes from."""
    if not names:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found = {}
    for answer in await _asked(admin.describe_configs(wanted), "read"):
        for code, message, _, name, entries in answer.resources:
            _check("read", name, code, message)
            found[name] = {key: (value, source) for key, value, _, source, *_ in entries}
    return found


async def _asked(request: Any, what: str) -> list[Any]:
    try:
        answers: list[Any] = await request
    except KafkaError as error:
        raise BrokerError(f"cannot {what} the settings of topics: {error}") from None
    return answers


def _check(what: str, name: str, code: int, message: str | None) -> None:
    if code == TopicAuthorizationFailedError.errno:
        raise BrokerError(
            f"Kafka does not let this user {what} the settings of topic {name}; `vpp kafka acls"
            " --apply` gives the operator that right"
        )
    if code != NoError.errno:
        why = message or for_code(code).__name__
        raise BrokerError(f"cannot {what} the settings of topic {name}: {why}")


def _replicas(described: dict[str, Any]) -> int:
    return min((len(p["replicas"]) for p in described["partitions"]), default=1)


def _same(name: str, found: str, wanted: str) -> bool:
    if name in _LISTS:
        return set(found.split(",")) == set(wanted.split(","))
    return found == wanted
