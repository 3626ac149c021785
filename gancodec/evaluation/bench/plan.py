"""What is to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PEERS: Final = (
    "bmshj2018-factorized",
    "bmshj2018-factorized-relu",
    "bmshj2018-hyperprior",
    "mbt2018-mean",
    "mbt2018",
    "cheng2020-anchor",
    "cheng2020-attn",
    "bmshj2018-hyperprior-vbr",
    "mbt2018-mean-vbr",
    "mbt2018-vbr",
)
"""Names of compressai.zoo.image_models, which would take seconds and torch to ask; a test compares them."""
DEFAULT_PEERS: Final = ("bmshj2018-hyperprior", "mbt2018-mean")
PEER_QUALITY: Final = 4
DEFAULT_QUALITY: Final = 56.0
"""Of ours: its price of bits is that of lambda 0.013, with which CompressAI trains quality 4."""
DEFAULT_SIZES: Final = ((768, 512), (4000, 3000))
MAX_SIDE_PX: Final = 16_384
"""That of gancodec.picture, which would load numpy and Pillow; a test compares them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One call of ``gancodec bench``."""

    codec: str
    """Name or path of the codec that is compared."""
    label: str
    """What tables call it."""
    quality: float | None
    """0 to 100; None for codecs of one rate."""
    effort: int | None
    """0 to 9; None for codecs of one rate."""
    device: str
    """``auto``, ``cpu`` or ``cuda``."""
    pictures: tuple[str, ...]
    """Paths; if there are none, pictures of ``sizes`` are generated."""
    sizes: tuple[tuple[int, int], ...]
    """Widths and heights in pixels."""
    batches: tuple[int, ...]
    threads: int | None
    """Of torch; None leaves them to it."""
    runs: int
    """Timed ones, after one warm-up."""
    peers: tuple[str, ...]
    memory: bool
    show_tracebacks: bool
    """Whether what children write on stderr is seen."""
