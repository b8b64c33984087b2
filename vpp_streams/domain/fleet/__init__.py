"""What the devices of a partition reported: twins, windows, regions."""
