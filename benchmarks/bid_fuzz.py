"""Decisions on extremely bad inputs: each must be a bid that the market accepts.

    python -m benchmarks.bid_fuzz            # 100,000 cycles, about ten minutes

Inputs are missing, late, no numbers or absurd, the stored energy is outside of its limits, and
solvers have no time. Prints how many bids came from which rung of the ladder, what their prices
come from, and what was wrong with any; exit code 1 where one was.
"""

import argparse
import time
from collections import Counter

import numpy as np

from benchmarks.absurd_inputs import absurd_inputs, complaints
from vpp_streams.domain.market.decision.autobidder import Autobidder


def main(words: list[str] | None = None) -> None:
    """Run the fuzz cycles and print the counts."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cycles", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    args = options.parse_args(words)
    rng, bidder = np.random.default_rng(args.seed), Autobidder()
    rungs: Counter[str] = Counter()
    prices: Counter[str] = Counter()
    slacks: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    began = time.monotonic()
    for cycle in range(1, args.cycles + 1):
        inputs, clock = absurd_inputs(rng)
        bid, _ = bidder.decide(inputs, clock, 1.0)
        rungs[bid.rung] += 1
        prices[bid.offered_by] += 1
        slacks.update(bid.slacks)
        wrong.update(complaints(bid, inputs))
        if cycle % 5000 == 0:
            print(f"{cycle} cycles, {sum(wrong.values())} wrong", flush=True)
    print(f"{args.cycles} cycles in {time.monotonic() - began:.0f} s")
    print("rungs: ", dict(rungs.most_common()))
    print("prices:", dict(prices.most_common()))
    print("slacks:", dict(slacks.most_common()))
    print("wrong: ", dict(wrong.most_common(10)) or "none")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
