"""From what is asked of a region to the setpoint of each device, and its outcome."""
