"""What a picture is inside gancodec: 8-bit samples as they lie in the file, and the metadata that came with them.

Axes: H rows, W columns, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gancodec.errors import ConfigError

Mode = Literal["L", "LA", "RGB", "RGBA"]

EXIF_PREFIX = b"Exif\x00\x00"
"""What JPEG, and some WebP and PNG writers, put before the TIFF header. `Metadata.exif` never has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """Opaque bytes that travel with a picture. None means absent; empty is not allowed (ConfigError)."""

    icc: bytes | None = None
    """ICC colour profile. It describes how the samples look, so it fits the number of channels."""
    exif: bytes | None = None
    """EXIF from its TIFF header (``II*\\0`` or ``MM\\0*``) on, without the prefix ``Exif\\0\\0``."""
    xmp: bytes | None = None
    """XMP packet, usually UTF-8 XML."""

    def __post_init__(self) -> None:
        for name, value in (("icc", self.icc), ("exif", self.exif), ("xmp", self.xmp)):
            if value is not None and (not isinstance(value, bytes) or not value):
                raise ConfigError(f"metadata {name} is {value!r}", hint="give non-empty bytes, or None")
        if self.exif is not None and self.exif.startswith(EXIF_PREFIX):
            raise ConfigError(f"EXIF starts with {EXIF_PREFIX!r}", hint="give it from the TIFF header on")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """One picture of 8 bits a sample, straight (not premultiplied) alpha, pixels not turned by EXIF.

    Raises ConfigError unless the arrays are uint8, of matching non-empty shape, and C is 1 or 3.
    """

    colour_HWC: NDArray[np.uint8]
    """Samples in 0..255, [H, W, 1] grey or [H, W, 3] red, green, blue."""
    alpha_HW: NDArray[np.uint8] | None = None
    """Opacity in 0..255 (255 is opaque), [H, W]; None for pictures without alpha."""
    metadata: Metadata = field(default_factory=Metadata)
    left_out: tuple[str, ...] = ()
    """Kinds of metadata that the source had and that are not among it, such as "IPTC", as far as is known."""

    def __post_init__(self) -> None:
        colour, alpha = self.colour_HWC, self.alpha_HW
        _require_uint8(colour, "colour")
        if colour.ndim != 3 or colour.shape[2] not in (1, 3) or 0 in colour.shape:
            raise ConfigError(f"colour has the shape {colour.shape}", hint="give [H, W, 1] or [H, W, 3], H and W > 0")
        if alpha is not None:
            _require_uint8(alpha, "alpha")
            if alpha.shape != colour.shape[:2]:
                raise ConfigError(f"alpha is {alpha.shape}, colour {colour.shape}", hint="give both the same H and W")

    @property
    def mode(self) -> Mode:
        """Pillow's name for the channels: "L", "LA", "RGB" or "RGBA"."""
        if self.colour_HWC.shape[2] == 1:
            return "L" if self.alpha_HW is None else "LA"
        return "RGB" if self.alpha_HW is None else "RGBA"

    @property
    def rgb_HWC(self) -> NDArray[np.uint8]:
        """Three channels in any case: grey is repeated."""
        colour_HWC = self.colour_HWC
        return np.repeat(colour_HWC, 3, axis=2) if colour_HWC.shape[2] == 1 else colour_HWC

    @property
    def is_opaque(self) -> bool:
        """Whether there is no alpha, or nothing shows through it."""
        return self.alpha_HW is None or bool(self.alpha_HW.min() == 255)

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.colour_HWC.shape[1])

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.colour_HWC.shape[0])


def _require_uint8(array: object, what: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        seen = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ConfigError(f"{what} is {seen}", hint="give a numpy array of uint8")
