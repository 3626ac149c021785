"""How much memory this process has used so far, at most."""

from __future__ import annotations

import sys

HOST = "process"


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
