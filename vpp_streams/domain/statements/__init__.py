"""Statements for owners: what each event and each month earned, with the arithmetic."""
