"""Photographs as uint8 in memory, and random crops of them.

A crop depends only on (seed, step, process), so that an interrupted run goes on with the very crops it would have seen.
"""

from __future__ import annotations

import os
import queue
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gancodec.errors import ConfigError, GancodecError
from gancodec.picture import read_picture

SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jfif", ".jp2", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".tga", ".avif",
}  # fmt: skip
"""Looked at below a folder, in upper or lower case."""
PHOTO_MAX_MEGAPIXELS = 6.0
"""Larger photos are shrunk to this: they take memory, and their finest detail is the camera's own noise."""
MEMORY_MEGAPIXELS = 1500.0
"""As much is held, 6 GB at Pillow's four bytes a pixel; of larger folders a random part."""
SHRINK_MIN = 0.6
SHRINK_SHARE = 0.6
"""Share of crops that are shrunk by a random factor 0.6..1: more scales, and JPEG's traces go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Photos:
    """Decoded pictures, and what of the folder is not among them."""

    pictures: tuple[Image.Image, ...]
    broken: tuple[Path, ...] = ()
    """Could not be read."""
    small: tuple[Path, ...] = ()
    """Have a side shorter than a crop."""
    left_out: int = 0
    """Beyond what is held in memory."""

    @property
    def megapixels(self) -> float:
        return sum(picture.width * picture.height for picture in self.pictures) / 1e6

    def summary(self) -> str:
        """One line: how many, how large, what was skipped and why."""
        parts = [f"{len(self.pictures)} photos, {self.megapixels:.0f} Mpixel"]
        for count, why in (
            (len(self.broken), "cannot be read"),
            (len(self.small), "too small"),
            (self.left_out, "beyond the memory limit"),
        ):  # fmt: skip
            if count:
                parts.append(f"{count} skipped: {why}")
        return "; ".join(parts)


def _decode(path: Path, side: int) -> Image.Image | None:
    """None for what cannot be read."""
    try:
        pixels = read_picture(path.read_bytes(), name=path.name, convert_16_bit=True).colour_HWC
    except (OSError, GancodecError, MemoryError):
        return None
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    factor = (picture.width * picture.height / (PHOTO_MAX_MEGAPIXELS * 1e6)) ** 0.5
    if factor > 1:
        size = (round(picture.width / factor), round(picture.height / factor))
        # A panorama may not lose its short side.
        if min(size) >= side:
            return picture.resize(size, Image.Resampling.LANCZOS)
    return picture


def picture_files(folder: Path) -> list[Path]:
    """Everything below ``folder`` that is called like a picture, in order of path.

    Links to folders are followed, each folder once; what is hidden, or in a hidden folder, is passed over.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(here) / name for name in names if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(found)


