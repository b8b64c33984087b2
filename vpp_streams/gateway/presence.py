"""Connect and disconnect records in topic ``presence``; a connect's offset is the epoch."""

import time
from typing import Literal

from aiokafka import AIOKafkaProducer

from schemas.presence import Presence
from schemas.protocol import Hello
from vpp_streams import topics
from vpp_streams.codecs import encode_json
from vpp_streams.gateway.session import Session

Status = Literal["connected", "disconnected"]


class PresenceLog:
    """Writes this gateway's records."""

    def __init__(self, producer: AIOKafkaProducer, namespace: str, slot: int) -> None:
        self._producer = producer
        self._topic = topics.PRESENCE.full(namespace)
        self._slot = slot

    async def connected(self, session: Session, hello: Hello) -> int:
        """Write a connect record; returns the epoch. Raises `aiokafka.errors.KafkaError`."""
        return await self._write(session, "connected", None, hello)

    async def disconnected(self, session: Session, hello: Hello, epoch: int) -> None:
        """Write the record that ends ``epoch``. Raises `aiokafka.errors.KafkaError`."""
        await self._write(session, "disconnected", epoch, hello)

    async def _write(
        self, session: Session, status: Status, epoch: int | None, hello: Hello
    ) -> int:
        record = Presence(
            device_id=session.device.device_id,
            site_id=session.site.site_id,
            status=status,
            gateway_slot=self._slot,
            at_ms=time.time_ns() // 1_000_000,
            epoch=epoch,
            boot=hello.boot,
            model=hello.model,
            firmware=hello.fw,
            last_cmd=hello.last_cmd,
        )
        written = await self._producer.send_and_wait(
            self._topic,
            encode_json(record),
            key=session.device.device_id.encode(),
            partition=session.partition,
        )
        return int(written.offset)
