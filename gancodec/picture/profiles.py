"""ICC profiles: which one fits which picture, and the way from CMYK to sRGB."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageCms

from gancodec.errors import DamagedMetadataWarning
from gancodec.picture.pillow_guard import pillow_errors

_SPACE_AT = slice(16, 20)
"""Place of the colour space signature in the ICC header (ICC.1:2022, 7.2)."""
_HEADER_BYTES = 128
_SPACE_OF_CHANNELS = {1: b"GRAY", 3: b"RGB "}


def fits_channels(icc: bytes, *, channels: int) -> bool:
    """Whether the profile describes pictures of 1 (grey) or 3 (red, green, blue) `channels`.

    A grey profile on a colour picture, or the reverse, is not allowed in PNG and ignored by viewers; such a profile,
    and one too short to have a header, is not carried.
    """
    return len(icc) >= _HEADER_BYTES and icc[_SPACE_AT] == _SPACE_OF_CHANNELS[channels]


def cmyk_to_rgb(image: Image.Image, *, name: str) -> Image.Image:
    """Convert a CMYK image to RGB in sRGB by its embedded profile; without one, by Pillow's plain formula.

    Relative colorimetric with black point compensation, as most viewers and print tools do. A profile that littleCMS
    refuses is answered with DamagedMetadataWarning and the plain formula. Raises PictureError, which names the input.
    """
    icc = image.info.get("icc_profile")
    if icc:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as exc:
            text = f"{name}: its CMYK profile cannot be used ({exc}); colours are approximate"
            warnings.warn(text, DamagedMetadataWarning, stacklevel=2)
        else:
            if converted is not None:  # None is for inPlace=True only
                return converted
    with pillow_errors(name):
        return image.convert("RGB")
