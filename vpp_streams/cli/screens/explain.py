"""An explanation for a terminal: tables and sentences."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas.market import Bid, EnergyOffer, OfferedBy, Product, Step
from vpp_streams.market.explanation import Explanation

_PRODUCTS: dict[Product, str] = {
    "energy": "energy",
    "reg_up": "regulation up",
    "reg_down": "regulation down",
    "reserve": "contingency reserve",
}
_WHY_RUNG = {
    "coarse_lp": "There was no time for a plan in fine steps: it was made in coarse steps.",
    "last_plan": "There was no time for a new plan: the previous one was used.",
    "value_rule": "There was no plan: the value of stored energy decided alone.",
    "safe": "Nothing could be decided soundly, so nothing was offered.",
}


def explanation_text(explanation: Explanation) -> RenderableType:
    """The complete explanation, top to bottom."""
    bid = explanation.bid
    head = Text(f"{bid.bid_id}  ", "bold")
    head.append(
        f"{bid.region} in market {bid.market}, {_at(bid.start_ms)} for"
        f" {bid.interval_ms / 60_000:g} min; made {_at(bid.made_at_ms)}, gate {_at(bid.gate_ms)}"
    )
    same = Text("A repeated decision from the same inputs is the same.", "green")
    if explanation.differs:
        same = Text(
            f"Decided again, it differs in {'; '.join(explanation.differs)}.", "bold yellow"
        )
    parts: list[RenderableType] = [
        head,
        Text(""),
        _inputs(explanation),
        Text(""),
        _curve(bid.energy),
    ]
    if bid.capacity:
        parts += [Text(""), _capacity(bid)]
    parts += [Text(""), Text("Why", "bold"), *(Text(f"  {line}") for line in why(explanation))]
    parts += [Text(""), Text("Outcome", "bold"), _outcome(explanation), Text(""), same]
    parts += [Text(f"Inputs are missing: {line}", "yellow") for line in explanation.lost]
    return Group(*parts)


_WHY_QUIET: Mapping[OfferedBy, str] = {
    "last_day": "Supply is not tight: cheap and dear are those of the last day's prices, whatever"
    " the plan says.",
    "time_of_day": "Supply is not tight, and the last days were alike: cheap and dear are the times"
    " of day that were so on them, whatever the plan says.",
}


def why(explanation: Explanation) -> list[str]:
    """Why the bid is as it is, in sentences."""
    bid = explanation.bid
    return [*_why_connection(bid), *_why_offer(_of_batteries(bid)), *_why_limits(explanation)]


def _why_offer(bid: Bid) -> Iterator[str]:
    offer, quiet = bid.energy, bid.offered_by != "value"
    sells = next((s for s in offer.steps if s.power_w > 0), None)
    rests = next((s for s in offer.steps if s.power_w >= 0), None)
    if not offer.steps and abs(offer.below_w) < 1:
        yield "It offers no energy at any price."
    elif not offer.steps:
        yield f"It {_does(offer.below_w)} at any price."
    if sells is not None:
        why = "that is dear" if quiet else "below that, a MWh is worth more later"
        most = _most(offer, sells)
        yield f"It sells {_power(sells.power_w)} from {sells.price:.2f} on: {why}{most}."
    if offer.below_w < 0 and rests is not None:
        why = "that is cheap" if quiet else "what is stored then is worth more later"
        yield (
            f"It buys up to {_power(-offer.below_w)} while a MWh costs less than"
            f" {rests.price:.2f}: {why}."
        )
    if quiet:
        yield _WHY_QUIET[bid.offered_by]
    if bid.expected_price is not None:
        yield (
            f"It expects a price of {bid.expected_price:.2f} and with it {_does(bid.expected_w)}."
        )
    if bid.rung in _WHY_RUNG:
        yield _WHY_RUNG[bid.rung]


def _most(offer: EnergyOffer, sells: Step) -> str:
    """The most that is sold, and from which price on, where that is more than is sold first."""
    last = offer.steps[-1]
    more = last.power_w > sells.power_w
    return f" (all of {_power(last.power_w)} from {last.price:.2f})" if more else ""


def _why_limits(explanation: Explanation) -> Iterator[str]:
    bid = explanation.bid
    if bid.withheld_w > 0:
        yield (
            f"{_power(bid.withheld_w)} are withheld: the fleet delivered less than its awards"
            f" lately; at the expected price that costs {bid.withheld_cost:.2f} {bid.currency}."
        )
    elif explanation.inputs.discharge_w:
        yield "Nothing is withheld: the full capability that the fleet reports is used."
    if explanation.inputs.open_awards:
        one = explanation.inputs.open_awards == 1
        yield (
            f"{explanation.inputs.open_awards} {'interval was' if one else 'intervals were'} sold"
            " already and not over: their energy was left out of the offer."
        )
    yield from (f"{name} could not be kept, by {far:g}." for name, far in bid.slacks.items())
    yield from (f"{fault[:1].upper()}{fault[1:]}." for fault in bid.faults)


def _why_connection(bid: Bid) -> Iterator[str]:
    if bid.metered_at == "battery":
        return
    yield (
        "It is the net position at the grid connections: batteries, less load, plus solar power."
        " What follows is about the batteries in it."
    )
    net_w, low_w, high_w = bid.net_load_w, bid.net_load_low_w, bid.net_load_high_w
    if net_w is None or low_w is None or high_w is None:
        return
    yield (
        f"Homes are expected to draw {_power(net_w)} net of solar power, and between"
        f" {_power(low_w)} and {_power(high_w)} in eight of ten cases: the batteries keep"
        f" {_power(high_w - net_w)} of discharge and {_power(net_w - low_w)} of charge free for"
        " that."
    )
    if bid.import_limit_w is not None:
        yield f"The connections take no more than {_power(bid.import_limit_w)} together."
    if bid.export_limit_w is not None:
        yield f"The connections give no more than {_power(bid.export_limit_w)} together."


def _of_batteries(bid: Bid) -> Bid:
    """The bid with the battery power that is in its powers."""
    net_w = bid.net_load_w or 0.0
    steps = tuple(Step(step.price, step.power_w + net_w) for step in bid.energy.steps)
    return msgspec.structs.replace(
        bid,
        energy=EnergyOffer(bid.energy.below_w + net_w, steps),
        expected_w=bid.expected_w + net_w,
    )


def _inputs(explanation: Explanation) -> Table:
    given, bid = explanation.inputs, explanation.bid
    table = Table("Inputs", "", box=None, pad_edge=False, header_style="bold")
    table.add_row("stored above the reserves", _energy(given.stored_wh, given.energy_wh))
    table.add_row("capability", f"{_power(given.discharge_w)} up, {_power(given.charge_w)} down")
    table.add_row("at the interval's start", _energy(bid.stored_wh, given.energy_wh))
    table.add_row(
        "withheld reserve",
        f"{_power(bid.withheld_w)}, costs {bid.withheld_cost:.4g} {bid.currency}",
    )
    newest = "none is known"
    if given.newest_price is not None and given.newest_price_ms is not None:
        newest = (
            f"{given.prices}, the newest {given.newest_price:.2f} at {_at(given.newest_price_ms)}"
        )
    table.add_row("prices", newest)
    table.add_row("faults", "; ".join(bid.faults) or "none")
    read = ", ".join(f"{count} of {name}" for name, count in sorted(given.records.items()))
    table.add_row("records read", read or "none: the bid names no inputs")
    table.add_row(
        "decided by", f"{bid.rung} in {bid.solve_ms:.1f} ms (again: {explanation.again.rung} in"
        f" {explanation.again.solve_ms:.1f} ms)"
    )  # fmt: skip
    return table


def _curve(offer: EnergyOffer) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Offer: price", justify="right")
    table.add_column("power", justify="right")
    below = f"below {offer.steps[0].price:.2f}" if offer.steps else "any"
    table.add_row(below, _does(offer.below_w))
    for step in offer.steps:
        table.add_row(f"from {step.price:.2f}", _does(step.power_w))
    return table


def _capacity(bid: Bid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Capacity")
    table.add_column("power", justify="right")
    table.add_column("from, per MW and hour", justify="right")
    for offer in bid.capacity:
        table.add_row(_PRODUCTS[offer.product], _power(offer.power_w), f"{offer.price:.2f}")
    return table


def _outcome(explanation: Explanation) -> RenderableType:
    outcome, lines = explanation.became, list[str]()
    price = "" if outcome.price is None else f" at a price of {outcome.price:.2f}"
    if outcome.refusal is not None:
        lines.append(f"refused: {outcome.refusal.reason}")
    elif outcome.award is None:
        lines.append(
            f"no award is known yet{f'; the price is {outcome.price:.2f}' if price else ''}"
        )
    else:
        taken = [f"{_power(w)} {_PRODUCTS[p]}" for p, w in outcome.award.capacity_w.items()]
        lines.append("; ".join([f"awarded{price}: it {_does(outcome.award.energy_w)}", *taken]))
    if outcome.shortfall is not None:
        because = _precedence(outcome.shortfall.overridden_by)
        lines.append(f"a shortfall of {_power(outcome.shortfall.missing_w)} was announced{because}")
    delivery = outcome.delivery
    if delivery is not None:
        off_w = abs(delivery.measured_w - delivery.awarded_w)
        share = f" ({off_w / abs(delivery.awarded_w):.1%} off)" if delivery.awarded_w else ""
        lines.append(
            f"delivered {_power(delivery.measured_w)} of {_power(delivery.awarded_w)}{share},"
            f" measured over {delivery.coverage:.0%} of the interval"
        )
        if delivery.overridden_s:
            lines.append(
                f"for {delivery.overridden_s:.0f} s of it"
                f" {_names(delivery.overridden_by)} took precedence: that time does not count"
                " against the fleet"
            )
        lines.append(f"earned {delivery.money:.4f} {delivery.currency}")
    return Group(*(Text(f"  {line}") for line in lines))


def _precedence(by: Sequence[str]) -> str:
    return f": {_names(by)} took precedence" if by else ""


def _names(ids: Sequence[str]) -> str:
    return f"{'request' if len(ids) == 1 else 'requests'} {', '.join(ids)}"


def _does(power_w: float) -> str:
    if abs(power_w) < 0.5:
        return "rests"
    return f"{'sells' if power_w > 0 else 'buys'} {_power(abs(power_w))}"


def _power(power_w: float | None) -> str:
    if power_w is None:
        return "not known"
    for size, unit in ((1e6, "MW"), (1e3, "kW")):
        if abs(power_w) >= size:
            return f"{power_w / size:,.2f} {unit}"
    return f"{power_w:.0f} W"


def _energy(stored_wh: float | None, energy_wh: float | None) -> str:
    if stored_wh is None:
        return "not known"
    room = "" if energy_wh is None else f" of {energy_wh / 1000:,.1f} kWh"
    return f"{stored_wh / 1000:,.1f}{'' if room else ' kWh'}{room}"


def _at(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000).astimezone():%d %b %H:%M:%S %Z}"
