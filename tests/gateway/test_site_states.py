"""The gateway follows the state of a site: a planned one's devices are not connected."""

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from schemas.assets import SiteState
from schemas.protocol import CLOSE_UNKNOWN_DEVICE
from tests.support.memory_gateway import DEVICE_ID, SITE, TOKEN, gateway_in_memory
from vpp_streams.domain.registry.states import in_state
from vpp_streams.gateway.actions import Limits


def opening(port: int) -> connect:
    return connect(
        f"ws://127.0.0.1:{port}/v1/{DEVICE_ID}",
        subprotocols=["vpp.v1"],  # type: ignore[list-item]  # a NewType of str
        additional_headers={"Authorization": f"Bearer {TOKEN}"},
    )


async def test_a_planned_site_is_refused_and_its_connections_are_closed() -> None:
    async with gateway_in_memory(Limits()) as (gateway, _):
        site = in_state(SITE, "commissioning", 1)
        gateway.registry.apply(site)
        async with opening(gateway.port) as connection:
            gateway.registry.apply(in_state(site, "planned", 2))
            await connection.wait_closed()
            assert connection.close_code == CLOSE_UNKNOWN_DEVICE
            assert connection.close_reason == "its site is only planned"
        with pytest.raises(InvalidStatus) as refused:
            async with opening(gateway.port):
                pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("state", ["commissioning", "suspended"])
async def test_a_site_that_does_not_count_stays_connected(state: SiteState) -> None:
    async with gateway_in_memory(Limits()) as (gateway, _), opening(gateway.port) as connection:
        gateway.registry.apply(in_state(SITE, state, 1))
        gateway._apply_registry()  # noqa: SLF001  # the sweep's look at the registry, now
        pong = await connection.ping()
        await pong
        assert connection.close_code is None
