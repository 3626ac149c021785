"""Two guards around every call that lets Pillow look at foreign bytes: its pixel limit, and its many exceptions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from gancodec.errors import GancodecError, LimitError, PictureError


class _PixelLimit:
    """Raises Pillow's global `Image.MAX_IMAGE_PIXELS` while at least one reader needs more, then puts it back.

    The limit is a module global of Pillow, so a plain save-change-restore breaks as soon as two threads overlap: the
    second would save the first one's value and restore it for good. Hence the count of readers under a lock; the lock
    itself is held for moments only, so decoding stays parallel. The value is a number, never None: other users of
    Pillow in the process keep a limit meanwhile, if a higher one. A warning filter is not needed (and would not be
    thread-safe either): pictures within our own limit lie below the raised one, so Pillow does not warn about them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: list[int] = []
        self._before: int | None = None
        self._ours: int | None = None

    def enter(self, pixels: int) -> None:
        with self._lock:
            if not self._wanted:
                self._before = Image.MAX_IMAGE_PIXELS
            self._wanted.append(pixels)
            self._apply()

    def leave(self, pixels: int) -> None:
        with self._lock:
            self._wanted.remove(pixels)
            if self._wanted:
                self._apply()
            elif self._ours == Image.MAX_IMAGE_PIXELS:  # else the program set its own meanwhile: leave that alone
                Image.MAX_IMAGE_PIXELS = self._before

    def _apply(self) -> None:
        self._ours = None if self._before is None else max(self._before, *self._wanted)
        Image.MAX_IMAGE_PIXELS = self._ours


_LIMIT = _PixelLimit()


@contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
    """Let Pillow read pictures of up to `pixels` pixels in this block, without its bomb warning; safe in threads.

    Callers check the sides themselves right after the header is parsed. The raised limit stays until the pixels are
    loaded, because Pillow checks a second time while it loads TIFF, GIF and ICO.
    """
    _LIMIT.enter(pixels)
    try:
        yield
    finally:
        _LIMIT.leave(pixels)


@contextmanager
def pillow_errors(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises in this block into PictureError or LimitError that names the input.

    Wrap calls into Pillow only, never our own arithmetic: the block catches every Exception, because plugins let
    SyntaxError, struct.error, KeyError, zlib.error, EOFError and others through on damaged files.
    """
    try:
        yield
    except GancodecError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise LimitError(f"{name}: has too many pixels", hint="scale it down or cut it into parts first") from exc
    except UnidentifiedImageError as exc:
        hint = "give a PNG, JPEG, WebP, AVIF, TIFF or other picture that Pillow opens"
        raise PictureError(f"{name}: is not a picture, or its header is damaged", hint=hint) from exc
    except MemoryError as exc:
        raise PictureError(f"{name}: not enough memory to decode it", hint="scale it down first") from exc
    except Exception as exc:
        reason = " ".join(str(exc).split()) or "no reason given"
        hint = "the file is damaged, cut off or of an unusual kind: copy it again or save it as PNG"
        raise PictureError(f"{name}: cannot be decoded ({type(exc).__name__}: {reason})", hint=hint) from exc
