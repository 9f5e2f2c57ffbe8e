"""Engines: everything that turns a bound tree into rows. Nothing above this room knows which engine runs."""
