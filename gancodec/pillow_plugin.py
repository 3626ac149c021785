"""Pillow opens and saves .gnc files once this module is imported:

    >>> import gancodec.pillow_plugin
    >>> Image.open("photo.gnc").convert("L").save("grey.gnc", quality=50)

Opening reads header and metadata, and needs no torch; pixels come with ``load()``.  docs/pillow.md is for users.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Final

from PIL import Image, ImageFile, UnidentifiedImageError

from gancodec.container import MAGIC, MAX_SIDE, read_container
from gancodec.defaults import GNC_MEDIA_TYPE
from gancodec.description import read_outline
from gancodec.errors import (
    CorruptError,
    DamagedMetadataWarning,
    FormatError,
    LimitError,
    ModelError,
    NotGncError,
)
from gancodec.pillow.codecs import CODECS
from gancodec.pillow.errors import OptionError, OptionTypeError, option_errors
from gancodec.pillow.options import Options, current_options, options, set_options
from gancodec.pillow.saving import refuse_frames, save_options
from gancodec.registry import resolve

if TYPE_CHECKING:
    from gancodec.picture import Picture

__all__ = ["GncImageFile", "OptionError", "OptionTypeError", "options", "set_options"]

FORMAT: Final = "GNC"
METADATA_KEYS: Final = {"icc_profile": b"ICCP", "exif": b"EXIF", "xmp": b"XMP "}
"""Pillow's name -> chunk type."""
OTHER_KEYS: Final = {"exif": "Raw profile type exif", "xmp": "XML:com.adobe.xmp"}
"""Where Pillow's PNG reader may have put the same."""


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


class GncImageFile(ImageFile.ImageFile):
    """A .gnc file.  ``info`` has Pillow's keys, ``model_id``, ``bpp`` and, where known, ``codec`` and ``quality``."""

    format = FORMAT
    format_description = "gancodec learned image"
    n_frames = 1
    is_animated = False

    def _open(self) -> None:
        assert self.fp is not None
        try:
            outline = read_outline(self.fp)
        except NotGncError as exc:
            raise SyntaxError(str(exc)) from exc
        except FormatError as exc:  # more than Image.open() would say after a SyntaxError
            raise UnidentifiedImageError(f"cannot identify image file {self.filename or self.fp!r}: {exc}") from exc
        header = outline.header
        self._size = header.width, header.height
        self._mode = header.mode.name
        if max(self._size) > MAX_SIDE:
            limit = LimitError(
                f"the picture has {header.width} x {header.height} pixels, the limit is {MAX_SIDE} a side"
            )
            raise Image.DecompressionBombError(str(limit)) from limit
        self.info["model_id"] = header.model_id.hex()
        self.info["bpp"] = 8 * outline.size_bytes / math.prod(self._size)
        entry = None
        with suppress(ModelError):
            entry = CODECS.entry_for(header.model_id)
            self.info["codec"] = entry.name
        if entry is None or entry.has_quality:
            self.info["quality"] = header.quality
        for key, type_ in METADATA_KEYS.items():
            if type_ in outline.metadata:
                self.info[key] = outline.metadata[type_]
        for text in outline.damaged:
            warnings.warn(f"metadata is damaged and left out: {text}", DamagedMetadataWarning, stacklevel=5)
        self.tile = [ImageFile._Tile("gnc", (0, 0, *self._size), 0, (current_options(),))]

    def load_seek(self, pos: int) -> None:
        """Go to the payload's file.  That it is here keeps ImageFile.Parser from decoding half a file."""
        assert self.fp is not None
        self.fp.seek(pos)

    def verify(self) -> None:
        """Check every checksum of the file but that of the symbols, without torch; then it must be opened again.

        Raises OSError from the FormatError, also for damaged metadata.
        """
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        self.fp.seek(0)
        with _os_error():
            container = read_container(self.fp.read())
            if container.damaged:
                raise CorruptError("; ".join(container.damaged), hint="the picture itself can be opened")
        super().verify()


class GncDecoder(ImageFile.PyDecoder):
    """The whole file to pixels."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:
        """Fill the image.  Raises OSError from FormatError, LimitError or ModelError; OptionError."""
        assert self.fd is not None and self.im is not None
        (wanted,) = self.args
        data = self.fd.read()
        with _os_error(), option_errors():
            image = _decompress(data, wanted)
        if (image.mode, image.size) != (self.mode, self.im.size):
            raise OSError("the file has changed since it was opened")
        self.im.paste(image.im, self.state.extents())
        return -1, 0


def _decompress(data: bytes, wanted: Options) -> Image.Image:
    # Not Codec.decompress: damaged metadata was reported when the file was opened.
    from gancodec.picture import to_pillow

    container = read_container(data)  # most damage shows here, before networks are loaded
    with CODECS.use(CODECS.entry_for(container.header.model_id), wanted.device) as codec:
        (picture,) = codec.decode([codec.open(data, realism=wanted.realism)])
    if isinstance(picture, FormatError):
        raise picture
    return to_pillow(picture)


@contextmanager
def _os_error() -> Iterator[None]:
    """Errors of the file, as programs that use Pillow expect them."""
    try:
        yield
    except (FormatError, LimitError, ModelError) as exc:
        raise OSError(str(exc)) from exc


# Saving


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Nothing is written before everything is there.

    Raises the errors of Codec.compress and Codec.load; those about options are ValueErrors as well.
    """
    with option_errors():
        wanted = save_options(image.encoderinfo)
        picture = _picture(image, image.encoderinfo, convert_16_bit=wanted.convert_16_bit)
        with CODECS.use(resolve(wanted.codec), wanted.device or current_options().device) as codec:
            data = codec.compress(
                picture,
                quality=wanted.quality,
                target_bpp=wanted.target_bpp,
                target_size=wanted.target_size,
                effort=wanted.effort,
            )
    file.write(data)


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Refuse.  Without it Pillow would end in a KeyError."""
    refuse_frames({"save_all": True})


def _picture(image: Image.Image, asked: Mapping[str, Any], *, convert_16_bit: bool) -> Picture:
    """The pixels, with the metadata of ``info`` or what was asked for in its place."""
    from gancodec.picture import from_pillow
    from gancodec.picture.metadata import info_of, metadata_of

    info = info_of(image)
    for key in METADATA_KEYS.keys() & asked.keys():
        value = asked[key]
        if isinstance(value, Image.Exif):
            value = value.tobytes() if value else None
        allowed: tuple[type, ...] = (bytes, bytearray, str) if key == "xmp" else (bytes, bytearray)
        if value is not None and not isinstance(value, allowed):
            raise OptionTypeError(f"{key} is {type(value).__name__}", hint="give bytes, or None to leave it out")
        if key in OTHER_KEYS:
            info.pop(OTHER_KEYS[key], None)
        info[key] = value
    picture = from_pillow(image, convert_16_bit=convert_16_bit)
    return replace(picture, metadata=metadata_of(info, channels=picture.colour_HWC.shape[2]))


Image.preinit()  # Image.open() imports these formats at its first call, which would take longer than all of ours
Image.register_open(FORMAT, GncImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_save_all(FORMAT, _save_all)
Image.register_extension(FORMAT, ".gnc")
Image.register_mime(FORMAT, GNC_MEDIA_TYPE)
Image.register_decoder("gnc", GncDecoder)
