"""The codecs of a process: each loaded once, when it is needed, and none carried over a fork.

Libraries below torch have threads and locks that do not survive a fork.  A child that meets a lock held by a thread
which it does not have, or that waits for the threads of its parent's OpenMP, waits for ever.  So a fork waits until
the codecs are at rest, and the child begins anew, with codecs of its own and one thread.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gancodec.registry import CODECS_VARIABLE, ModelEntry, for_model_id

if TYPE_CHECKING:
    from gancodec.codec import Codec


class ProcessCodecs:
    """One for each process; ``CODECS`` is it."""

    def __init__(self) -> None:
        self._begin()
        self._codecs: dict[tuple[Path, str], tuple[int, Codec]] = {}
        self._entries: dict[tuple[bytes, str | None], ModelEntry] = {}
        self._of_parents: list[object] = []
        self._torch_was_forked = False

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a thread may fork while it holds it
        self._forking: int | None = None
        """The thread that holds the lock for a fork."""
        self._no_fork_waits = threading.Event()
        self._no_fork_waits.set()

    def entry_for(self, model_id: bytes) -> ModelEntry:
        """The weights for a file, looked for in folders once.  Raises ModelError."""
        key = (model_id, os.environ.get(CODECS_VARIABLE))
        if key not in self._entries:
            self._entries[key] = for_model_id(model_id)
        return self._entries[key]

    @contextmanager
    def use(self, entry: ModelEntry, device: str) -> Iterator[Codec]:
        """A codec, for this thread alone in the block.  Loaded again if its file has changed.  Raises as Codec.load."""
        self._no_fork_waits.wait()  # locks are not fair: a fork would wait for long while threads go on decoding
        with self._lock:
            from gancodec.codec import Codec

            if self._torch_was_forked:
                import torch

                torch.set_num_threads(1)
                device = "cpu" if device == "auto" else device  # CUDA does not survive a fork either
            changed_ns = entry.path.stat().st_mtime_ns if entry.path.exists() else 0
            kept = self._codecs.get((entry.path, device))
            if kept is None or kept[0] != changed_ns:
                kept = self._codecs[entry.path, device] = (changed_ns, Codec.load(entry.path, device))
            yield kept[1]

    def before_fork(self) -> None:
        """Wait until no codec is at work, and keep it so."""
        self._no_fork_waits.clear()
        self._lock.acquire()
        self._forking = threading.get_ident()

    def after_fork_in_parent(self) -> None:
        """Go on; also where Ctrl-C came while the fork was waiting, which forks all the same."""
        if self._forking == threading.get_ident():
            self._forking = None
            self._lock.release()
        self._no_fork_waits.set()

    def after_fork_in_child(self) -> None:
        """Begin anew.  What the parent had is never freed: that could call a driver which was not made for a child."""
        self._begin()
        self._of_parents.append(self._codecs)
        self._codecs = {}
        self._torch_was_forked = self._torch_was_forked or "torch" in sys.modules


CODECS: Final = ProcessCodecs()

if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(
        before=CODECS.before_fork,
        after_in_parent=CODECS.after_fork_in_parent,
        after_in_child=CODECS.after_fork_in_child,
    )
