"""The check finds what is wrong with a gateway, by the number of the obligation."""

import pytest

from tests.support.broken_gateways import FAULTS, GatewayFault
from tests.support.conformance import failed, verdicts_on_gateway
from tests.support.memory_gateway import gateway_in_memory
from tests.support.virtual_time import in_virtual_time
from vpp_streams.conformance.obligations import GATEWAY
from vpp_streams.conformance.verdicts import Verdict
from vpp_streams.gateway.actions import Limits


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.words)
def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch, fault: GatewayFault) -> None:
    async def checked() -> dict[str, Verdict]:
        async with gateway_in_memory(Limits()) as (gateway, _):
            url = f"ws://127.0.0.1:{gateway.port}"
            return await verdicts_on_gateway(url, [fault.scenario])

    fault.put_in(monkeypatch)
    assert set(failed(in_virtual_time(checked()))) == fault.breaks


def test_every_obligation_that_is_tried_has_a_fault_that_breaks_it() -> None:
    tried = {obligation.id for obligation in GATEWAY if not obligation.untried}
    assert frozenset[str]().union(*(fault.breaks for fault in FAULTS)) == tried
