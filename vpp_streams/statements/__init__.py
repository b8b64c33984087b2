"""Statements read from the ledger, and written as PDF."""
