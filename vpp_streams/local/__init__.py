"""The complete system on one machine: broker, processes, demo, checks."""
