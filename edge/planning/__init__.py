"""The home's own plan in the agent: its tariff, what it has learnt, and the thread that plans."""
