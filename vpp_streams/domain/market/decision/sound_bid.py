"""Last step: the check of a decided bid as the market would check it, before it is sent."""

import msgspec

from schemas.encoding import decode_json, encode_json
from schemas.market import Bid
from schemas.wire import UNREADABLE
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.at_connection import (
    at_batteries,
    connection_of,
    net_load_at,
)
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.ledger import held_within, uncommitted_w
from vpp_streams.domain.market.rules import BidRefusedError, check_bid

_ROUNDING_W = 1.0


def sound_bid(inputs: CycleInputs, decided: Bid) -> Bid:
    """The bid without power that is sold already; a safe bid where the market would refuse it."""
    try:
        # Read as the market does: a number that JSON does not have would make it no record.
        check_bid(decode_json(encode_json(decided), Bid), inputs.rules, inputs.now_ms)
    except (BidRefusedError, *UNREADABLE) as error:
        return safe_bid(inputs, (f"the decision was no bid: {error}",))
    if inputs.storage is None or inputs.stored_wh is None:
        return decided
    connection, _ = connection_of(inputs)
    awards, net = at_batteries(inputs.awards, connection), net_load_at(connection, inputs)
    least_w, most_w = uncommitted_w(
        decided, inputs.now_ms, inputs.storage, inputs.stored_wh, awards
    )
    if net is not None:
        least_w, most_w = least_w - float(net.expected_w[0]), most_w - float(net.expected_w[0])
    offer = held_within(decided.energy, least_w - _ROUNDING_W, most_w + _ROUNDING_W)
    if offer == decided.energy:
        return decided
    faults = (*decided.faults, f"cut to {least_w:.0f}..{most_w:.0f} W: the rest is sold already")
    return msgspec.structs.replace(decided, energy=offer, faults=faults)
