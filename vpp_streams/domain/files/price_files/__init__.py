"""Readers of price files: what the prices are, and a report of all that was found and done."""
