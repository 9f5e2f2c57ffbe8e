"""Universal Worker Service 1.1: the face of jobs. One blueprint, for TAP, SODA and whatever else has jobs."""

from archive.uws.face import Waiting, anonymous, uws_blueprint

__all__ = ["Waiting", "anonymous", "uws_blueprint"]
