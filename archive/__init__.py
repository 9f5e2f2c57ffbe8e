"""An astronomical archive service: register, replicate and publish files and catalogs per release.

The floors of the house, and which module stands on which, are told in ``docs/architecture.md`` and held
by ``tests/test_floors.py``.
"""

__version__ = "0.1.0"
