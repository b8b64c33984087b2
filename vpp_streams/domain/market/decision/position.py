"""Step 1: what the region can offer in the interval, after its reserve and what it already sold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from schemas.market import Product
from vpp_streams.domain.market.clearing import UP
from vpp_streams.domain.market.connection import Connection, NetLoad, Tie
from vpp_streams.domain.market.cycle_inputs import CycleInputs, Usable
from vpp_streams.domain.market.decision.at_connection import (
    at_batteries,
    connection_of,
    firm_bounds,
    net_load_at,
)
from vpp_streams.domain.market.ledger import stored_at
from vpp_streams.domain.market.reserve import dependable
from vpp_streams.domain.market.rules import Storage
from vpp_streams.domain.market.value import feasible_power


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """A region at the start of the interval to bid for."""

    inputs: CycleInputs
    """The usable inputs, with awards as battery power."""
    faults: tuple[str, ...]
    """What was wrong with the inputs as given."""
    storage: Storage
    """The batteries, with their power cut to what the reserve policy leaves."""
    withheld_w: float
    """Discharge power that the reserve policy keeps back."""
    stored_wh: float
    """Expected energy above the owners' reserves at the interval's start."""
    connection: Connection | None = None
    """None in a market that is metered at the battery."""
    net_load: NetLoad | None = None
    """Of the interval, at the connection."""

    @property
    def tie(self) -> Tie | None:
        """What battery power in the interval means at the connection."""
        if self.connection is None:
            return None
        return self.connection.ties(self.inputs.start_ms, self.inputs.rules.interval_ms, 1)[0]

    @property
    def stranded(self) -> bool:
        """Whether the market is metered at the connection, and the net load is not known."""
        return self.connection is None and self.inputs.rules.metered_at == "connection"

    @property
    def can_trade(self) -> bool:
        """Whether the batteries hold any energy and can move it, and the net load is known."""
        return (
            not self.stranded
            and self.storage.energy_wh > 0
            and self.storage.discharge_w + self.storage.charge_w > 0
        )


@dataclass(frozen=True, slots=True)
class Room:
    """Power to offer within; both >= 0."""

    up_w: float
    down_w: float


def position_of(sound: Usable) -> Position:
    """The region's position under its reserve policy, once earlier awards are delivered."""
    connection, unknown = connection_of(sound.inputs)
    inputs = replace(sound.inputs, awards=at_batteries(sound.inputs.awards, connection))
    held = dependable(sound.storage, inputs.delivered, inputs.reserve)
    return Position(
        inputs=inputs,
        faults=(*sound.faults, *unknown),
        storage=held.storage,
        withheld_w=held.withheld_w,
        stored_wh=stored_at(
            inputs.start_ms, inputs.now_ms, held.storage, sound.stored_wh, inputs.awards
        ),
        connection=connection,
        net_load=net_load_at(connection, inputs),
    )


def unsold_room(position: Position) -> Room:
    """Power of the interval that no other auction sold; buying back does not add room."""
    inputs, storage = position.inputs, position.storage
    sold_w, bought_w, up_w, down_w = 0.0, 0.0, 0.0, 0.0
    for award in inputs.awards:
        if award.start_ms == inputs.start_ms:
            taken = both_ways(award.capacity_w)
            sold_w += max(award.energy_w, 0.0)
            bought_w += max(-award.energy_w, 0.0)
            up_w, down_w = up_w + taken.up_w, down_w + taken.down_w
    if not (sold_w or bought_w or up_w or down_w):
        return Room(storage.discharge_w, storage.charge_w)
    ends = np.array([-storage.charge_w, storage.discharge_w])
    least_w, most_w = feasible_power(
        ends, position.stored_wh, storage, inputs.rules.interval_h
    ).tolist()
    return Room(max(most_w - sold_w - up_w, 0.0), max(-least_w - bought_w - down_w, 0.0))


def offered_bounds(position: Position, least_w: float, most_w: float) -> tuple[float, float]:
    """Battery powers between which to offer, of those that nothing else sold.

    At the connection they are what the stored energy allows and the net load leaves firm.
    """
    if position.connection is None or position.net_load is None:
        return least_w, most_w
    ends = np.array([least_w, most_w])
    interval_h = position.inputs.rules.interval_h
    low_w, high_w = feasible_power(ends, position.stored_wh, position.storage, interval_h).tolist()
    return firm_bounds(position.connection, position.net_load, low_w, high_w)


def both_ways(capacity_w: Mapping[Product, float]) -> Room:
    """The sums of capacity upwards and downwards."""
    up_w = sum(power_w for product, power_w in capacity_w.items() if product in UP)
    return Room(up_w, sum(capacity_w.values()) - up_w)
