"""Who is to blame: the kinds of fault, each with what people and programs need to act on it.

A fault is raised where the cause is known and caught only where something is done about it: at a face
(which turns it into the error form of its standard), in the command line (exit code) or in a job.
The words are those of DALI 1.1 section 4.2 and SIA 2.0 section 2.3.
"""

from __future__ import annotations

from typing import ClassVar


class Fault(Exception):
    """A failure told in words a person can act on.

    ``message`` says what is wrong and where; ``remedy`` what to do about it (may be empty). Both are
    meant for users: they never hold a stack trace or a database's own message.
    """

    dali: ClassVar[str] = "DefaultFault"
    http: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70
    retry: ClassVar[bool] = False

    def __init__(self, message: str, remedy: str = "", *, http: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self._http = http

    @property
    def status(self) -> int:
        """The HTTP status: the kind's own, unless this fault was given a more exact one (413, 429, ...)."""
        return self._http or self.http

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageFault(Fault):
    """The caller's input is wrong; the same call will fail again."""

    dali = "UsageFault"
    http = 400
    exit_code = 2


class NotFound(Fault):
    """What was asked for does not exist, or the caller may not know that it does."""

    dali = "NotFoundFault"
    http = 404
    exit_code = 3


class NotAuthenticated(Fault):
    """Nobody knows who asks, and not everybody may; ``presented`` if they said who they are and it is not so."""

    dali = "AuthenticationFault"
    http = 401
    exit_code = 77

    def __init__(self, message: str, remedy: str = "", *, presented: bool = False) -> None:
        super().__init__(message, remedy)
        self.presented = presented


class NotAuthorized(Fault):
    """Who asks is known, and may not."""

    dali = "AuthorizationFault"
    http = 403
    exit_code = 77


class TransientFault(Fault):
    """The service cannot answer now; the same call may succeed later."""

    dali = "TransientFault"
    http = 503
    exit_code = 75
    retry = True

    def __init__(self, message: str, remedy: str = "", *, http: int | None = None, after: int = 5) -> None:
        super().__init__(message, remedy, http=http)
        self.after = after  # seconds, for Retry-After


class FatalFault(Fault):
    """The service is at fault; people who run it have to act."""

    dali = "FatalFault"
