"""`gancodec decompress`: .gnc files -> picture files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gancodec.cli.loading import Decoders
from gancodec.cli.operation import Converted, Group
from gancodec.cli.options import PictureFormat
from gancodec.cli.outputs import exists, is_outdated
from gancodec.container import MAX_SIDE, Container, read_container, read_header, source_digest, source_of
from gancodec.errors import DamagedMetadataWarning, FormatError, GancodecError, LimitError
from gancodec.picture import Picture, write_picture
from gancodec.picture.pillow_guard import pillow_errors, pixel_limit


@dataclass(frozen=True, slots=True)
class GncFile:
    """A .gnc file whose checksums are right."""

    data: bytes
    container: Container


@dataclass(kw_only=True, slots=True)
class Decompression:
    """The operation that batch.py runs on each .gnc file."""

    decoders: Decoders
    format: PictureFormat
    realism: float | None = None
    keep_metadata: bool = True

    def is_done(self, source: Path | None, data: bytes, output: Path) -> bool:
        """Whether `output` is a whole picture of the file's size, and no older than the file, or what that was made of.

        Raises ConfigError for any other file: it may be an original, so that it is never made anew.
        """
        header = read_header(data)
        if max(header.width, header.height) > MAX_SIDE:
            return False  # open() says so; what is there may claim the same size
        wanted = sorted((header.width, header.height))
        try:
            # From the file, not from its bytes: a film that has the picture's name need not go through memory.
            with pixel_limit(MAX_SIDE**2), pillow_errors(str(output)), Image.open(output) as image:
                if sorted(image.size) == wanted:
                    image.load()  # all of it: verify() looks at little else than PNG's checksums
                width, height = image.size
        except GancodecError as exc:
            raise exists(output, "is no whole picture") from exc
        if sorted((width, height)) != wanted:
            raise exists(output, f"is another picture, {width}×{height}")
        if source is not None and is_outdated(output, source) and not _is_source(output, data):
            raise exists(output, f"is older than {source}, and may be of another file")
        return True

    def pixels(self, data: bytes, label: str) -> int:
        """Raises FormatError."""
        header = read_header(data)
        return header.width * header.height

    def open(self, data: bytes, label: str) -> GncFile:
        """Raises FormatError or LimitError."""
        return GncFile(data, read_container(data))  # damage shows here, without torch

    def load(self) -> None:
        """Raises ModelError, or ConfigError for a device that is not there."""
        self.decoders.load()

    def group(self, opened: GncFile) -> Group:
        """With files of its codec and padded size.  Raises ModelError where there is no such codec."""
        codec = self.decoders.for_file(opened.data)
        header = opened.container.header
        padded = codec.padded_size(header.width, header.height)
        return Group((header.model_id, padded), padded[0] * padded[1], codec.batch_pixels)

    def compute(self, batch: Sequence[GncFile]) -> list[Picture | GancodecError]:
        """The pictures, or what is wrong with single files.  Raises what Codec.open raises."""
        codec = self.decoders.for_file(batch[0].data)
        return [*codec.decode([codec.open(each.data, realism=self.realism) for each in batch])]

    def finish(self, opened: GncFile, state: Picture) -> Converted:
        """The picture's file.  Raises ConfigError if the format cannot hold the picture."""
        for message in opened.container.damaged:
            warnings.warn(f"metadata is damaged and left out: {message}", DamagedMetadataWarning, stacklevel=2)
        data = write_picture(state, self.format.value, keep_metadata=self.keep_metadata)
        return Converted(data=data, header=opened.container.header, gnc_bytes=len(opened.data))


def _is_source(output: Path, data: bytes) -> bool:
    """Whether a .gnc file says that it was made of the file `output`, and is whole."""
    try:
        digest = source_of(read_container(data))
        return digest is not None and digest == source_digest(output.read_bytes())
    except (FormatError, LimitError, OSError):
        return False
