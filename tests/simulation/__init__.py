"""The shell on a simulated Kafka, with simulated links and a virtual clock, one seed after another."""

PARTITIONS = 3
"""Of every site-keyed topic: each costs time, and three are enough to be shared out."""
