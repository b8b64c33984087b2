"""The ledger as values: blocks of entries, closed months, payouts and the bank's file."""
