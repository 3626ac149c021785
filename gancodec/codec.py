"""The facade: pictures to .gnc bytes and back.  Read this first.

    picture ─► mode, metadata, alpha
            └► RGB ─► pipeline: tiles ─► encoder ─► y ─► prior and coder ─► payload ─► container
    container ─► bounds, checksums ─► pipeline: payload ─► symbols (checksum) ─► ŷ ─► generator ─► picture

What differs between the families of codecs is their pipelines' business; here it is one of two properties at most.
The command line, the service, the Pillow plugin and the evaluation go through ``Codec``; nobody else joins the steps.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gancodec.container import ColourMode, Container, Header, read_container, read_header, write_container
from gancodec.defaults import DEFAULT_CODEC, DEFAULT_EFFORT, DEFAULT_QUALITY
from gancodec.effort.levels import LEVELS
from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort
from gancodec.errors import (
    ConfigError,
    CorruptError,
    DamagedMetadataWarning,
    FormatError,
    GancodecError,
    LimitError,
    WrongModelError,
)
from gancodec.networks.integer import FRACTION
from gancodec.picture import Metadata, Picture, decode_alpha, encode_alpha, from_pillow, to_pillow
from gancodec.pipeline import Coded, PhotoPipeline, Pipeline, Stream, Symbols, pipeline_for
from gancodec.rate_search import out_of_reach, refine, search, target_bytes
from gancodec.registry import ModelEntry, for_model_id, resolve
from gancodec.weights import load_weights

QUALITY_MAX_256 = 100 * FRACTION
BATCH_PIXELS_CUDA = 16_000_000
BATCH_PIXELS_CPU = 500_000
LUMA_65536 = np.array([19_595, 38_470, 7_471], np.uint32)
"""BT.601 in 1/65,536, as Pillow converts to L."""


def choose_device(device: str) -> torch.device:
    """``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.  Raises ConfigError if it is not to be had."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as exc:
        raise ConfigError(f"device {device!r} is unknown", hint="use auto, cpu or cuda") from exc
    if chosen.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {device!r} is not supported", hint="use auto, cpu or cuda")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {device!r} is not there", hint="use --device cpu, or install torch with CUDA")
    return chosen


