"""Checks of `gancodec doctor` about weights: files as they were shipped, and a picture through every codec."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gancodec.cli.doctor import Finding, Level, fail, ok, warning
from gancodec.cli.inputs import is_folder
from gancodec.errors import WrongModelError
from gancodec.registry import (
    CODECS_VARIABLE,
    ModelEntry,
    is_foreign,
    read_entry,
    shipped_folder,
    shipped_models,
    user_paths,
)

if TYPE_CHECKING:
    from PIL import Image

    from gancodec.codec import Codec

SIDES: Final = (96, 64)
LARGEST_DIFFERENCE: Final = 30.0
"""Mean absolute difference, of 255, above which what came back is another picture: the shipped codecs are at 3 and 16,
the test picture upside down at 44, its mean colour at 60, noise at 85."""
AGAIN: Final = "install gancodec again, or in a checkout `git checkout weights`"


def shipped(entries: list[ModelEntry]) -> Iterator[Finding]:
    """Shipped weights: files there, and byte for byte what the manifest says.  Those that serve go to ``entries``."""
    if shipped_folder() is None:
        yield fail("weights", "none were shipped: there is no manifest.json", AGAIN)
        return
    for entry in shipped_models():
        finding = _as_shipped(entry)
        yield finding
        if finding.level is Level.OK:
            entries.append(entry)


def _as_shipped(entry: ModelEntry) -> Finding:
    """What there is to say about one shipped file."""
    check = f"weights {entry.name}"
    if not entry.path.is_file():
        return fail(check, f"{entry.path} is missing", AGAIN)
    try:
        with entry.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        return fail(check, f"{entry.path} cannot be read: {exc.strerror}", "check the rights of the file, and the disk")
    if sha256 != entry.sha256:
        return fail(check, f"{entry.path} has SHA-256 {sha256}, the manifest says {entry.sha256}", AGAIN)
    try:
        identity = read_entry(entry.path).model_id
    except WrongModelError as exc:
        return fail(check, exc.message, AGAIN)
    if identity != entry.model_id:
        found = f"{entry.path} is model {identity.hex()}, the manifest says {entry.model_id.hex()}"
        return fail(check, found, AGAIN)
    return ok(check, f"model {identity.hex()}, {entry.size_bytes / 1e6:.1f} MB, SHA-256 as shipped")


def others(entries: list[ModelEntry]) -> Iterator[Finding]:
    """The folders of GANCODEC_CODECS, whose codecs go to ``entries``."""
    for folder in filter(None, os.environ.get(CODECS_VARIABLE, "").split(os.pathsep)):
        if not is_folder(folder):
            yield warning(CODECS_VARIABLE, f"{folder} is no folder", "mend the variable")
    names = {entry.name for entry in entries}
    for path in user_paths():
        try:
            entry = read_entry(path)
        except WrongModelError as exc:
            if not is_foreign(path):
                advice = "copy or train it again, or take it out of the folder: nothing else can use it"
                yield fail(f"weights {path.name}", exc.message, advice)
            continue
        if entry.name in names:
            check = f"weights {entry.name} ({path})"
            advice = f"give --codec {path}, or rename one of them"
            yield warning(check, "has the name of another codec, which goes before it", advice)
        else:
            yield ok(f"weights {entry.name}", f"model {entry.model_id.hex()}, {path}")
        names.add(entry.name)
        entries.append(entry)


def names_apart(entries: Sequence[ModelEntry]) -> list[str]:
    """What findings call codecs: by their names, and with their paths where names are the same."""
    counts = Counter(entry.name for entry in entries)
    return [entry.name if counts[entry.name] == 1 else f"{entry.name} ({entry.path})" for entry in entries]


def self_test(entry: ModelEntry, name: str, device: str) -> Iterator[Finding]:
    """A small picture to a file and back.

    The file is made with one thread on the device that was asked for, and its symbols are checked there and on the CPU
    with two threads: what gancodec promises is that they are the same.  Raises ModelError and ConfigError for weights
    or a device that do not serve, FormatError where symbols differ.
    """
    from gancodec.codec import Codec

    started = perf_counter()
    codec = Codec.load(entry.path, device)
    load_s = perf_counter() - started
    started = perf_counter()
    original = _test_picture()
    with _threads(1):
        data = codec.compress(original)
    codec.verify(data)
    with _threads(2):
        _on_cpu(codec, entry).verify(data)
    difference = _difference(original, codec.decompress(data))
    seconds = perf_counter() - started
    found = f"{len(data)} bytes, difference {difference:.1f} of 255"
    check = f"codec {name}"
    if difference > LARGEST_DIFFERENCE and entry.sha256:
        yield fail(check, f"another picture came back: {found}", "install torch again; if it stays, report this line")
    elif difference > LARGEST_DIFFERENCE:
        yield warning(check, f"far from the original: {found}", "train it longer")
    else:
        yield ok(check, f"loads ({load_s:.1f} s), round trip on {codec.device}: {found}, {seconds:.1f} s")


def _on_cpu(codec: Codec, entry: ModelEntry) -> Codec:
    return codec if codec.device == "cpu" else type(codec).load(entry.path, "cpu")


def _test_picture() -> Image.Image:
    """Smooth colours with an edge: any codec of photographs can do that."""
    import numpy as np
    from PIL import Image

    width, height = SIDES
    y_HW, x_HW = np.mgrid[:height, :width]
    planes = [
        255 * x_HW / (width - 1),
        255 * y_HW / (height - 1),
        np.where(np.hypot(x_HW - width / 2, y_HW - height / 2) < height / 3, 200, 60),
    ]
    return Image.fromarray(np.stack(planes, axis=2).round().astype(np.uint8))


def _difference(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference, of 255."""
    import numpy as np

    return float(np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)).mean())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """In this block torch computes with so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
