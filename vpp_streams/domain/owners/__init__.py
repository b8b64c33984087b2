"""What a home's owner sees and decides."""
