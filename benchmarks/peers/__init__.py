"""The telemetry job of ingest and fleet beside what others build for it: Kafka Streams."""
