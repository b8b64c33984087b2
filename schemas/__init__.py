"""Contracts: what travels on each topic and over the device protocol."""
