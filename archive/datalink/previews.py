"""``/previews/<path>.png`` and ``/thumbnails/<path>.png``: pictures of the image at ``/files/<path>``."""

from __future__ import annotations

from flask import Blueprint, Response, request

from archive.backbone.previews import VERSION, Previews, Size
from archive.datalink.given import Given, is_proprietary
from archive.faults import NotFound
from archive.ledger.holdings import Holding

_PNG = ".png"
_AN_HOUR = "public, max-age=3600"  # then caches ask whether the file still is there


class PreviewsFace:
    """Gives away pictures of files to those who may have the files."""

    def __init__(self, given: Given, previews: Previews) -> None:
        self._given = given
        self._previews = previews

    def blueprint(self) -> Blueprint:
        """Both sizes, relative to the public URL."""
        face = Blueprint("previews", __name__)
        face.add_url_rule("/previews/<path:path>", "preview", self.preview, methods=["GET"])  # and HEAD
        face.add_url_rule("/thumbnails/<path:path>", "thumbnail", self.thumbnail, methods=["GET"])
        return face

    def preview(self, path: str) -> Response:
        """A picture to look at."""
        return self._answer(path, Size.PREVIEW)

    def thumbnail(self, path: str) -> Response:
        """A picture for a list."""
        return self._answer(path, Size.THUMBNAIL)

    def _answer(self, path: str, size: Size) -> Response:
        if not path.endswith(_PNG):
            raise NotFound("There is nothing at this address.", f"A picture's address ends with {_PNG}.")
        held = self._given.find(path.removesuffix(_PNG))
        headers = _about(held, size)
        if request.if_none_match.contains_weak(headers["ETag"].strip('"')):
            return Response(status=304, headers=headers)
        return Response(self._previews.picture(held, size), headers=headers, content_type="image/png")


def _about(held: Holding, size: Size) -> dict[str, str]:
    headers = {"ETag": f'"{held.sha256}-{size.name.lower()}-{VERSION}"', "X-Content-Type-Options": "nosniff"}
    if is_proprietary(held):
        return headers | {"Cache-Control": "private, no-cache", "Vary": "Authorization"}
    return headers | {"Cache-Control": _AN_HOUR}
