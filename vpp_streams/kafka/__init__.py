"""Kafka as every process here uses it: clients made in one place, one way in and one way out."""
