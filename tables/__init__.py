"""Hot state as numpy columns in blocks, kept safe in a changelog."""
