"""Layouts of the jobs."""
