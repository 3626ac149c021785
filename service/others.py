"""The same picture by another codec at the same size: what the page compares with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from PIL import Image

from gancodec.evaluation.classical import ClassicalCodec, classical
from gancodec.evaluation.coders import encode_within

MEDIA_TYPES: Final = {"jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}
"""By the names of gancodec.evaluation.classical."""
FAST: Final[Mapping[str, Mapping[str, object]]] = {"avif": {"speed": 8}, "webp": {"method": 2}}
"""Options of a draft: a file some percent larger, made ten times as fast."""
DRAFT_RATIO: Final = 0.9
"""Size of a file by that of its draft, before the first one is known; 0.85 to 1."""
TRIES: Final = 3
"""Files that are made with the codec's own options."""
CLOSE_ENOUGH: Final = 0.97
"""Of the limit: no further try."""


def best_within(
    name: str, picture: Image.Image, limit_bytes: int, *, go_on: Callable[[], None] = lambda: None
) -> tuple[bytes, float]:
    """The file of about the highest quality that has at most so many bytes, else that of the lowest; and the quality.

    picture: RGB without metadata.  go_on is called before each piece of work, and may raise.  Raises PictureError if
    the codec cannot hold the picture.
    """
    coder = classical(name)
    if name not in FAST:
        made, found = encode_within(coder, picture, limit_bytes)
        assert found is not None
        return made, found
    search = _Search(coder, picture, go_on)
    low, high = -1, 101  # one that fits, one that does not
    ratio = DRAFT_RATIO
    best: tuple[bytes, float] | None = None
    for _ in range(TRIES):
        quality = search.highest(low + 1, high - 1, limit_bytes / ratio)
        data = search.file(quality)
        if len(data) <= limit_bytes:
            low, best = quality, (data, float(quality))
        else:
            high = quality
        if low + 1 >= high or CLOSE_ENOUGH * limit_bytes <= len(data) <= limit_bytes:
            break
        ratio = len(data) / search.draft_size(quality)
    if best is None and high > 0:  # drafts misled three times: take one, for it is a file like any other
        quality = search.highest(0, high - 1, limit_bytes)
        data = search.draft(quality)
        best = (data, float(quality)) if len(data) <= limit_bytes else None
    return best or (search.file(0), 0.0)


class _Search:
    """Files and sizes by quality, each made once."""

    def __init__(self, coder: ClassicalCodec, picture: Image.Image, go_on: Callable[[], None]) -> None:
        self._coder, self._picture, self._go_on = coder, picture, go_on
        self._fast = replace(coder, options={**coder.options, **FAST[coder.key]})
        self._draft_sizes: dict[int, int] = {}
        self._files: dict[int, bytes] = {}

    def file(self, quality: int) -> bytes:
        """With the codec's own options."""
        if quality not in self._files:
            self._go_on()
            self._files[quality] = self._coder.encode(self._picture, float(quality))
        return self._files[quality]

    def draft(self, quality: int) -> bytes:
        """With the fast ones."""
        self._go_on()
        data = self._fast.encode(self._picture, float(quality))
        self._draft_sizes[quality] = len(data)
        return data

    def draft_size(self, quality: int) -> int:
        """Bytes."""
        return self._draft_sizes.get(quality) or len(self.draft(quality))

    def highest(self, low: int, high: int, limit_bytes: float) -> int:
        """The highest quality in low..high whose draft has at most so many bytes; ``low`` if none has."""
        found = low
        while low <= high:
            middle = (low + high) // 2
            if self.draft_size(middle) <= limit_bytes:
                found, low = middle, middle + 1
            else:
                high = middle - 1
        return found
