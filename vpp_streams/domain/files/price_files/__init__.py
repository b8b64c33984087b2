"""Readers of price files: prices by zone, and a report of what was found and done."""
