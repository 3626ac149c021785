"""From an exception to what the user reads and the shell gets: the only place that decides it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from gancodec.errors import GancodecError, PictureError

TRACEBACK_VARIABLE: Final = "GANCODEC_TRACEBACK"
INTERNAL: Final = 1
SOME_FAILED: Final = 7


class InputError(PictureError):
    """The operating system does not let us read an input, of whatever kind it is."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is reported."""

    text: str
    """Message and hint, without the name of the input."""
    exit_code: int


def explain(error: Exception) -> Failure:
    """What to say about `error`, and the exit code it stands for."""
    if isinstance(error, GancodecError):
        return Failure(str(error), error.exit_code)
    reason = f"{type(error).__name__}: {error}".rstrip(": ")
    hint = "" if wants_traceback() else f"; set {TRACEBACK_VARIABLE}=1 for the traceback"
    return Failure(f"internal error: {reason}{hint}", INTERNAL)


def exit_code(failures: list[Failure], *, inputs: int, kept_going: bool) -> int:
    """The exit code of a run over `inputs` files of which those of `failures` failed."""
    if not failures:
        return 0
    return SOME_FAILED if kept_going and inputs > 1 else failures[0].exit_code


def wants_traceback() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0")
