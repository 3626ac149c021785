"""What the user sees of a refinement, and what Ctrl-C does to it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from gancodec.cli import report


class Refinement:
    """Stands between the networks, whose every iteration calls step(), and the user.

    As a context, around what refines: where the best so far is to be kept, the first Ctrl-C ends the refinement, and
    every further one does what it always does.  Outside of it Ctrl-C is Python's own.
    """

    def __init__(self, *, keeps: bool = False, is_long: bool = False) -> None:
        """keeps: the best so far after Ctrl-C.  is_long: so that iterations are worth being shown."""
        self.is_long = is_long
        self.is_ended = False
        """Whether Ctrl-C came, and was not answered by a KeyboardInterrupt."""
        self.was_cut_short = False
        """Whether iterations were left out for it."""
        self.show: Callable[[int, int], None] = lambda done, of: None
        """Called with iterations done, and of how many, where they are worth it."""
        self._keeps = keeps
        self._before: Any = None

    def step(self, done: int, of: int) -> bool:
        """Whether to go on, after `done` iterations of `of`."""
        if self.is_long:
            self.show(done, of)
        if self.is_ended and done < of:
            self.was_cut_short = True
        return not self.is_ended

    def __enter__(self) -> Refinement:
        # Other threads cannot set a handler, and one that is not Python's own is somebody's decision: such as that of a
        # shell that has us ignore the signal in the background.
        is_ours = threading.current_thread() is threading.main_thread()
        if self._keeps and is_ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            # A second Ctrl-C just before this leaves our handler behind, which answers all others as Python would.
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.is_ended:
            raise KeyboardInterrupt
        self.is_ended = True
        with suppress(OSError, RuntimeError, ValueError):  # whatever was interrupted may have been writing there
            report.say("ending the refinement; the best so far is kept, unless Ctrl-C comes again")
