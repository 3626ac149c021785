"""A region in which float32 means float32, whatever the calling program has set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any

import torch

SWITCHES = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")
"""Places below torch.backends that hold ``fp32_precision``: "ieee", "tf32", "bf16" or "none"."""


class _Switches:
    """The process-wide settings: the first thread to enter saves them, the last to leave restores them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[str] = []

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = [backend.fp32_precision for backend in self._backends()]
                for backend in self._backends():
                    backend.fp32_precision = "ieee"
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for backend, value in zip(self._backends(), self._before, strict=True):
                    backend.fp32_precision = value

    @staticmethod
    def _backends() -> list[Any]:
        return [attrgetter(name)(torch.backends) for name in SWITCHES]


_switches = _Switches()


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Autocast off and IEEE float32 in matrix products on CUDA, cuDNN and oneDNN; the caller's settings come back.

    TF32 and bf16 keep 10 and 7 bits of a float's 23: the means would move ŷ visibly, and sums of integers up to 2^24
    would not survive an accumulator of that kind.  May be nested and entered by several threads.
    """
    with ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if kind == "cpu" or torch.cuda.is_available():
                stack.enter_context(torch.autocast(kind, enabled=False))
        _switches.enter()
        stack.callback(_switches.leave)
        yield
