"""The whole system on one machine: broker, processes, demo, checks."""
