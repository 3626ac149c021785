"""Standard output, which may be full or closed by its reader, at any write or only when it is flushed."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from gancodec.errors import OutputError


def write_text(text: str) -> None:
    """Write text.  Raises OutputError, or BrokenPipeError if nobody reads it any more."""
    with _errors_explained():
        _open().write(text)


def write_bytes(data: bytes) -> None:
    """Write binary data, at once.  Raises as write_text does."""
    rest = memoryview(data)
    with _errors_explained():
        # With PYTHONUNBUFFERED this is the bare file, whose writes may take a part only, or none for the moment.
        binary = _open().buffer
        while rest:
            taken = binary.write(rest)
            if taken is None:
                select.select([], [binary], [])
            else:
                rest = rest[taken:]
        binary.flush()


def flush() -> None:
    """Write what is buffered.  Raises as write_text does."""
    with _errors_explained():
        _open().flush()


def discard() -> None:
    """Send what is left in the buffer nowhere, or the interpreter complains about it at its exit."""
    with suppress(OSError, ValueError):  # in tests stdout is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open() -> TextIO:
    """Standard output, unless whoever started us has closed it."""
    # The type says that it is always there; Python says None.
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise OutputError("standard output is closed", hint="use -o FILE")
    return stream


@contextmanager
def _errors_explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        discard()
        raise OutputError(f"cannot write to standard output: {exc.strerror}", hint="free some space") from exc
