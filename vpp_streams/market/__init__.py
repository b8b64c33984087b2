"""The processes that trade: the optimizer, and a simulated market to trade with."""
