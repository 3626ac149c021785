"""JPEG, WebP, AVIF and JPEG XL through Pillow, each with the settings of somebody who wants small files of photos."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from PIL import Image, features

from gancodec.errors import ConfigError, PictureError
from gancodec.picture.modes import MAX_SIDE_PX
from gancodec.picture.pillow_guard import pixel_limit

JXL_PLUGIN: Final = "pillow-jxl-plugin"
_LIBRARIES: Final = {"JPEG": "libjpeg_turbo", "WEBP": "webp", "AVIF": "avif", "JXL": JXL_PLUGIN}
"""Format -> Pillow's name for the library whose version decides the size of the files."""


@dataclass(frozen=True, kw_only=True)
class ClassicalCodec:
    """One format of Pillow's with fixed options; a Coder, and its own Decoder (see coders.py)."""

    name: str
    key: str
    """As in `--against`."""
    format: str
    """Pillow's name: JPEG, WEBP, AVIF or JXL."""
    described: str
    """The options in words."""
    options: Mapping[str, object]
    """Keyword arguments of `Image.save`, all but quality."""
    qualities: tuple[float, ...]
    """Whole numbers in 0..100, chosen so that curves overlap from about 24 to 42 dB on photos."""

    @property
    def settings(self) -> str:
        """The options and the library's version, which both decide the size of the files."""
        library = _LIBRARIES[self.format]
        if library == JXL_PLUGIN:
            return f"{self.described}; {library} {_version(library)}"
        version = features.version(library)  # None where Pillow was built with the plain libjpeg
        return f"{self.described}; {library.replace('_', '-')} {version or 'unknown version'}"

    @property
    def realism(self) -> None:
        """There is no choice."""
        return None

    @property
    def decoders(self) -> tuple[ClassicalCodec]:
        """Itself."""
        return (self,)

    @property
    def load_s(self) -> None:
        """There are no weights."""
        return None

    @property
    def effort(self) -> None:
        """It is among the settings, where there is one."""
        return None

    def parts_taken(self) -> Mapping[str, float]:
        """What is inside of a library is not known."""
        return {}

    def check(self) -> None:
        """Raise ConfigError for a format that this Pillow lacks."""
        if self.format == "JXL":
            with contextlib.suppress(ImportError):
                import pillow_jxl  # noqa: F401  its import registers the format
        Image.init()
        if self.format not in Image.SAVE:
            package = JXL_PLUGIN if self.format == "JXL" else "--upgrade pillow"
            raise ConfigError(f"this Pillow cannot write {self.format}", hint=f"pip install {package}")

    def encode(self, picture: Image.Image, quality: float | None) -> bytes:
        """The bytes of a real file, as they would lie on disk.

        Metadata in `picture.info` (profile, EXIF) may be written too: give pictures without it.
        Raises ConfigError for a quality that is no whole number in 0..100 or a format that this Pillow lacks,
        PictureError if the library refuses the picture (WebP's sides end at 16383).
        """
        if quality is None or quality != int(quality) or not 0 <= quality <= 100:
            raise ConfigError(f"{self.name}: quality is {quality}", hint="give a whole number in 0..100")
        self.check()
        buffer = io.BytesIO()
        try:
            picture.save(buffer, format=self.format, quality=int(quality), **self.options)
        except (OSError, ValueError) as exc:
            hint = "leave this codec or this picture out"
            raise PictureError(f"{self.name} cannot encode it: {exc}", hint=hint) from exc
        return buffer.getvalue()

    def decode(self, data: bytes) -> Image.Image:
        """The picture, read back from the file."""
        # Pillow's own limit is below what we take.
        with pixel_limit(MAX_SIDE_PX**2), Image.open(io.BytesIO(data), formats=[self.format]) as image:
            return image.convert("RGB")


def _jpeg(name: str, subsampling: str) -> ClassicalCodec:
    return ClassicalCodec(
        name=name,
        key=name.lower(),
        format="JPEG",
        described=f"{subsampling}, optimised, progressive",
        options={"optimize": True, "progressive": True, "subsampling": subsampling},
        qualities=(5, 10, 20, 30, 40, 50, 65, 80, 90, 95),
    )


CLASSICAL: Final[Mapping[str, ClassicalCodec]] = {
    codec.key: codec
    for codec in (
        _jpeg("JPEG", "4:2:0"),
        _jpeg("JPEG444", "4:4:4"),
        ClassicalCodec(
            name="WebP",
            key="webp",
            format="WEBP",
            described="4:2:0, method 6",
            options={"method": 6},
            qualities=(0, 5, 15, 30, 45, 60, 75, 85, 93, 98),
        ),
        ClassicalCodec(
            name="AVIF",
            key="avif",
            format="AVIF",
            described="4:4:4, speed 4",
            options={"subsampling": "4:4:4", "speed": 4},
            qualities=(0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95),
        ),
        ClassicalCodec(
            name="JPEG XL",
            key="jxl",
            format="JXL",
            described="lossy, effort 7",
            options={"effort": 7},
            qualities=(5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95),
        ),
    )
}
"""By the names of `--against`."""


def classical(name: str) -> ClassicalCodec:
    """The codec of that name (jpeg, jpeg444, webp, avif, jxl), in any case.  Raises ConfigError for others."""
    try:
        return CLASSICAL[name.lower()]
    except KeyError:
        raise ConfigError(f"no classical codec {name!r}", hint=f"known are {', '.join(CLASSICAL)}") from None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
