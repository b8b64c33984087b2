"""Recordings of telemetry: written, read again, and played into a namespace of their own."""
