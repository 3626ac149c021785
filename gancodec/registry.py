"""Which weights there are, and where: by name, path or model id.  Standard library only, so that ``gancodec info`` and
``gancodec models`` need no torch.

Shipped codecs are listed in ``weights/manifest.json``, beside the package in a checkout and inside it in a wheel.  Any
other weights file is known by its path, or because it lies below one of the folders of ``GANCODEC_CODECS``
(separated as in PATH).
"""

from __future__ import annotations

import difflib
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gancodec.errors import MissingModelError, WrongModelError

CODECS_VARIABLE: Final = "GANCODEC_CODECS"
SUFFIX: Final = ".safetensors"
HEADER_LIMIT: Final = 4 << 20
"""Bytes; safetensors headers of ours are a few kilobytes."""


class ForeignWeightsError(WrongModelError):
    """A safetensors file without metadata: of another program."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """One weights file, as far as it is known without reading its tensors."""

    name: str
    path: Path
    codec: str
    """Family of the architecture: ``photo`` or ``extreme``."""
    model_id: bytes
    """Four bytes that a .gnc file carries: which prior it was coded with."""
    licence: str
    size_bytes: int
    has_realism: bool
    """Whether the file holds a realism generator beside the fidelity one."""
    sha256: str = ""
    """Of the whole file, for shipped weights; else empty."""

    @property
    def has_quality(self) -> bool:
        """Whether its files differ in quality; those of ``extreme`` have one rate."""
        return self.codec != "extreme"


def shipped_folder() -> Path | None:
    """The folder of the shipped weights; None in an installation without any."""
    package = Path(__file__).resolve().parent
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "manifest.json").is_file():
            return folder
    return None


def shipped_models() -> list[ModelEntry]:
    """Entries of the manifest, in its order; empty if there is none.  Raises WrongModelError for a broken manifest."""
    folder = shipped_folder()
    if folder is None:
        return []
    try:
        rows = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["models"]
        return [
            ModelEntry(
                name=row["name"],
                path=folder / row["file"],
                codec=row["codec"],
                model_id=bytes.fromhex(row["model_id"]),
                licence=row["licence"],
                size_bytes=row["size_bytes"],
                has_realism=row["has_realism"],
                sha256=row["sha256"],
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise WrongModelError(f"{folder / 'manifest.json'} is damaged: {exc!r}", hint="install gancodec again") from exc


def user_models() -> list[ModelEntry]:
    """Weights below the folders of GANCODEC_CODECS, sorted by path; files that are not ours are passed over."""
    return _entries(user_paths())


def user_paths() -> list[Path]:
    """Every weights file below the folders of GANCODEC_CODECS, damaged and foreign ones as well; sorted by folder."""
    folders = filter(None, os.environ.get(CODECS_VARIABLE, "").split(os.pathsep))
    return [path for folder in folders for path in sorted(Path(folder).rglob(f"*{SUFFIX}"))]


def is_foreign(path: Path) -> bool:
    """Whether a weights file is whole as far as its header goes, and none that gancodec wrote as a codec."""
    try:
        metadata = read_metadata(path)
    except ForeignWeightsError:
        return True
    except WrongModelError:
        return False
    return "model_id" not in metadata  # as in checkpoints


def _entries(paths: Iterable[Path]) -> list[ModelEntry]:
    """The codecs among some files, in their order."""
    entries = []
    for path in paths:
        try:
            entries.append(read_entry(path))
        except WrongModelError:
            continue
    return entries


def known_models() -> list[ModelEntry]:
    """Shipped models, then those of GANCODEC_CODECS in their order."""
    return shipped_models() + user_models()


def read_metadata(path: Path) -> dict[str, str]:
    """The ``__metadata__`` of a safetensors file.  Raises WrongModelError if there is none to read."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > HEADER_LIMIT:
                raise ValueError(f"a header of {size} bytes")
            metadata: Any = json.loads(file.read(size)).get("__metadata__")
    except (OSError, ValueError, struct.error, AttributeError, RecursionError) as exc:
        raise WrongModelError(f"{path} is not a weights file: {exc}", hint="expected a .safetensors file") from exc
    if metadata is None:
        raise ForeignWeightsError(f"{path} has no metadata", hint="expected weights written by gancodec")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise WrongModelError(f"{path} has damaged metadata", hint="expected weights written by gancodec")
    return metadata


def read_entry(path: Path) -> ModelEntry:
    """The entry of any weights file, from its header.  Raises WrongModelError if gancodec did not write it."""
    metadata = read_metadata(path)
    try:
        return ModelEntry(
            name=metadata["name"],
            path=path,
            codec=json.loads(metadata["configuration"])["codec"],
            model_id=bytes.fromhex(metadata["model_id"]),
            licence=metadata.get("licence", "unknown"),
            size_bytes=path.stat().st_size,
            has_realism=metadata.get("has_realism") == "true",
        )
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as exc:
        raise WrongModelError(
            f"{path} is a safetensors file, but not a codec of gancodec: {exc!r}",
            hint="training checkpoints are not codecs; the codec lies beside them",
        ) from exc


def resolve(name_or_path: str | os.PathLike[str]) -> ModelEntry:
    """A model by name, by the path of its weights, or by a folder that holds one weights file.

    Shipped names come first, then paths, then names of GANCODEC_CODECS, whose folders are searched only if need be.
    Raises MissingModelError with the nearest names, WrongModelError for a file that is not a codec.
    """
    text = os.fspath(name_or_path)
    known = shipped_models()
    for entry in known:
        if entry.name == text:
            return entry
    path = Path(text)
    if path.is_file():
        return read_entry(path)
    inside = _entries(sorted(path.glob(f"*{SUFFIX}"))) if path.is_dir() else []
    if len(inside) == 1:
        return inside[0]
    known += user_models()
    for entry in known:
        if entry.name == text:
            return entry
    if path.is_dir():
        raise MissingModelError(
            f"{path} holds {len(inside)} codecs, not one", hint="name the .safetensors file itself with --codec"
        )
    names = [entry.name for entry in known]
    near = difflib.get_close_matches(text, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(names) or 'none'}; or give a path"
    raise MissingModelError(f"no codec is called {text!r} and no such file exists", hint=hint)


def for_model_id(model_id: bytes) -> ModelEntry:
    """The weights that can open a file with this model id: shipped ones, else the first of GANCODEC_CODECS.

    Raises MissingModelError naming the id.
    """
    # Two lists, not known_models(): folders are searched only if need be.
    for models in (shipped_models, user_models):
        for entry in models():
            if entry.model_id == model_id:
                return entry
    raise MissingModelError(
        f"the file needs the model {model_id.hex()}, which is not among the known ones",
        hint=f"give its weights with --codec PATH, or put their folder into {CODECS_VARIABLE}",
    )
