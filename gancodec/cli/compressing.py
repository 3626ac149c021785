"""`gancodec compress`: picture files -> .gnc files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gancodec.cli.batch import Converted
from gancodec.cli.loading import load_codec
from gancodec.cli.options import Rate
from gancodec.container import read_header
from gancodec.picture import Metadata, Picture, read_picture, upright

if TYPE_CHECKING:
    from gancodec.codec import Codec


@dataclass(kw_only=True, slots=True)
class Compression:
    """The operation that batch.py runs on each picture."""

    rate: Rate
    codec_name: str
    device: str
    convert_16_bit: bool = False
    keep_metadata: bool = True
    _codec: Codec | None = field(default=None, init=False)

    def open(self, data: bytes, label: str) -> Picture:
        """Raises PictureError or LimitError."""
        picture = read_picture(data, name=label, convert_16_bit=self.convert_16_bit)
        if self.keep_metadata:
            return picture
        picture = upright(picture)  # the orientation goes with the EXIF
        return replace(picture, metadata=Metadata(icc=picture.metadata.icc))

    def load(self) -> None:
        """Raises ModelError, or ConfigError for a device that is not there."""
        if self._codec is None:
            self._codec = load_codec(self.codec_name, self.device)

    def convert(self, opened: Picture) -> Converted:
        """Raises what Codec.compress raises."""
        assert self._codec is not None, "load() comes first"
        rate = self.rate
        data = self._codec.compress(
            opened, quality=rate.quality, target_bpp=rate.target_bpp, target_size=rate.target_size
        )
        return Converted(data=data, header=read_header(data), gnc_bytes=len(data))
