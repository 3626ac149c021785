"""Defaults that the command line, the service and the facade share.  Imports nothing."""

from __future__ import annotations

from typing import Final

DEFAULT_QUALITY: Final = 60.0
"""Quality where none is asked for: about 0.7 bpp on photographs."""
DEFAULT_CODEC: Final = "photo"
GNC_MEDIA_TYPE: Final = "application/vnd.gancodec"
PICTURE_SUFFIXES: Final = frozenset(
    (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".ppm",
        ".pgm", ".tga",
    )
)  # fmt: skip
"""What counts as a picture in a folder; a file that is named may have any suffix."""
DEFAULT_EFFORT: Final = 1
"""Time that compressing takes, 0 to EFFORT_MAX: the level that is worth it, about twice the time of level 0."""
EFFORT_MAX: Final = 9
TUNES: Final = ("fidelity", "realism")
"""What effort can be spent on."""
