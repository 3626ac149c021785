"""How much memory this process has used so far, at most; and whether there was too little."""

from __future__ import annotations

import sys
from typing import Final

HOST: Final = "process"


def peak_bytes() -> dict[str, int]:
    """Largest resident size, and what torch had allocated on each GPU; empty where the system does not say."""
    peaks: dict[str, int] = {}
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peaks[HOST] = peak if sys.platform == "darwin" else peak * 1024  # the kernel counts KiB, macOS bytes
    torch = sys.modules.get("torch")  # not loaded by those who measure classical codecs alone
    if torch is not None and torch.cuda.is_available():
        peaks |= {f"cuda:{index}": torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count())}
    return peaks


def is_out_of_memory(error: Exception) -> bool:
    """Whether this is what Python, or one of torch's allocators, says when there is no more."""
    # Of torch the GPU's allocator says the first, the CPU's the second.
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
