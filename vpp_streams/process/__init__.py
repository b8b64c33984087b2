"""What every process has: logs, health reports, private files, and its connection to Kafka."""
