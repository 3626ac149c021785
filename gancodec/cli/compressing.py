"""`gancodec compress`: picture files -> .gnc files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from gancodec.cli.inputs import MAX_FILE_BYTES
from gancodec.cli.loading import load_codec
from gancodec.cli.operation import Converted, Group
from gancodec.cli.options import Rate
from gancodec.cli.outputs import exists, is_current
from gancodec.cli.refinement import Refinement
from gancodec.container import (
    MAGIC,
    SOURCE_COST,
    ColourMode,
    Container,
    Header,
    read_container,
    read_header,
    source_digest,
    source_of,
    with_source,
)
from gancodec.container.header import QUALITY_MAX, QUALITY_STEPS
from gancodec.defaults import DEFAULT_QUALITY
from gancodec.effort.request import Effort
from gancodec.errors import FormatError, GancodecError, LimitError, UnsupportedVersionError
from gancodec.picture import Metadata, Picture, encode_alpha, read_metadata, read_picture, read_size, upright
from gancodec.picture.modes import MAX_SIDE_PX
from gancodec.picture.pillow_guard import pillow_errors, pixel_limit
from gancodec.rate_search import target_bytes
from gancodec.registry import ModelEntry, resolve

if TYPE_CHECKING:
    from gancodec.codec import Codec
    from gancodec.pipeline import Symbols

CLOSE: Final = 0.97
"""Of a target: a search ends nearer, unless a single word of the payload is more."""
CLOSE_REFINED: Final = 0.9
"""The same with effort: the search goes by guesses of what that will save, and Ctrl-C may end it at the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPicture:
    """A picture, and what its .gnc file is to say about where it came from."""

    picture: Picture
    digest: bytes | None
    """Of the source file; None: nothing."""


