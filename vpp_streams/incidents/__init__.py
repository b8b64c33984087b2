"""The role ``incidents``: watches the system by rules, and notifies people."""
