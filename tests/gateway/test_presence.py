"""What a connect record says of a device."""

from types import SimpleNamespace
from typing import Any

from schemas.presence import Presence
from schemas.protocol import Hello
from tests.support.gateway_session import new_session
from vpp_streams.gateway.presence import PresenceLog


class OutletInMemory:
    def __init__(self) -> None:
        self.records: list[Presence] = []

    async def write(self, topic: Any, record: Presence) -> SimpleNamespace:
        self.records.append(record)
        return SimpleNamespace(offset=41)


async def test_what_a_device_says_of_itself_is_passed_on() -> None:
    outlet = OutletInMemory()
    log = PresenceLog(outlet, 3)  # type: ignore[arg-type]  # it writes, and no more is needed
    said = Hello(boot="b7", next_seq=1, oldest_seq=0, model="m", fw="2", t=0, measures_only=True)
    assert await log.connected(new_session(), said) == 41
    (record,) = outlet.records
    assert (record.status, record.gateway_slot, record.boot) == ("connected", 3, "b7")
    assert record.measures_only
    await log.connected(new_session(), Hello(boot="b7", next_seq=1, oldest_seq=0, t=0))
    assert not outlet.records[1].measures_only, "an older device does not say it"
