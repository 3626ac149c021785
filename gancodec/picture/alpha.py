"""The alpha plane as bytes for the container's ALPH chunk: lossless WebP or PNG, whichever is smaller.

PNG holds one grey plane of 8 bits; WebP has no grey, so its three colour planes are equal. Readers accept no other
kind of either, so that every file has one meaning. Axes: H rows, W columns.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import ConfigError, CorruptError, GancodecError
from gancodec.picture.pillow_guard import pillow_errors, pixel_limit

_WEBP_MAX_SIDE_PX = 16_383
_PNG_GREY_8_BIT = b"\x08\x00"  # bit depth and colour type in IHDR
_PNG_KIND_AT = slice(24, 26)
_WEBP_LOSSLESS = b"VP8L"  # the first chunk behind RIFF, size and WEBP
_WEBP_KIND_AT = slice(12, 16)


def encode_alpha(alpha_HW: NDArray[np.uint8]) -> bytes:
    """Encode opacity, uint8 [H, W] in 0..255, without loss. Raises ConfigError for other arrays."""
    if alpha_HW.dtype != np.uint8 or alpha_HW.ndim != 2 or 0 in alpha_HW.shape:
        raise ConfigError(f"alpha is {alpha_HW.dtype} {alpha_HW.shape}", hint="give uint8 [H, W], H and W > 0")
    image = Image.fromarray(np.ascontiguousarray(alpha_HW))
    png = io.BytesIO()
    image.save(png, "png", compress_level=9)
    if max(image.size) > _WEBP_MAX_SIDE_PX:
        return png.getvalue()
    webp = io.BytesIO()
    image.save(webp, "webp", lossless=True, exact=True, quality=75, method=4)
    return min(webp.getvalue(), png.getvalue(), key=len)


def decode_alpha(data: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """Decode opacity, uint8 [H, W] in 0..255; `width` and `height` are those of the picture, in pixels.

    The size is compared before pixels are decoded, and only the PNG and WebP decoders see the data. Raises
    CorruptError for any other size or kind and for damaged data.
    """
    try:
        with (
            pixel_limit(width * height),
            pillow_errors("alpha"),
            Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as image,
        ):
            _check_kind(image, data, width=width, height=height)
            samples: NDArray[np.uint8] = np.array(image)
    except CorruptError:
        raise
    except GancodecError as exc:
        raise CorruptError(exc.message, hint="the alpha chunk is damaged: get the file again") from exc
    if samples.ndim == 3:
        if (samples[..., 0] != samples[..., 1]).any() or (samples[..., 0] != samples[..., 2]).any():
            raise CorruptError("alpha: is a coloured WebP", hint="the planes must be equal")
        samples = np.ascontiguousarray(samples[..., 0])
    return samples


def _check_kind(image: Image.Image, data: bytes, *, width: int, height: int) -> None:
    if image.size != (width, height):
        seen = f"{image.width}x{image.height}"
        raise CorruptError(f"alpha: is {seen} pixels, the picture {width}x{height}", hint="get the file again")
    if image.format == "WEBP":
        plain = image.mode == "RGB" and data[_WEBP_KIND_AT] == _WEBP_LOSSLESS
    else:
        plain = image.mode == "L" and data[_PNG_KIND_AT] == _PNG_GREY_8_BIT
    if not plain or getattr(image, "is_animated", False):
        raise CorruptError(f"alpha: {image.format} of mode {image.mode}", hint="it must be lossless and grey")
