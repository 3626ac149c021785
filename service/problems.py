"""Errors as the service tells them: problem+json (RFC 9457) with a stable ``code``."""

from __future__ import annotations

from typing import Any, ClassVar

from fastapi.responses import JSONResponse

from gancodec.errors import (
    ConfigError,
    FormatError,
    GancodecError,
    LimitError,
    MissingModelError,
    ModelError,
    NotGncError,
    PictureError,
    WrongModelError,
)

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Base of what the service itself refuses.  ``code`` stays the same as long as the path is /v1."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "The service failed"

    def __init__(self, detail: str, *, hint: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail, self.hint, self.headers = detail, hint, headers or {}


class BadParameter(Problem):
    status, code, title = 400, "parameter", "A parameter does not fit"


class Malformed(Problem):
    status, code, title = 400, "malformed", "The request is no HTTP"


class Unauthorised(Problem):
    status, code, title = 401, "unauthorised", "No valid key was given"


class NotAcceptable(Problem):
    status, code, title = 406, "not_acceptable", "No format that is accepted can be given"


class BodyTooSlow(Problem):
    status, code, title = 408, "slow_body", "The body took too long to come in"


class BodyTooLarge(Problem):
    status, code, title = 413, "body_too_large", "The body is too large"


class UnsupportedType(Problem):
    status, code, title = 415, "unsupported_type", "Files of this kind are not taken"


class BadPicture(Problem):
    status, code, title = 422, "picture", "The picture cannot be read"


class BadStream(Problem):
    status, code, title = 422, "stream", "The .gnc file cannot be opened"


class UnknownModel(Problem):
    status, code, title = 422, "model", "The .gnc file needs weights that are not here"


class TooManyPixels(Problem):
    status, code, title = 422, "too_many_pixels", "The picture has too many pixels"


class OutOfReach(Problem):
    status, code, title = 422, "out_of_reach", "The target cannot be reached"


class QueueFull(Problem):
    status, code, title = 429, "queue_full", "The service has as much work as it can carry"


class NotReady(Problem):
    status, code, title = 503, "not_ready", "The service is not ready"


class OutOfMemory(Problem):
    status, code, title = 503, "out_of_memory", "There was not enough memory for this picture"


class ClientGone(Problem):
    """Seen by the log alone."""

    status, code, title = 499, "client_gone", "The client went away"


class DeadlinePassed(Problem):
    status, code, title = 504, "deadline", "The answer took too long"


PROBLEMS: tuple[type[Problem], ...] = (
    BadParameter, Unauthorised, NotAcceptable, BodyTooSlow, BodyTooLarge, UnsupportedType, BadPicture, BadStream,
    UnknownModel, TooManyPixels, OutOfReach, QueueFull, NotReady, OutOfMemory, DeadlinePassed,
)  # fmt: skip
"""All that a client may meet."""


def not_started(failure: str) -> str:
    """Why there are no codecs, for everybody to read.  failure: "Kind: text", whose text names files of ours."""
    kind = failure.partition(":")[0]
    why = {
        MissingModelError.__name__: "the weights are not there",
        WrongModelError.__name__: "the weights are damaged, or none of gancodec",
        ConfigError.__name__: "the settings do not fit",
        "OutOfMemoryError": "there is not enough memory for the weights",
        MemoryError.__name__: "there is not enough memory for the weights",
    }.get(kind, "something unexpected happened")
    return f"the codecs could not be started: {why}"


def from_gancodec(error: GancodecError) -> Problem:
    """The problem that an error of the package is."""
    kinds: tuple[tuple[type[GancodecError], type[Problem]], ...] = (
        (NotGncError, UnsupportedType), (FormatError, BadStream), (ModelError, UnknownModel),
        (PictureError, BadPicture), (LimitError, TooManyPixels), (ConfigError, BadParameter),
    )  # fmt: skip
    for kind, problem in kinds:
        if isinstance(error, kind):
            return problem(error.message, hint=error.hint)
    return Problem("something unexpected happened")


def response(problem: Problem, request_id: str) -> JSONResponse:
    """As it goes over the wire."""
    return JSONResponse(as_dict(problem, request_id), problem.status, problem.headers, MEDIA_TYPE)


def as_dict(problem: Problem, request_id: str) -> dict[str, Any]:
    """The members of RFC 9457, and ours: code, hint, request_id."""
    members = {
        "type": f"urn:gancodec:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    return members | {"hint": problem.hint} if problem.hint else members
