"""Picture -> the bytes of a PNG, JPEG, WebP or AVIF file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Literal

from PIL import Image, PngImagePlugin

from gancodec.errors import ConfigError, DamagedMetadataWarning
from gancodec.picture.modes import pixels_to_pillow
from gancodec.picture.orientation import upright
from gancodec.picture.picture import EXIF_PREFIX, Metadata, Picture
from gancodec.picture.profiles import fits_channels

OutputFormat = Literal["png", "jpeg", "webp", "avif"]

OUTPUT_FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "avif": ".avif"}
)
"""What `write_picture` writes: name -> suffix of files."""


def write_picture(picture: Picture, format: OutputFormat = "png", *, keep_metadata: bool = True) -> bytes:
    """Encode a picture.

    png   lossless, every mode.
    jpeg  quality 95, 4:4:4; refuses alpha rather than lose it.
    webp  lossless, the colour under transparent pixels included; grey reads back as RGB; sides to 16,383 px.
          libwebp leaves out an alpha of 255 everywhere, so that such a picture reads back as RGB.
    avif  quality 95, 4:4:4, not lossless; grey is stored as grey but Pillow reads it back as RGB.

    With keep_metadata, EXIF, XMP and the ICC profile are written byte for byte and the pixels as they lie. Without it
    the pixels are turned upright first and EXIF and XMP left out; the ICC profile stays, since without it the colours
    would change. A grey profile is left out where the file stores grey as RGB (WebP, AVIF with alpha), and EXIF
    without a TIFF header is left out of AVIF, which cannot hold it, with DamagedMetadataWarning.
    Raises ConfigError for an unknown format and for pictures or metadata that the format cannot hold.
    """
    if format not in OUTPUT_FORMATS:
        raise ConfigError(f"no output format {format!r}", hint=f"use {', '.join(OUTPUT_FORMATS)}")
    if format == "jpeg" and picture.alpha_HW is not None:
        raise ConfigError(f"JPEG has no alpha and the picture is {picture.mode}", hint="choose png, webp or avif")
    if not keep_metadata:
        picture = upright(picture)
        picture = replace(picture, metadata=Metadata(icc=picture.metadata.icc))
    metadata = picture.metadata
    if metadata.icc and not fits_channels(metadata.icc, channels=_stored_channels(picture, format)):
        metadata = replace(metadata, icc=None)
    out = io.BytesIO()
    try:
        pixels_to_pillow(picture).save(out, format, **_OPTIONS[format](picture, metadata))
    except (ValueError, OSError, OverflowError, MemoryError) as exc:
        raise ConfigError(
            f"cannot write {picture.width}x{picture.height} {picture.mode} as {format}: {exc}",
            hint="choose png, or leave out the metadata",
        ) from exc
    return out.getvalue()


def _stored_channels(picture: Picture, format: OutputFormat) -> int:
    keeps_grey = format in ("png", "jpeg") or (format == "avif" and picture.mode == "L")
    return int(picture.colour_HWC.shape[2]) if keeps_grey else 3


def _png_options(_picture: Picture, metadata: Metadata) -> dict[str, Any]:
    chunks = PngImagePlugin.PngInfo()
    if metadata.xmp is not None:
        # add_itxt() wants text, and packets that are not UTF-8 exist: five zeros are keyword end, compression flag
        # and method, language, translated keyword.
        chunks.add(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + metadata.xmp)
    return {"icc_profile": metadata.icc, "exif": metadata.exif, "pnginfo": chunks}


def _jpeg_options(_picture: Picture, metadata: Metadata) -> dict[str, Any]:
    exif = b"" if metadata.exif is None else EXIF_PREFIX + metadata.exif
    return {"quality": 95, "subsampling": "4:4:4", "icc_profile": metadata.icc, "exif": exif, "xmp": metadata.xmp}


def _webp_options(_picture: Picture, metadata: Metadata) -> dict[str, Any]:
    # quality is the encoder's effort here: the result is lossless
    options: dict[str, Any] = {"lossless": True, "exact": True, "quality": 75, "method": 4}
    return options | {"icc_profile": metadata.icc, "exif": metadata.exif or b"", "xmp": metadata.xmp or b""}


def _avif_options(picture: Picture, metadata: Metadata) -> dict[str, Any]:
    exif = None if metadata.exif is None else _VerbatimExif(metadata.exif)
    if exif is not None and not exif.readable():
        warnings.warn("EXIF without a TIFF header is left out of the AVIF file", DamagedMetadataWarning, stacklevel=3)
        exif = None
    options: dict[str, Any] = {"quality": 95, "icc_profile": metadata.icc, "exif": exif, "xmp": metadata.xmp}
    return options if picture.mode == "L" else options | {"subsampling": "4:4:4"}


_OPTIONS = {"png": _png_options, "jpeg": _jpeg_options, "webp": _webp_options, "avif": _avif_options}


class _VerbatimExif(Image.Exif):
    """EXIF that Pillow's AVIF writer passes on as it is.

    Given bytes, that writer takes the orientation out and serialises the rest anew. Given an `Image.Exif` in which it
    sees no orientation it calls tobytes(); libavif then derives the file's rotation from the EXIF by itself.
    """

    def __init__(self, exif: bytes) -> None:
        super().__init__()
        self._verbatim = exif

    def __bool__(self) -> bool:
        return True  # as a mapping it is empty

    def tobytes(self, offset: int = 8) -> bytes:
        return self._verbatim

    def readable(self) -> bool:
        """Whether libavif takes the bytes, and Pillow can open the file again: both look for a TIFF header."""
        return len(self._verbatim) >= 8 and self._verbatim[:4] in (b"II*\x00", b"MM\x00*")
