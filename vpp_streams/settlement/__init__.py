"""The ledger: a database that is built from the entries and decisions in the log."""
