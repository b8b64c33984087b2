"""Bids, awards, deliveries: what a region sells, and what it is worth."""
