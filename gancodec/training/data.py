"""Photographs as uint8 in memory, and random crops of them.

A crop depends only on (seed, step), so that an interrupted run goes on with the very crops it would have seen.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.errors import ConfigError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif"}
SHRINK_MIN = 0.6
SHRINK_SHARE = 0.6
"""Share of crops that are shrunk by a random factor 0.6..1: more scales, and JPEG's traces go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Photos:
    """Decoded pictures; ``skipped`` counts files that could not be read or are smaller than a crop."""

    pictures: tuple[Image.Image, ...]
    skipped: int

    @property
    def megapixels(self) -> float:
        return sum(picture.width * picture.height for picture in self.pictures) / 1e6


def _decode(path: Path, side: int) -> Image.Image | None:
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return picture if min(picture.size) >= side else None


def load_photos(folder: Path, side: int) -> Photos:
    """Every readable photo below ``folder`` whose shorter side is at least ``side`` pixels, in order of path.

    Raises ConfigError when there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    with ThreadPoolExecutor(4) as pool:
        decoded = list(pool.map(lambda path: _decode(path, side), paths))
    pictures = tuple(picture for picture in decoded if picture is not None)
    if not pictures:
        raise ConfigError(
            f"{folder}: no usable photo among {len(paths)} picture files",
            hint=f"training needs photos of at least {side}x{side} pixels",
        )
    return Photos(pictures=pictures, skipped=len(paths) - len(pictures))


def crop(picture: Image.Image, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random square [side, side, 3] uint8: perhaps shrunk, perhaps mirrored."""
    largest = min(picture.size)
    source = float(side)
    if rng.random() < SHRINK_SHARE:
        source = min(side / rng.uniform(SHRINK_MIN, 1.0), float(largest))
    left = rng.uniform(0, picture.width - source)
    top = rng.uniform(0, picture.height - source)
    if source == side:
        left, top = int(left), int(top)
        square = picture.crop((left, top, left + side, top + side))
    else:
        square = picture.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + source, top + source))
    pixels = np.asarray(square)
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


class CropStream:
    """Batches [batch, side, side, 3] uint8 from step ``start`` on, made ahead of time in a thread.

    ``waited`` is the time in seconds that the consumer stood still for data.
    """

    def __init__(self, photos: Photos, *, side: int, batch: int, seed: int, start: int = 0) -> None:
        self.photos, self.side, self.batch, self.seed = photos, side, batch, seed
        self.waited = 0.0
        areas = np.array([picture.width * picture.height for picture in photos.pictures], dtype=np.float64)
        # By the root of the area: large photos count for more, but do not rule.
        self._weights = np.sqrt(areas) / np.sqrt(areas).sum()
        self._queue: queue.Queue[NDArray[np.uint8] | Exception] = queue.Queue(maxsize=8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, args=(start,), daemon=True)
        self._thread.start()

    def make(self, step: int) -> NDArray[np.uint8]:
        """The batch of one step; the same for the same seed and step."""
        rng = np.random.default_rng((self.seed, step))
        numbers = rng.choice(len(self._weights), self.batch, p=self._weights)
        return np.stack([crop(self.photos.pictures[number], self.side, rng) for number in numbers])

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
