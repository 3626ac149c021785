"""Thumbnails for desktops: ``python -m gancodec.thumbnailer --size 256 INPUT OUTPUT.png``, or ``gancodec-thumbnailer``.

What file managers call, by extras/gancodec.thumbnailer; docs/install.md says how to install it.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from PIL import Image, ImageCms

from gancodec.errors import ConfigError, GancodecError, PictureError
from gancodec.picture import Metadata, Picture, to_pillow, upright
from gancodec.waiting import wait_briefly
from gancodec.writing import write_file

SIZE_MAX: Final = 4096
"""Pixels.  Desktops ask for 128 to 1,024."""
REDUCING_GAP: Final = 3.0
"""Pixels are averaged down to so many times the size before they are filtered: faster, and no difference is seen."""
INTERNAL: Final = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Write one thumbnail; returns the exit code, which is that of the command line.  Errors are a line on stderr."""
    parser = _parser()
    try:
        given = parser.parse_args(argv)
        with warnings.catch_warnings(action="ignore"):  # damaged metadata changes nothing here
            thumbnail = make_thumbnail(_read(local_path(given.input)), given.size)
            write_file(Path(given.output), _png(thumbnail))
    except GancodecError as error:
        return _failed(f"{error}", error.exit_code)
    except Exception as error:
        return _failed(f"internal error: {type(error).__name__}: {error}", INTERNAL)
    return 0


def make_thumbnail(data: bytes, size_px: int) -> Image.Image:
    """The picture of a .gnc file upright, in sRGB, with its alpha, at most ``size_px`` wide and high, never enlarged.

    Raises FormatError, ModelError and LimitError as Codec.decompress_picture does.
    """
    from gancodec.codec import Codec

    # Not CUDA: to start it takes longer than most thumbnails, and many thumbnailers run at once.
    picture = upright(Codec.for_file(data, "cpu").decompress_picture(data))
    image = to_pillow(replace(picture, metadata=Metadata()))
    image.thumbnail((size_px, size_px), Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
    return _to_srgb(image, picture)


def local_path(text: str) -> Path:
    """The path that a command line means by a path or a URI.  Raises ConfigError for a URI of another machine."""
    if not text.startswith("file:"):
        return Path(text)
    uri = urlsplit(text)
    if uri.netloc not in ("", "localhost"):
        raise ConfigError(f"{text} is on another machine", hint="give a local file")
    # Names of files are bytes, which need not be UTF-8.
    path = unquote_to_bytes(os.fsencode(uri.path))
    if b"\0" in path:
        raise ConfigError(f"{text} has a zero byte, as no name has", hint="give the URI of a file")
    return Path(os.fsdecode(path))


def _to_srgb(image: Image.Image, picture: Picture) -> Image.Image:
    """By the profile of the picture, if it has one that can be used; alpha as it is."""
    icc = picture.metadata.icc
    if icc is None:
        return image
    colour = image.convert("L" if picture.colour_HWC.shape[2] == 1 else "RGB")
    try:
        converted = ImageCms.profileToProfile(
            colour, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # viewers ignore such profiles, too
    assert converted is not None  # None is for inPlace=True only
    if picture.alpha_HW is not None:
        converted.putalpha(image.getchannel("A"))
    return converted


def _png(image: Image.Image) -> bytes:
    image.info.clear()  # else the profile would be written, of pixels that no longer are in it
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise PictureError(f"{path}: {exc.strerror}", hint="check the name, and that it may be read") from exc


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # one line, where argparse prints its usage, too
        raise ConfigError(message, hint="Try --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gancodec-thumbnailer", description="Write a PNG thumbnail of a .gnc file.")
    parser.add_argument("-s", "--size", type=_size, default=256, metavar="PX", help="longest side; default: 256")
    parser.add_argument("input", metavar="INPUT", help="path or file: URI of a .gnc file")
    parser.add_argument("output", metavar="OUTPUT.png", help="written whole or not at all")
    return parser


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= SIZE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {SIZE_MAX} pixels")
    return int(text)


def _failed(text: str, exit_code: int) -> int:
    line = " ".join(f"gancodec-thumbnailer: error: {text}".split())
    print(line.encode(errors="backslashreplace").decode(), file=sys.stderr)
    return exit_code


def run() -> int:
    """The command of the process."""
    wait_briefly()
    try:
        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
