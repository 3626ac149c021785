"""Pillow image <-> Picture: every mode becomes one of L, LA, RGB, RGBA.

L, LA, RGB, RGBA         as they are; a colour key (tRNS) becomes alpha
1                        L
P, PA                    RGB, or RGBA where palette, key or alpha say so
La, RGBa                 LA, RGBA (straight alpha)
CMYK                     RGB: sRGB by the embedded profile, which is then dropped
LAB, YCbCr, HSV, RGBX    RGB
I;16*, I, F, 16-bit RGB  refused, or reduced with convert_16_bit: see depth.py
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import ConfigError, LimitError, PictureError
from gancodec.picture.depth import Converted16BitWarning, is_deep, raw_mode, reduce_to_8_bit, with_colour_key
from gancodec.picture.metadata import info_of, left_out_of, metadata_of
from gancodec.picture.picture import Picture
from gancodec.picture.pillow_guard import pillow_errors, pixel_limit
from gancodec.picture.profiles import cmyk_to_rgb

MAX_SIDE_PX = 16_384
"""Default limit of both sides, that of the container's reader."""

_SINGLE_DESPITE_FRAMES = frozenset({"MPO", "PSD"})
"""MPO is how phones write JPEG with a second view or a gain map; the frames of PSD are layers of one picture."""
_KEY_SCALE = {"L;2": 85, "L;4": 17}
"""Grey PNG of 2 and 4 bits: Pillow scales the pixels to 0..255 but leaves the colour key in file units."""
_DEEP_HINT = (
    "pass --convert-16-bit (in Python convert_16_bit=True) to reduce it to 8 bits a sample, or save it with 8 bits"
)


def from_pillow(image: Image.Image, *, convert_16_bit: bool = False, max_side: int = MAX_SIDE_PX) -> Picture:
    """Take the pixels and the metadata (ICC, EXIF, XMP from `image.info`) of a Pillow image.

    max_side: greatest width and height, in pixels. With convert_16_bit, pictures of more than 8 bits a sample are
    reduced and Converted16BitWarning is issued; colour ones to the high byte (`read_picture` rounds, as it can read
    the file twice). Raises PictureError for deep, animated, empty or undecodable images, LimitError for large ones.
    """
    with pixel_limit(max_side * max_side):
        return convert_image(image, b"", name="image", convert_16_bit=convert_16_bit, max_side=max_side)


def to_pillow(picture: Picture) -> Image.Image:
    """Return a Pillow image of the picture's mode; `info` has `icc_profile`, `exif` and `xmp` where present."""
    image = pixels_to_pillow(picture)
    metadata = picture.metadata
    named = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    image.info.update({key: value for key, value in named.items() if value is not None})
    return image


def pixels_to_pillow(picture: Picture) -> Image.Image:
    """Return a Pillow image of the picture's mode without any metadata."""
    samples = picture.colour_HWC
    if picture.alpha_HW is not None:
        samples = np.dstack([samples, picture.alpha_HW])
    return Image.fromarray(np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples))


def convert_image(image: Image.Image, data: bytes, *, name: str, convert_16_bit: bool, max_side: int) -> Picture:
    """Do `from_pillow` for an image whose file bytes are `data` (b"" if unknown), calling it `name` in errors."""
    _check_header(image, name=name, max_side=max_side)
    with pillow_errors(name):
        deep = is_deep(image, data)
    if deep and not convert_16_bit:
        raise PictureError(f"{name}: has more than 8 bits a sample (mode {image.mode})", hint=_DEEP_HINT)
    raw = raw_mode(image)
    with pillow_errors(name):
        image.load()
    samples = reduce_to_8_bit(image, raw, data, name=name) if deep else None
    if samples is None:
        samples = _samples(image, raw, name=name)
    if deep:
        warnings.warn(f"{name}: reduced to 8 bits a sample", Converted16BitWarning, stacklevel=3)
    channels = samples.shape[2]
    colours = channels - 1 if channels in (2, 4) else channels
    return Picture(
        colour_HWC=np.ascontiguousarray(samples[..., :colours]),
        alpha_HW=np.ascontiguousarray(samples[..., colours]) if colours < channels else None,
        # The profile of a CMYK or LAB picture does not fit the channels that came of it, so it falls away here.
        metadata=metadata_of(info_of(image), channels=colours),
        left_out=left_out_of(image),
    )


def _check_header(image: Image.Image, *, name: str, max_side: int) -> None:
    """Refuse by what the header says, before a pixel is decoded or memory for it is taken."""
    if max_side < 1:
        raise ConfigError(f"max_side is {max_side}", hint="give at least 1 pixel")
    width, height = image.size
    if width < 1 or height < 1:
        raise PictureError(f"{name}: is empty, {width}x{height} pixels", hint="give at least one pixel")
    if width > max_side or height > max_side:
        hint = "scale it down or cut it into parts first"
        raise LimitError(f"{name}: is {width}x{height} pixels, the limit is {max_side} a side", hint=hint)
    if image.format in ("EPS", "WMF"):
        # Loading these runs an interpreter (Ghostscript) on the input; that is not for pictures from strangers.
        raise PictureError(f"{name}: is a drawing ({image.format})", hint="render it to PNG first")
    if image.format not in _SINGLE_DESPITE_FRAMES:
        with pillow_errors(name):
            several = bool(getattr(image, "is_animated", False))
        if several:
            hint = "save the frame or page that you want as a picture of its own"
            raise PictureError(f"{name}: is animated or has several pages ({image.format})", hint=hint)


def _samples(image: Image.Image, raw: str, *, name: str) -> NDArray[np.uint8]:
    """Return the samples of a loaded image as uint8 [H, W, C], C = 1, 2, 3, 4 for L, LA, RGB, RGBA."""
    if image.mode == "CMYK":
        converted = cmyk_to_rgb(image, name=name)
    else:
        with pillow_errors(name):
            converted = _to_plain_mode(image)
    samples: NDArray[np.uint8] = np.array(converted, dtype=np.uint8)  # a copy: asarray() would be read-only
    if samples.ndim == 2:
        samples = samples[..., None]
    if image.mode in ("1", "L", "RGB"):
        return with_colour_key(samples, samples, image.info, key_scale=_KEY_SCALE.get(raw, 1))
    return samples


def _to_plain_mode(image: Image.Image) -> Image.Image:
    match image.mode:
        case "L" | "LA" | "RGB" | "RGBA":
            return image
        case "1":
            return image.convert("L")
        case "P":
            return image.convert("RGBA" if image.has_transparency_data else "RGB")
        case "PA" | "RGBa":
            return image.convert("RGBA")
        case "La":
            return image.convert("LA")
        case _:  # LAB goes through ImageCms inside convert()
            return image.convert("RGB")
