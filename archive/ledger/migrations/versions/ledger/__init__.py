"""Layouts of the ledger."""