def load_photos(folder: Path, side: int, *, megapixels: float = MEMORY_MEGAPIXELS, seed: int = 0) -> Photos:
    """Every readable photo below ``folder`` whose sides have at least ``side`` pixels, in order of path.

    Of folders with more than ``megapixels``, photos are taken at random until there are as many.  Raises ConfigError
    when there is none.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder", hint="give a folder of photos")
    paths = picture_files(folder)
    order = list(np.random.default_rng(seed).permutation(len(paths)))
    found: dict[Path, Image.Image] = {}
    broken, small = [], []
    held, seen = 0.0, 0
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        # That 16 bits became 8, or that a profile is damaged, is nothing to the crops.
        warnings.simplefilter("ignore")
        while order and held < megapixels:
            chunk, order = order[:32], order[32:]
            chosen = [paths[number] for number in chunk]
            seen += len(chosen)
            for path, picture in zip(chosen, pool.map(lambda path: _decode(path, side), chosen), strict=True):
                if picture is None:
                    broken.append(path)
                elif min(picture.size) < side:
                    small.append(path)
                else:
                    found[path] = picture
                    held += picture.width * picture.height / 1e6
    if not found:
        why = f"{len(broken)} cannot be read, {len(small)} have a side under {side} pixels"
        raise ConfigError(
            f"{folder}: no usable photo among {len(paths)} picture files" + (f" ({why})" if paths else ""),
            hint=f"training needs photos of at least {side}x{side} pixels",
        )
    return Photos(
        pictures=tuple(found[path] for path in sorted(found)),
        broken=tuple(sorted(broken)),
        small=tuple(sorted(small)),
        left_out=len(paths) - seen,
    )


def central_squares(pictures: Sequence[Image.Image], *, count: int, side: int) -> list[NDArray[np.uint8]]:
    """Central squares of the first ``count`` pictures that are large enough, in batches of four."""
    squares = []
    for picture in pictures:
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        if left >= 0 and top >= 0:
            squares.append(np.asarray(picture.crop((left, top, left + side, top + side))))
    squares = squares[:count]
    return [np.stack(squares[start : start + 4]) for start in range(0, len(squares), 4)]


def sample(photos: Photos, *, megapixels: float, side: int, seed: int) -> list[NDArray[np.uint8]]:
    """Pixels of photos in random order, each cut to at most ``side`` a side, until there are so many megapixels."""
    rng = np.random.default_rng(seed)
    chosen: list[NDArray[np.uint8]] = []
    held = 0.0
    for number in rng.permutation(len(photos.pictures)):
        if held >= megapixels:
            break
        picture = photos.pictures[number]
        width, height = min(side, picture.width), min(side, picture.height)
        left, top = int(rng.integers(picture.width - width + 1)), int(rng.integers(picture.height - height + 1))
        chosen.append(np.asarray(picture.crop((left, top, left + width, top + height))))
        held += width * height / 1e6
    return chosen


@dataclass(frozen=True, slots=True)
class Crop:
    """Where a crop lies in its photo: a square of ``source`` pixels a side, perhaps to be mirrored."""

    number: int
    left: float
    top: float
    source: float
    mirrored: bool


class CropPlan:
    """Which crops make up which batch; the same for the same seed, step and process."""

    def __init__(self, sizes: Sequence[tuple[int, int]], *, side: int, batch: int, seed: int, rank: int = 0) -> None:
        self.sizes, self.side, self.batch, self.seed, self.rank = sizes, side, batch, seed, rank
        roots = np.sqrt([float(width * height) for width, height in sizes])
        # By the root of the area: large photos count for more, but do not rule.
        self._weights = roots / roots.sum()

    def batch_at(self, step: int) -> list[Crop]:
        """The crops of one step."""
        rng = np.random.default_rng((self.seed, step, self.rank) if self.rank else (self.seed, step))
        numbers = rng.choice(len(self._weights), self.batch, p=self._weights)
        return [self._crop(int(number), rng) for number in numbers]

    def _crop(self, number: int, rng: np.random.Generator) -> Crop:
        width, height = self.sizes[number]
        source = float(self.side)
        if rng.random() < SHRINK_SHARE:
            source = min(self.side / rng.uniform(SHRINK_MIN, 1.0), float(min(width, height)))
        left, top = rng.uniform(0, width - source), rng.uniform(0, height - source)
        if source == self.side:
            left, top = int(left), int(top)
        return Crop(number, left, top, source, bool(rng.random() < 0.5))


class CropStream:
    """Batches [batch, side, side, 3] uint8 from step ``start`` on, made ahead of time in a thread.

    ``waited`` is the time in seconds that the consumer stood still for data.
    """

    def __init__(
        self, photos: Photos, *, side: int, batch: int, seed: int, start: int = 0, rank: int = 0
    ) -> None:  # fmt: skip
        self.photos = photos
        self.plan = CropPlan([p.size for p in photos.pictures], side=side, batch=batch, seed=seed, rank=rank)
        self.waited = 0.0
        self._queue: queue.Queue[NDArray[np.uint8] | Exception] = queue.Queue(maxsize=8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, args=(start,), daemon=True)
        self._thread.start()

    def make(self, step: int) -> NDArray[np.uint8]:
        """The batch of one step."""
        return make_batch(self.photos, self.plan, step)

    def _produce(self, step: int) -> None:
        while not self._stop.is_set():
            try:
                made: NDArray[np.uint8] | Exception = self.make(step)
            except Exception as exc:  # raised again where the batch was wanted
                made = exc
            step += 1
            while not self._stop.is_set():
                try:
                    self._queue.put(made, timeout=0.2)
                    break
                except queue.Full:
                    continue

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        while True:
            start = perf_counter()
            batch = self._queue.get()
            self.waited += perf_counter() - start
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def make_batch(photos: Photos, plan: CropPlan, step: int) -> NDArray[np.uint8]:
    """The batch of one step, [batch, side, side, 3] uint8."""
    return np.stack([_cut(photos.pictures[crop.number], crop, plan.side) for crop in plan.batch_at(step)])


def _cut(picture: Image.Image, crop: Crop, side: int) -> NDArray[np.uint8]:
    box = (crop.left, crop.top, crop.left + crop.source, crop.top + crop.source)
    if crop.source == side:
        square = picture.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3])))
    else:
        square = picture.resize((side, side), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(square)
    return pixels[:, ::-1] if crop.mirrored else pixels


class DeviceCrops:
    """As ``CropStream``, with the photos in the device's memory and the crops made there: uint8 tensors.

    Nothing crosses the bus but numbers; positions are rounded to whole pixels, unlike Pillow's.
    """

    def __init__(
        self, photos: Photos, device: torch.device, *, side: int, batch: int, seed: int, start: int = 0, rank: int = 0
    ) -> None:
        self.plan = CropPlan([p.size for p in photos.pictures], side=side, batch=batch, seed=seed, rank=rank)
        self.waited = 0.0
        self._device, self._step = device, start
        self._photos_HWC = [torch.from_numpy(np.array(picture)).to(device) for picture in photos.pictures]

    def make(self, step: int) -> Tensor:
        """The batch of one step, uint8 [batch, side, side, 3] on the device."""
        return torch.stack([self._cut(crop) for crop in self.plan.batch_at(step)])

    def _cut(self, crop: Crop) -> Tensor:
        side, source = self.plan.side, round(crop.source)
        left, top = int(crop.left), int(crop.top)
        square = self._photos_HWC[crop.number][top : top + source, left : left + source]
        if source != side:
            floats = square.permute(2, 0, 1)[None].float()
            floats = F.interpolate(floats, (side, side), mode="bicubic", antialias=True, align_corners=False)
            square = floats[0].round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0)
        return square.flip(1) if crop.mirrored else square

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            start = perf_counter()
            batch = self.make(self._step)
            self.waited += perf_counter() - start
            self._step += 1
            yield batch

    def close(self) -> None:
        self._photos_HWC = []
