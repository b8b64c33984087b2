"""``vpp edge check``: whether a home is set up well, before it takes part."""
