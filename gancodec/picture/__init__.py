"""Pictures between files, Pillow and arrays: modes, metadata, alpha, and the tiles in which large ones are worked.

The way in is `read_picture` (bytes) or `from_pillow` (an image); the way out is `write_picture` or `to_pillow`.
Between them a `Picture` is 8-bit samples plus the metadata that came along, byte for byte; EXIF of TIFF is built of its
tags. No torch here.
"""

from __future__ import annotations

from gancodec.picture.alpha import decode_alpha, encode_alpha
from gancodec.picture.depth import Converted16BitWarning
from gancodec.picture.files import read_metadata, read_picture, read_size
from gancodec.picture.modes import from_pillow, to_pillow
from gancodec.picture.orientation import upright
from gancodec.picture.picture import Metadata, Picture
from gancodec.picture.tiles import Band, Tile, bands, tiles
from gancodec.picture.writing import OUTPUT_FORMATS, OutputFormat, write_picture

__all__ = [
    "OUTPUT_FORMATS",
    "Band",
    "Converted16BitWarning",
    "Metadata",
    "OutputFormat",
    "Picture",
    "Tile",
    "bands",
    "decode_alpha",
    "encode_alpha",
    "from_pillow",
    "read_metadata",
    "read_picture",
    "read_size",
    "tiles",
    "to_pillow",
    "upright",
    "write_picture",
]
