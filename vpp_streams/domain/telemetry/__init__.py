"""From what devices send to canonical readings, each taken once."""
