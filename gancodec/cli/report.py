"""What the user sees: messages as single lines on stderr, data as lines on stdout."""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from gancodec.cli import stdout
from gancodec.cli.failures import Failure, explain, wants_traceback
from gancodec.errors import DamagedMetadataWarning


def say(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(_one_line(f"gancodec: {text}", sys.stderr))


def error(label: str | None, error: Exception) -> Failure:
    """Say on stderr what went wrong with the input `label` (None: with no input in particular)."""
    if wants_traceback():
        traceback.print_exception(error)
    failure = explain(error)
    say(f"error: {_labelled(label, failure.text)}")
    return failure


def warn(label: str, message: str) -> None:
    """Say on stderr what is worth knowing about the input `label`."""
    say(f"warning: {_labelled(label, message)}")


def data(text: str) -> None:
    """One line on stdout."""
    stdout.write_text(_one_line(text, sys.stdout))


def json_line(row: Mapping[str, Any]) -> None:
    """One JSON object on stdout, at once, so that a reader can follow a long run."""
    stdout.write_text(json.dumps(row, allow_nan=False) + "\n")
    stdout.flush()


@contextmanager
def warnings_about(label: str) -> Iterator[None]:
    """Show Python's warnings in this block as our messages about the input `label`.

    UserWarnings are shown for every file anew; which others are shown is left to Python's own filters.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.simplefilter("always", DamagedMetadataWarning)
        warnings.showwarning = _shown_by(lambda text: warn(label, text))
        yield


_heard: ContextVar[list[str] | None] = ContextVar("_heard", default=None)


@contextmanager
def collected_warnings() -> Iterator[None]:
    """In this block Python's UserWarnings of any thread go to the list that it is `listening` with, once each."""

    def hear(text: str) -> None:
        heard = _heard.get()
        if heard is None:
            say(f"warning: {text}")
        elif text not in heard:
            heard.append(text)

    # Filters are the whole process's: set once, not by each thread for itself.
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _shown_by(hear)
        yield


def _shown_by(tell: Callable[[str], None]) -> Callable[..., None]:
    """What Python calls for a warning."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        tell(str(message))

    return show


@contextmanager
def listening(heard: list[str]) -> Iterator[None]:
    """In this block, and this thread, warnings go to `heard`."""
    token = _heard.set(heard)
    try:
        yield
    finally:
        _heard.reset(token)


def _labelled(label: str | None, text: str) -> str:
    # The picture package names the input itself.
    return text if label is None or text.startswith(f"{label}: ") else f"{label}: {text}"


def _one_line(text: str, stream: TextIO | None) -> str:
    """`text` as a line for `stream`; file names in it may hold line feeds, escape sequences or half characters."""
    line = "".join(c if c.isprintable() else " " if c in "\n\t" else repr(c)[1:-1] for c in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"  # a closed standard stream is None
    return line.encode(encoding, "backslashreplace").decode(encoding) + "\n"
