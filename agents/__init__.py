"""Thin Faust agents: read a topic, call the domain, publish what it answers."""
