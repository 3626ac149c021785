"""Decoded pictures as PNG files, for those who want to look at them."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gancodec.errors import ConfigError
from gancodec.evaluation.coders import Coder


def image_name(picture: str, codec: str, quality: float | None, realism: float | None) -> str:
    """`STEM-CODEC-qQUALITY-rREALISM.png`, without the parts that are None.

    picture: name of the original file.  Whatever is no letter, digit, dot, dash or underscore becomes an underscore.
    """
    parts = [Path(picture).stem, codec]
    parts += [] if quality is None else [f"q{quality:g}"]
    parts += [] if realism is None else [f"r{realism:g}"]
    return re.sub(r"[^\w.-]", "_", "-".join(parts)) + ".png"


def check_image_names(pictures: Sequence[str], coders: Sequence[Coder]) -> None:
    """Raise ConfigError if two decoded pictures would have one name, such as those of a.png and a.jpg."""
    names = Counter(
        image_name(picture, coder.name, quality, decoder.realism).casefold()  # as some file systems have it
        for picture in pictures
        for coder in coders
        for quality in coder.qualities
        for decoder in coder.decoders
    )
    name, count = names.most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{count} decoded pictures would be called {name}", hint="rename pictures, or use two runs")


def as_picture_file(picture: Image.Image, path: Path) -> bytes:
    """The bytes of a file of the format that the suffix names.  Raises ConfigError for a suffix without one."""
    buffer = io.BytesIO()
    kind = Image.registered_extensions().get(path.suffix.lower())
    try:
        picture.save(buffer, format=kind or path.suffix.lstrip("."))
    except (KeyError, OSError, ValueError) as exc:
        raise ConfigError(f"{path} has no suffix of a picture format", hint="give a name that ends in .png") from exc
    return buffer.getvalue()
