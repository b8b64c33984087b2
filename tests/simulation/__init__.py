"""The shell on a simulated Kafka, simulated links and a virtual clock, seed after seed."""

PARTITIONS = 3
"""Of every site-keyed topic: each costs time, and three are enough to be shared out."""
