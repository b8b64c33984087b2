"""What a fleet gives of an award: its devices answer, or do not."""

from dataclasses import dataclass

import numpy as np

from schemas.market import Award
from vpp_streams.domain.market.backtest.imbalance import imbalance_per_mwh
from vpp_streams.domain.market.rules import MarketRules, Storage
from vpp_streams.domain.market.value import W_PER_MW, feasible_power, stored_after

ROUNDING = 1e-6
"""Share of the power that is a rounding error of a plan, and no imbalance."""


@dataclass(frozen=True, slots=True)
class Given:
    """One interval, delivered."""

    asked_w: float
    """Energy with what regulation calls for, within what is stored."""
    given_w: float
    stored_wh: float
    """After it."""
    money: float
    """Energy as awarded and capacity in proportion, less wear and the imbalance's cost."""
    imbalance_cost: float = 0.0
    """Part of it that what was awarded and not given cost, beyond the interval's price."""


class Fleet:
    """A fleet of equal devices, of which each answers with a chance in each interval."""

    def __init__(self, storage: Storage, devices: int, answers: float, seed: int) -> None:
        self._storage = storage
        self._devices = max(devices, 1)
        self._answers = answers
        self._seed = seed
        self._random = np.random.default_rng(seed)

    @property
    def always_answers(self) -> bool:
        """Whether each device answers each time."""
        return self._answers >= 1.0

    def reliable(self) -> "Fleet":
        """The same fleet, always answering."""
        return Fleet(self._storage, self._devices, 1.0, self._seed)

    def deliver(
        self,
        award: Award,
        stored_wh: float,
        rules: MarketRules,
        imbalance_price: float | None = None,
    ) -> Given:
        """What comes of an award from a stored energy; without a price see `imbalance_per_mwh`."""
        storage, hours = self._storage, rules.interval_h
        called = rules.reg_up_used * award.capacity_w.get("reg_up", 0.0)
        called -= rules.reg_down_used * award.capacity_w.get("reg_down", 0.0)
        wanted = np.clip(award.energy_w + called, -storage.charge_w, storage.discharge_w)
        asked = float(feasible_power(np.array([wanted]), stored_wh, storage, hours)[0])
        share = self._share_that_answers()
        given = float(np.clip(asked, -storage.charge_w * share, storage.discharge_w * share))
        after = float(stored_after(np.array([given]), stored_wh, storage, hours)[0])
        # Regulation is called by the operator: only what it called for can be missing.
        missing_w = award.energy_w + called - given
        missing_w = missing_w if abs(missing_w) > ROUNDING * storage.discharge_w else 0.0
        price = award.prices["energy"]
        cost = imbalance_per_mwh(missing_w, price, rules, imbalance_price)
        cost *= abs(missing_w) * hours / W_PER_MW
        return Given(
            asked_w=asked,
            given_w=given,
            stored_wh=min(max(after, 0.0), storage.energy_wh),
            money=self._money(award, given, share, rules) - cost,
            imbalance_cost=cost,
        )

    def _share_that_answers(self) -> float:
        """Of the devices, drawn for one interval, 0..1."""
        if self.always_answers:
            return 1.0
        return float(self._random.binomial(self._devices, self._answers)) / self._devices

    def _money(self, award: Award, power_w: float, share: float, rules: MarketRules) -> float:
        per_h = power_w * award.prices["energy"]
        per_h += share * sum(w * award.prices[product] for product, w in award.capacity_w.items())
        per_h -= self._storage.wear_per_mwh * max(power_w, 0.0)
        return per_h * rules.interval_h / W_PER_MW
