"""A simulated fleet: pure, seeded physics behind real WebSocket clients."""
