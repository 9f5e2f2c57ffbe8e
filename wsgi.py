"""``wsgi:app`` for any WSGI server started in a checkout; where the package is installed it is ``archive.wsgi:app``."""

from archive.wsgi import app

__all__ = ["app"]
