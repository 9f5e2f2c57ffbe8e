"""Pairs in files: ADQL as examples, and the small schema they are written over."""
