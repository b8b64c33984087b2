"""What every process has: logs, health reports, a clock, its connection to Kafka."""
