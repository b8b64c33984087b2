"""The simulated admin client, in the shape of aiokafka's."""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata

from tests.simulation.clients import Client


class SimAdmin(Client):
    """`AIOKafkaAdminClient`, as far as it is used."""

    def __init__(self, request_timeout_ms: int = 40_000, **_other: Any) -> None:
        super().__init__(request_timeout_ms)

    async def start(self) -> None:
        await self.bootstrap()

    async def close(self) -> None:
        pass

    async def list_topics(self) -> list[str]:
        kafka = self.kafka
        return await kafka.call(lambda: list(kafka.topics), self.request_timeout_s)

    async def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        return await self.kafka.call(lambda: [self._described(name) for name in topics])

    def _described(self, name: str) -> dict[str, Any]:
        topic = self.kafka.topics.get(name)
        if topic is None:
            return {
                "error_code": UnknownTopicOrPartitionError.errno,
                "topic": name,
                "partitions": [],
            }
        return {
            "error_code": 0,
            "topic": name,
            "partitions": [
                {"partition": p, "error_code": 0, "leader": 0} for p in range(len(topic.logs))
            ],
        }

    async def list_consumer_group_offsets(
        self, group_id: str, **_other: Any
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        groups = self.kafka.groups
        return await self.kafka.call(lambda: dict(groups.of(group_id).offsets))
