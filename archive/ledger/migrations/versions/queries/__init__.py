"""Layouts of the query log."""
