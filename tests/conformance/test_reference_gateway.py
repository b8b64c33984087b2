"""The check of a gateway against ours, in both of its engines: every obligation is met."""

import pytest

from tests.support.conformance import failed, verdicts_on_gateway
from tests.support.memory_gateway import gateway_in_memory
from tests.support.virtual_time import in_virtual_time
from vpp_streams.conformance.gateway_check import GATEWAY_SCENARIOS
from vpp_streams.conformance.obligations import GATEWAY
from vpp_streams.conformance.verdicts import Verdict
from vpp_streams.gateway.actions import Limits


@pytest.mark.parametrize("engine", ["own", "stock"])
def test_a_gateway_meets_its_obligations(engine: str) -> None:
    async def checked() -> dict[str, Verdict]:
        async with gateway_in_memory(Limits(), engine=engine) as (gateway, _):
            return await verdicts_on_gateway(f"ws://127.0.0.1:{gateway.port}", GATEWAY_SCENARIOS)

    verdicts = in_virtual_time(checked())
    assert failed(verdicts) == {}
    passed = {id_ for id_, verdict in verdicts.items() if verdict.outcome == "pass"}
    assert passed == {obligation.id for obligation in GATEWAY if not obligation.untried}
