"""A home's own plan for its battery: what the home does while nobody commands it.

`Forecaster` learns the home's load and solar power; `plan` turns prices and that forecast into the
value of stored energy by step; `Plan.power_w` reads the battery's power from it, each second, with
the load and the solar power measured then.
"""
