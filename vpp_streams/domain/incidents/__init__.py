"""Incidents: what rules measure, when they open and close one, and who is to be notified."""
