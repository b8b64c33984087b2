"""The check of a gateway: plays its devices, good and bad, and reports per obligation."""

import asyncio
from collections.abc import Callable, Sequence

from websockets.exceptions import ConnectionClosed

from vpp_streams.conformance.device_player import DevicePlayer
from vpp_streams.conformance.gateway_end_scenarios import NEWER, OFFENCES, SILENCE
from vpp_streams.conformance.gateway_scenarios import (
    ACK_PACE,
    BACKFILL,
    DOOR,
    GREETING,
    LIVE,
    REFUSALS,
)
from vpp_streams.conformance.gateway_stage import (
    GatewayScenario,
    GatewayStage,
    NoConnectionError,
)
from vpp_streams.conformance.obligations import GATEWAY
from vpp_streams.conformance.timing import GatewayTiming
from vpp_streams.conformance.verdicts import Line, Verdict, judged, not_tried, report

GATEWAY_SCENARIOS: tuple[GatewayScenario, ...] = (
    DOOR,
    GREETING,
    LIVE,
    ACK_PACE,
    BACKFILL,
    REFUSALS,
    OFFENCES,
    NEWER,
    SILENCE,
)
_SCENARIO_S = 300


async def check_gateway(
    player: DevicePlayer,
    timing: GatewayTiming,
    *,
    boot: str,
    scenarios: Sequence[GatewayScenario] = GATEWAY_SCENARIOS,
    on_scenario: Callable[[str], None] = lambda _: None,
) -> list[Line]:
    """Check a gateway as a registered device; ``boot`` is an id that no other check has used."""
    stage = GatewayStage(player, timing, boot)
    verdicts: list[Verdict] = []
    for scenario in scenarios:
        on_scenario(scenario.name)
        verdicts += await _play(scenario, stage)
    unsent, expected = stage.acks_of_unsent, "Acks of readings that were sent, and of no others"
    if stage.sent_ms:
        verdicts.append(judged("G-10", not unsent, expected, (unsent or [""])[0]))
    return report(GATEWAY, verdicts)


async def _play(scenario: GatewayScenario, stage: GatewayStage) -> list[Verdict]:
    try:
        async with asyncio.timeout(_SCENARIO_S):
            return await scenario.play(stage)
    except NoConnectionError as error:
        return not_tried(scenario.tries, str(error))
    except ConnectionClosed as error:
        return not_tried(scenario.tries, f"the gateway closed the connection: {error}")
    except TimeoutError:
        return not_tried(scenario.tries, f"the scenario did not end within {_SCENARIO_S} s")