@dataclass(kw_only=True, slots=True)
class Compression:
    """The operation that batch.py runs on each picture."""

    rate: Rate
    codec_name: str
    device: str
    effort: Effort = field(default_factory=Effort)
    refinement: Refinement = field(default_factory=Refinement)
    convert_16_bit: bool = False
    keep_metadata: bool = True
    mark_source: bool = False
    """Write a source chunk, by which is_done() of later runs knows what a file was made of."""
    _codec: Codec | None = field(default=None, init=False)
    _entry: ModelEntry | None = field(default=None, init=False)

    def is_done(self, source: Path | None, data: bytes, output: Path) -> bool:
        """Whether `output` is whole, and was made of this input with these options.

        Its source chunk says so; where there is none, that it was written after the last change of `source`.  False
        for .gnc files that are damaged, or of this input before it was changed.  Raises ConfigError for other files,
        and whatever the clocks say for .gnc files of another picture, or made with other options; PictureError for the
        input.
        """
        written = _read_gnc(output)
        try:
            container = read_container(written)
        except UnsupportedVersionError as exc:
            raise exists(output, "is of a newer format") from exc
        except FormatError:
            return False  # damaged: there is nothing to lose
        self._refuse_others(container, len(written), data, output)
        is_same = source is not None and is_current(output, source)
        if (digest := source_of(container)) is not None:
            was_newer, is_same = is_same or source is None, digest == source_digest(data)
            if was_newer and not is_same:
                raise exists(output, "was made of another picture, or of this one before it was changed")
        return is_same and not container.damaged

    def _refuse_others(self, container: Container, size: int, data: bytes, output: Path) -> None:
        """Raise ConfigError for a .gnc file that compressing `data` would never give."""
        header = container.header
        if not _fits(header, data):
            raise exists(output, f"is of another picture, {header.mode.name} {header.width}×{header.height}")
        self._entry = self._entry or resolve(self.codec_name)
        if header.model_id != self._entry.model_id or not self._has_rate(header, size):
            raise exists(output, "was made with another codec or rate")
        if not self.keep_metadata and {b"EXIF", b"XMP "} & set(header.metadata_types):
            raise exists(output, "carries metadata that was to be dropped")
        channels = 1 if header.mode in (ColourMode.L, ColourMode.LA) else 3
        carried = self._carried(read_metadata(data, channels=channels))
        wanted = {b"ICCP": carried.icc, b"EXIF": carried.exif, b"XMP ": carried.xmp}
        damaged = set(header.metadata_types) - container.metadata.keys()
        for type_ in wanted.keys() - damaged:
            if wanted[type_] != container.metadata.get(type_):
                raise exists(output, "carries other metadata than this picture")

    def _carried(self, metadata: Metadata) -> Metadata:
        return metadata if self.keep_metadata else Metadata(icc=metadata.icc)

    def pixels(self, data: bytes, label: str) -> int:
        """Raises PictureError."""
        width, height = read_size(data, name=label)
        return width * height

    def open(self, data: bytes, label: str) -> OpenPicture:
        """Raises PictureError or LimitError."""
        picture = read_picture(data, name=label, convert_16_bit=self.convert_16_bit)
        if not self.keep_metadata:
            picture = upright(picture)  # the orientation goes with the EXIF
            # What was to be dropped is not worth a word.
            picture = replace(picture, metadata=self._carried(picture.metadata), left_out=())
        return OpenPicture(picture=picture, digest=source_digest(data) if self.mark_source else None)

    def load(self) -> None:
        """Raises ModelError, for the codec or a feature network; ConfigError for what is not there or does not fit."""
        if self._codec is None:
            codec = load_codec(self.codec_name, self.device)
            codec.prepare(self.effort)
            self._codec = codec

    def group(self, opened: OpenPicture) -> Group | None:
        """With pictures of its padded size, where no file's size is searched for."""
        assert self._codec is not None, "load() comes first"
        if self._quality_256 is None:
            return None
        padded = self._codec.padded_size(opened.picture.width, opened.picture.height)
        return Group(padded, padded[0] * padded[1], self._codec.batch_pixels)

    def compute(self, batch: Sequence[OpenPicture]) -> list[Symbols | bytes | GancodecError]:
        """Symbols, or the whole file where a size is searched for.  Raises what Codec.compress raises."""
        assert self._codec is not None, "load() comes first"
        quality_256 = self._quality_256
        pictures = [opened.picture for opened in batch]
        with self.refinement if self._refines else nullcontext():
            if quality_256 is not None:
                return [*self._codec.quantise(pictures, [quality_256] * len(batch), self.effort)]
            return [self._search(picture) for picture in pictures]

    def _search(self, picture: Picture) -> bytes:
        """The file of a given size, with room for the source chunk that comes to it."""
        assert self._codec is not None, "load() comes first"
        rate, effort = self.rate, self.effort
        target = self._target_size(picture.width, picture.height) if self.mark_source else None
        if target is None:
            return self._codec.compress(
                picture, quality=rate.quality, target_bpp=rate.target_bpp, target_size=rate.target_size, effort=effort
            )
        try:
            return self._codec.compress(picture, target_size=max(1, target - SOURCE_COST), effort=effort)
        except LimitError as exc:
            room = f"{exc.message}, and {SOURCE_COST} more with the mark of --skip-existing"
            raise LimitError(room, hint=exc.hint) from exc

    def finish(self, opened: OpenPicture, state: Symbols | bytes) -> Converted:
        """The file of what compute() made of a picture."""
        assert self._codec is not None, "load() comes first"
        picture = opened.picture
        if isinstance(state, bytes):
            data = state
        else:
            alpha = None if picture.alpha_HW is None else encode_alpha(picture.alpha_HW)
            data = self._codec.write(picture, alpha, state, self._quality_256 or 0)
        if opened.digest is not None:
            data = with_source(data, opened.digest)
        return Converted(data=data, header=read_header(data), gnc_bytes=len(data), left_out=picture.left_out)

    @property
    def _refines(self) -> bool:
        """Whether compute() takes iterations, that Ctrl-C can end; codecs of one rate have none at any level."""
        assert self._codec is not None
        return self.effort.level > 0 and self._codec.entry.has_quality

    @property
    def _quality_256(self) -> int | None:
        """In 1/256, of codecs of one rate 0; None where Codec.compress has to choose it, or to refuse it."""
        assert self._codec is not None
        rate = self.rate
        if rate.target_bpp is not None or rate.target_size is not None:
            return None
        if self._codec.entry.has_quality:
            return round((DEFAULT_QUALITY if rate.quality is None else rate.quality) * QUALITY_STEPS)
        return 0 if rate.quality is None else None

    def _target_size(self, width: int, height: int) -> int | None:
        """In bytes; None where no size is asked for."""
        if self.rate.target_bpp is None:
            return self.rate.target_size
        return target_bytes(self.rate.target_bpp, width, height)

    def _has_rate(self, header: Header, size: int) -> bool:
        """Whether a file's quality, or its size in bytes, is what was asked for."""
        assert self._entry is not None
        rate, target = self.rate, self._target_size(header.width, header.height)
        if target is not None:
            most = header.quality == QUALITY_MAX or not self._entry.has_quality
            close = CLOSE if self.effort.level == 0 else CLOSE_REFINED
            return size <= target and (most or size >= close * target)
        wanted = DEFAULT_QUALITY if rate.quality is None else rate.quality
        return not self._entry.has_quality or header.quality_256 == round(wanted * QUALITY_STEPS)


def _read_gnc(output: Path) -> bytes:
    """A .gnc file, or an empty one.  Raises ConfigError for any other, of which it reads the start only."""
    try:
        with output.open("rb") as file:
            start = file.read(len(MAGIC))
            if start not in (b"", MAGIC):
                raise exists(output, "is no .gnc file")
            if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                raise exists(output, "is larger than any .gnc file")
            return start + file.read()
    except OSError as exc:
        raise exists(output, f"cannot be read: {exc.strerror}") from exc


def _fits(header: Header, data: bytes) -> bool:
    """Whether a .gnc file may be of the picture `data`, by size and mode.  Raises PictureError."""
    with pixel_limit(MAX_SIDE_PX**2), pillow_errors("input"), Image.open(io.BytesIO(data)) as image:
        size, modes = image.size, _modes(image)
    # Pictures are turned upright where their metadata is dropped, and TIFF always is.
    same_size = sorted(size) == sorted((header.width, header.height))
    return same_size and (modes is None or header.mode.name in modes)


def _modes(image: Image.Image) -> frozenset[str] | None:
    """The modes that the .gnc file of an image may have, as far as its header tells; None: any."""
    match image.mode:
        case "LA" | "La":
            return frozenset({"LA"})
        case "RGBA" | "RGBa" | "PA":
            return frozenset({"RGBA"})
        case "1" | "L":
            # A transparent colour becomes alpha.
            return frozenset({"L", "LA"} if "transparency" in image.info else {"L"})
        case "RGB" | "P":
            return frozenset({"RGB", "RGBA"} if image.has_transparency_data else {"RGB"})
        case "CMYK" | "YCbCr" | "LAB" | "HSV":
            return frozenset({"RGB"})
    return None
