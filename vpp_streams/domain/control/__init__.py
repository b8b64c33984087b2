"""From the power requested of a region to the setpoint of each device, and its outcome."""
