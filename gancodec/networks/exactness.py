"""A region in which float32 means float32, whatever the calling program has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter

import torch

SWITCHES = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Autocast off and IEEE float32 in matrix products on CUDA, cuDNN and oneDNN; the caller's settings come back.

    TF32 and bf16 keep 10 and 7 bits: sums of integers up to 2^24 would not survive them.
    """
    # The per-backend switches are read and written as they are: torch forbids mixing them with the older flags.
    backends = [attrgetter(name)(torch.backends) for name in SWITCHES]
    before = [backend.fp32_precision for backend in backends]
    with ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if kind == "cpu" or torch.cuda.is_available():
                stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            for backend in backends:
                backend.fp32_precision = "ieee"
            yield
        finally:
            for backend, value in zip(backends, before, strict=True):
                backend.fp32_precision = value