class Codec:
    """One codec on one device.

    >>> codec = Codec.load("photo")
    >>> data = codec.compress(Image.open("photo.jpg"), quality=60)
    >>> codec.decompress(data).save("photo.png")

    Calls from several threads wait for each other.
    """

    def __init__(self, entry: ModelEntry, device: torch.device) -> None:
        self.entry = entry
        self.device = str(device)
        with torch.inference_mode(False):  # weights of such a region have no gradients to pass on
            self.pipeline: Pipeline = pipeline_for(load_weights(entry, device), device)
        self._refiner: Refiner | None = None
        self._lock = threading.RLock()  # what passes between tiles comes from the same thread

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str] = DEFAULT_CODEC, device: str = "auto") -> Codec:
        """A codec by name or by the path of its weights.

        Raises MissingModelError, WrongModelError for weights that are damaged, ConfigError for the device.
        """
        return cls(resolve(name_or_path), choose_device(device))

    @classmethod
    def for_file(cls, data: bytes, device: str = "auto") -> Codec:
        """The codec that a .gnc file names.  Raises FormatError for the file, else as ``load``."""
        return cls(for_model_id(read_header(data).model_id), choose_device(device))

    def compress(
        self,
        image: Image.Image | Picture,
        *,
        quality: float | None = None,
        target_bpp: float | None = None,
        target_size: int | None = None,
        effort: int | Effort = DEFAULT_EFFORT,
        convert_16_bit: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> bytes:
        """A whole .gnc file.

        quality: 0..100, stored in steps of 1/256; 60 if nothing is asked for.  target_bpp (bits of the whole file per
        pixel) and target_size (bytes of the whole file) search for a file that is not larger and comes within 1 % of
        it, in at most fourteen tries: less close only where the picture at quality 100 is smaller, the one at quality 0
        without effort larger, or steps of the file (four bytes at least) are wider.  A codec of one rate takes no
        quality, and a target is only a limit.  effort: 0..9, the time to be spent on a better file (docs/effort.md), or
        an ``Effort`` with all that can be said about it; a codec of one rate has nothing to spend it on.  With a target
        the search goes without, and at most six files are made with it in the end.  progress is called with the bytes
        of each try.  Raises ConfigError for options, PictureError for the picture, LimitError for a target out of
        reach.
        """
        steps = _Steps(effort if isinstance(effort, Effort) else Effort(level=effort))
        given = [value for value in (quality, target_bpp, target_size) if value is not None]
        if len(given) > 1:
            raise ConfigError("quality, target_bpp and target_size exclude each other", hint="give one of them")
        if quality is not None and not self.pipeline.has_quality:
            raise ConfigError(
                f"codec {self.entry.name!r} has one rate only",
                hint="leave the quality out, or use target_bpp or target_size with codec 'photo'",
            )
        if quality is not None and not 0 <= quality <= 100:
            raise ConfigError(f"quality is {quality}", hint="use 0 to 100")
        for name, target in (("target_bpp", target_bpp), ("target_size", target_size)):
            if target is not None and not (math.isfinite(target) and target > 0):
                raise ConfigError(f"{name} is {target}", hint="use a number above 0")
        if not isinstance(image, Picture | Image.Image):
            raise ConfigError(f"image is {type(image).__name__}", hint="give a Pillow image, such as Image.open(path)")
        picture = image if isinstance(image, Picture) else from_pillow(image, convert_16_bit=convert_16_bit)
        alpha = None if picture.alpha_HW is None else encode_alpha(picture.alpha_HW)
        if target_bpp is not None:
            target_size = target_bytes(target_bpp, picture.width, picture.height)

        def file_at(quality_256: int, effort: Effort | None = None) -> bytes:
            (symbols,) = self.quantise([picture], [quality_256], effort)
            data = self.write(picture, alpha, symbols, quality_256)
            if progress is not None:
                progress(len(data))
            return data

        def refined_at(quality_256: int) -> bytes:
            return file_at(quality_256, steps.effort)

        if not self.pipeline.has_quality:
            return _only(refined_at, target_size)
        if target_size is None:
            return refined_at(round((DEFAULT_QUALITY if quality is None else quality) * FRACTION))
        found = search(file_at, target_size, QUALITY_MAX_256)
        if steps.effort.level > 0:
            return refine(refined_at, target_size, found, goes_on=steps.goes_on)
        if found.best is None:
            raise out_of_reach(target_size, found.sizes[0])
        return found.best

    def decompress(self, data: bytes, *, realism: float | None = None) -> Image.Image:
        """The picture of a .gnc file, as a Pillow image; see ``decompress_picture``."""
        return to_pillow(self.decompress_picture(data, realism=realism))

    def decompress_picture(self, data: bytes, *, realism: float | None = None) -> Picture:
        """The picture of a .gnc file.

        realism: 0 (faithful) to 1 (generated detail); None takes 0.  Raises FormatError for damaged bytes,
        WrongModelError if the file needs other weights, ConfigError for the realism.  Damaged metadata is left out
        with a DamagedMetadataWarning.
        """
        opened = self.open(data, realism=realism)
        for message in opened.container.damaged:
            warnings.warn(f"metadata is damaged and left out: {message}", DamagedMetadataWarning, stacklevel=2)
        (picture,) = self.decode([opened])
        if isinstance(picture, GancodecError):
            raise picture
        return picture

    def verify(self, data: bytes) -> Header:
        """Check everything that can be wrong with a file, its symbols and alpha included, without making the picture.

        Raises as ``decompress_picture``; damaged metadata is a CorruptError here.
        """
        opened = self.open(data)
        if opened.container.damaged:
            raise CorruptError("; ".join(opened.container.damaged), hint="the picture itself can be opened")
        with self._lock:
            (error,) = self.pipeline.decode([opened.stream]).errors
        if error is not None:
            raise error
        return opened.header

    # The steps, for those who work on many pictures at once

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        """Pixels, both ways: pictures of one padded size go through ``quantise`` and ``decode`` together."""
        return self.pipeline.padded_size(width, height)

    @property
    def batch_pixels(self) -> int:
        """How many pixels, padding included, are worth to go through together.

        A CPU computes one picture of half a megapixel at its full rate, and several more slowly: they leave its caches.
        """
        return BATCH_PIXELS_CUDA if self.device.startswith("cuda") else BATCH_PIXELS_CPU

    def quantise(
        self, pictures: Sequence[Picture], qualities_256: Sequence[int], effort: Effort | None = None
    ) -> list[Symbols]:
        """Pictures of one padded size through the networks; qualities in 1/256; effort: None is level 0.

        Raises ConfigError for mixed sizes, and for a tune that the codec has not.
        """
        rgb = [picture.rgb_HWC for picture in pictures]
        with self._lock:
            refiner = None if effort is None else self._refiner_for(effort)
            if refiner is None or effort is None:
                return self.pipeline.quantise(rgb, qualities_256)
            return refiner.quantise(rgb, qualities_256, effort)

    def prepare(self, effort: Effort) -> None:
        """Load what an effort needs beside the codec; else the first picture does that.

        Raises ConfigError for a tune that the codec has not, and what ``load_features`` raises.
        """
        with self._lock:
            refiner = self._refiner_for(effort)
            if refiner is not None:
                refiner.prepare(effort)

    def _refiner_for(self, effort: Effort) -> Refiner | None:
        """None where there is nothing to refine."""
        if effort.features is not None and not self.pipeline.has_realism:
            raise ConfigError(
                f"codec {self.entry.name!r} has no realism generator to tune for", hint="leave tune and features out"
            )
        if effort.level == 0 or not isinstance(self.pipeline, PhotoPipeline):
            return None
        if self._refiner is None:  # only who compresses has need of it
            with torch.inference_mode(False):
                self._refiner = Refiner(self.pipeline)
        return self._refiner

    def write(self, picture: Picture, alpha: bytes | None, symbols: Symbols, quality_256: int) -> bytes:
        """The .gnc file of a picture that was quantised; in any thread.  alpha: from ``encode_alpha``."""
        coded = self.pipeline.code(symbols)
        metadata = {
            b"ICCP": picture.metadata.icc,
            b"EXIF": picture.metadata.exif,
            b"XMP ": picture.metadata.xmp,
        }
        return write_container(
            mode=ColourMode[picture.mode],
            width=picture.width,
            height=picture.height,
            model_id=self.entry.model_id,
            quality=quality_256 / FRACTION,
            uniform_tables=coded.uniform_tables,
            payload=coded.payload,
            symbol_crc=coded.symbol_crc,
            alpha=alpha,
            metadata={name: value for name, value in metadata.items() if value},
        )

    def open(self, data: bytes, *, realism: float | None = None) -> Opened:
        """All of a .gnc file that needs no network; in any thread.

        Raises FormatError for damaged bytes, WrongModelError if the file needs other weights, ConfigError for the
        realism.
        """
        realism = 0.0 if realism is None else realism
        if not 0 <= realism <= 1:
            raise ConfigError(f"realism is {realism}", hint="use 0 to 1")
        if realism > 0 and not self.pipeline.has_realism:
            raise ConfigError(f"codec {self.entry.name!r} has no realism generator", hint="use realism 0")
        container = read_container(data)
        header = container.header
        if header.model_id != self.entry.model_id:
            raise WrongModelError(
                f"the file needs the model {header.model_id.hex()}, "
                f"{self.entry.name!r} is {self.entry.model_id.hex()}",
                hint="leave --codec out to look for it among the known ones",
            )
        alpha_HW = None
        if container.alpha is not None:
            alpha_HW = decode_alpha(container.alpha, width=header.width, height=header.height)
        return Opened(container=container, alpha_HW=alpha_HW, realism=realism)

    def decode(self, opened: Sequence[Opened]) -> list[Picture | FormatError]:
        """The pictures of files of one padded size, or what is wrong with each.  Raises ConfigError for mixed sizes."""
        with self._lock:
            decoded = self.pipeline.decode([each.stream for each in opened])
            sizes = [(each.header.width, each.header.height) for each in opened]
            made: list[NDArray[np.uint8] | None] = [None] * len(opened)
            if not all(decoded.errors):
                made = [*self.pipeline.synthesise(decoded.state, sizes, [each.realism for each in opened])]
        return [
            error or each.picture(rgb_HWC)
            for each, error, rgb_HWC in zip(opened, decoded.errors, made, strict=True)
        ]

    def encode_pixels(self, colour_HWC: NDArray[np.uint8], quality_256: int, *, measure: bool = False) -> Coded:
        """The payload alone of uint8 [H, W, 1 or 3]; ``measure`` adds the ideal code length."""
        return self.pipeline.encode(Picture(colour_HWC=colour_HWC).rgb_HWC, quality_256, measure=measure)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Opened:
    """A .gnc file, read and checked as far as that goes without networks."""

    container: Container
    alpha_HW: NDArray[np.uint8] | None
    realism: float

    @property
    def header(self) -> Header:
        """Of the file."""
        return self.container.header

    @property
    def stream(self) -> Stream:
        """What the pipeline decodes."""
        header = self.header
        return Stream(
            payload=self.container.payload,
            width=header.width,
            height=header.height,
            quality_256=header.quality_256,
            symbol_crc=header.symbol_crc,
            uniform_tables=header.uniform_tables,
        )

    def picture(self, rgb_HWC: NDArray[np.uint8] | None) -> Picture:
        """The picture with these colours, its alpha and metadata."""
        assert rgb_HWC is not None
        metadata = self.container.metadata
        return Picture(
            colour_HWC=_to_grey(rgb_HWC) if self.header.mode in (ColourMode.L, ColourMode.LA) else rgb_HWC,
            alpha_HW=self.alpha_HW,
            metadata=Metadata(icc=metadata.get(b"ICCP"), exif=metadata.get(b"EXIF"), xmp=metadata.get(b"XMP ")),
        )


def _to_grey(rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey_HW = np.empty(rgb_HWC.shape[:2], np.uint8)
    for row_WC, grey_W in zip(rgb_HWC, grey_HW, strict=True):  # by rows: the sums need four bytes a sample
        grey_W[:] = (row_WC.astype(np.uint32) @ LUMA_65536 + (1 << 15)) >> 16
    return grey_HW[..., None]


def _only(file_at: Callable[[int], bytes], target: int | None) -> bytes:
    """The file of a codec with one rate, unless it is larger than ``target`` bytes."""
    data = file_at(0)
    if target is not None and len(data) > target:
        raise LimitError(
            f"a file of {target} bytes is out of reach: this codec has one rate, and makes {len(data)}",
            hint="make the picture smaller, or use a codec with quality",
        )
    return data


class _Steps:
    """An effort that remembers whether it was told to stop."""

    def __init__(self, effort: Effort) -> None:
        self._is_ended = False
        self.effort = replace(effort, step=self._step)
        self._asked = effort.step

    def _step(self, done: int, of: int) -> bool:
        goes_on = self._asked(done, of)
        self._is_ended = self._is_ended or not goes_on
        return not self._is_ended

    def goes_on(self) -> bool:
        """Whether another file may be begun."""
        return self._step(0, LEVELS[self.effort.level].steps)
