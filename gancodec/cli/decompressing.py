"""`gancodec decompress`: .gnc files -> picture files."""

from __future__ import annotations

from dataclasses import dataclass

from gancodec.cli.batch import Converted
from gancodec.cli.loading import Decoders
from gancodec.cli.options import PictureFormat
from gancodec.container import read_container, read_header
from gancodec.picture import write_picture


@dataclass(kw_only=True, slots=True)
class Decompression:
    """The operation that batch.py runs on each .gnc file."""

    decoders: Decoders
    format: PictureFormat
    realism: float | None = None
    keep_metadata: bool = True

    def open(self, data: bytes, label: str) -> bytes:
        """Raises FormatError or LimitError."""
        read_container(data)  # damage shows here, without torch; the codec takes the file apart once more
        return data

    def load(self) -> None:
        """Raises ModelError, or ConfigError for a device that is not there."""
        self.decoders.load()

    def convert(self, opened: bytes) -> Converted:
        """Raises what Codec.decompress_picture raises, and ConfigError if the format cannot hold the picture."""
        header = read_header(opened)
        picture = self.decoders.for_file(opened).decompress_picture(opened, realism=self.realism)
        data = write_picture(picture, self.format.value, keep_metadata=self.keep_metadata)
        return Converted(data=data, header=header, gnc_bytes=len(opened))
