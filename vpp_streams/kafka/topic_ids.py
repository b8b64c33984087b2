"""Identifies topics by id: one that was deleted and created again is another topic.

aiokafka 0.14 uses versions of Metadata without ids (version 10 added them), so the request is
declared here. This is the only module that knows how aiokafka's clients send one.
"""

import asyncio
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any, TypeAlias
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, NodeNotReadyError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from vpp_streams.errors import BrokerError

LOOK_S = 5.0
"""Interval at which long-running readers check that a topic is still the same, s."""
ANSWER_S = 2.0

_NO_ID = UUID(int=0)
_NO_ERROR = 0

AnyClient: TypeAlias = AIOKafkaConsumer | AIOKafkaProducer


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka is untyped
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_TAGS = ("tags", TaggedFields)
_NAME = CompactString("utf-8")
_PARTITION = Schema(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    _TAGS,
)
_TOPIC = Schema(
    ("error_code", Int16),
    ("name", _NAME),
    ("topic_id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(_PARTITION)),
    ("authorized_operations", Int32),
    _TAGS,
)
_BROKER = Schema(("node_id", Int32), ("host", _NAME), ("port", Int32), ("rack", _NAME), _TAGS)


class _MetadataV10Response(Response):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(_BROKER)),
        ("cluster_id", _NAME),
        ("controller_id", Int32),
        ("topics", CompactArray(_TOPIC)),
        ("authorized_operations", Int32),
        _TAGS,
    )


class _MetadataV10(RequestStruct):  # type: ignore[misc]  # aiokafka is untyped
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataV10Response
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _NAME), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _Metadata(Request[_MetadataV10]):  # type: ignore[misc]  # aiokafka is untyped
    API_KEY = 3

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataV10]) -> _MetadataV10:
        wanted: list[tuple[UUID, str, dict[int, bytes]]] = [
            (_NO_ID, name, {}) for name in self._names
        ]
        return request_struct_class(wanted, False, False, False, {})


async def topic_ids(client: AnyClient, names: Collection[str]) -> dict[str, UUID]:
    """Ids by name of those topics that exist, requested through a started client.

    Empty where the broker is too old to know ids. Raises `KafkaError` where it does not answer.
    """
    connection: Any = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 - aiokafka has no public way
    node = connection.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    try:
        answer = await connection.send(node, _Metadata(sorted(names)))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return {}
    return {
        name: topic_id
        for error_code, name, topic_id, *_ in answer.topics
        if error_code == _NO_ERROR and topic_id != _NO_ID
    }


class KnownTopics:
    """Remembers the ids of topics, to notice when a name means another topic."""

    def __init__(self) -> None:
        self._ids: Mapping[str, UUID] = {}

    async def changed(self, client: AnyClient, names: Collection[str]) -> set[str]:
        """The names that mean another topic than when they were last checked.

        A name without a topic now, and every name while Kafka does not answer, is unchanged.
        """
        if not names:
            return set()
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await topic_ids(client, names)
        except (KafkaError, OSError, TimeoutError):
            return set()
        before = self._ids
        self._ids = {**before, **found}
        return {name for name, now in found.items() if before.get(name, now) != now}

    async def check(self, client: AnyClient, names: Collection[str]) -> None:
        """Raise `BrokerError` where a name means another topic than before."""
        if changed := await self.changed(client, names):
            raise BrokerError(
                f"{', '.join(sorted(changed))} was deleted and made again; this process ends, and"
                " reads the new topic from its beginning when it is started again"
            )

    async def check_for_ever(self, client: AnyClient, names: Collection[str]) -> None:
        """`check` every `LOOK_S`, for processes that write topics and do not read them."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.check(client, names)
