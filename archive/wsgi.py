"""``archive.wsgi:app`` for any WSGI server; settings come from ``ARCHIVE_*``. Load it after forking, not before."""

from archive.app import create_app
from archive.config import Config

app = create_app(Config.load())
