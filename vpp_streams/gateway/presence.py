"""Connect and disconnect records in topic ``presence``; a connect's offset is the epoch."""

from typing import Literal

from schemas.presence import Presence
from schemas.protocol import Hello
from vpp_streams import clock
from vpp_streams.gateway.session import Session
from vpp_streams.kafka import topics
from vpp_streams.kafka.outlet import Outlet

Status = Literal["connected", "disconnected"]


class PresenceLog:
    """Writes this gateway's records."""

    def __init__(self, outlet: Outlet, slot: int) -> None:
        self._outlet = outlet
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
            at_ms=clock.now_ms(),
            epoch=epoch,
            boot=hello.boot,
            model=hello.model,
            firmware=hello.fw,
            last_cmd=hello.last_cmd,
            measures_only=hello.measures_only,
        )
        written = await self._outlet.write(topics.PRESENCE, record)
        return int(written.offset)
