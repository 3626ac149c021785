"""Which files a command works on: names, folders with -r, and ``-`` for standard input."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from gancodec.cli.failures import InputError
from gancodec.defaults import PICTURE_SUFFIXES
from gancodec.errors import ConfigError, GancodecError, LimitError

STANDARD_STREAM: Final = "-"
GNC_SUFFIXES: Final = frozenset((".gnc",))
MAX_FILE_BYTES: Final = 2 << 30
"""Of an input: more than any picture that is not refused for its sides, and less than machines have memory."""
OURS: Final = GNC_SUFFIXES | PICTURE_SUFFIXES
"""Nobody wonders that `compress` passes by .gnc files, and `decompress` pictures."""
PART_BYTES: Final = 1 << 20
KINDS_NAMED: Final = 6
"""Suffixes that are counted one by one in a message about what was passed by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One input."""

    name: str
    """As given on the command line, or the path below the given folder; ``-`` is standard input."""
    path: Path | None
    """None is standard input."""
    below: Path | None = None
    """Path relative to the folder in which the file was found; None if the file itself was named."""
    problem: GancodecError | None = None
    """Why it is known already that nothing can be made of the input."""

    @property
    def label(self) -> str:
        """What messages call the input."""
        return "stdin" if self.path is None else self.name


@dataclass(kw_only=True, slots=True)
class PassedBy:
    """What a search of folders met and did not take.  Hidden files and those of our other direction do not count."""

    files: Counter[str] = field(default_factory=Counter)
    """By suffix, in small letters and without its dot."""
    links: int = 0
    """To folders: they are not followed."""

    @property
    def text(self) -> str:
        """For people: ``3 files (heic 1, jfif 1, nef 1), 1 link to a folder``; empty where there is nothing to say."""
        parts = []
        if count := self.files.total():
            kinds = sorted(self.files.items(), key=lambda kind: (-kind[1], kind[0]))
            told = [f"{suffix or 'no suffix'} {number:,}" for suffix, number in kinds[:KINDS_NAMED]]
            if rest := sum(number for _, number in kinds[KINDS_NAMED:]):
                told.append(f"others {rest:,}")
            parts.append(f"{count:,} file{'' if count == 1 else 's'} ({', '.join(told)})")
        if self.links:
            parts.append("1 link to a folder" if self.links == 1 else f"{self.links:,} links to folders")
        return ", ".join(parts)

    def as_row(self) -> dict[str, Any]:
        """For --json."""
        return {"files": dict(sorted(self.files.items())), "links": self.links}


def expand(
    arguments: Sequence[str],
    *,
    recursive: bool,
    suffixes: Collection[str],
    folder_hint: str = "name the files in it",
    passed: PassedBy | None = None,
) -> list[Source]:
    """The inputs that `arguments` name, in their order; folders, if `recursive`, become the files of `suffixes` below.

    A folder without `recursive` becomes an input with a problem, which `folder_hint` helps to solve.  What a search
    does not take is counted in `passed`.  Raises ConfigError for ``-`` given twice, InputError if folders were searched
    and nothing at all was found.
    """
    sources: list[Source] = []
    passed = PassedBy() if passed is None else passed
    for argument in arguments:
        if argument == STANDARD_STREAM:
            sources.append(Source(name=argument, path=None))
        elif not argument:
            raise ConfigError("an input has an empty name", hint="look at the quotes and variables of your command")
        elif not is_folder(argument):
            sources.append(Source(name=argument, path=Path(argument)))
        elif recursive:
            sources.extend(_walk(Path(argument), suffixes, passed))
        else:
            problem = InputError("is a folder", hint=folder_hint)
            sources.append(Source(name=argument, path=Path(argument), problem=problem))
    if sum(source.path is None for source in sources) > 1:
        raise ConfigError("standard input is given twice", hint="give - once")
    if not sources:
        kinds = ", ".join(sorted(suffix[1:] for suffix in suffixes))
        met = f"; passed by {passed.text}" if passed.text else ""
        raise InputError(f"no files found in {', '.join(arguments)}", hint=f"looked for {kinds}{met}")
    return sources


def without_repeats(sources: Sequence[Source], *, mirrored: bool) -> list[Source]:
    """The sources without those that were named before, whatever the spelling, and so have the same output.

    mirrored: outputs lie where the tree below a given folder says, so that a file that is found below two folders has
    two outputs.  Links have names of their own, and outputs.
    """
    kept: dict[object, Source] = {}
    for source in sources:
        path = source.path
        if path is None:
            kept[None] = source
        else:
            place = os.path.normcase(os.path.join(os.path.realpath(path.parent), path.name))  # noqa: PTH118
            kept.setdefault((place, source.below if mirrored else None), source)
    return list(kept.values())


def read(source: Source) -> bytes:
    """All bytes of the input.  Raises InputError; LimitError above MAX_FILE_BYTES, of which it reads nothing."""
    if source.problem is not None:
        raise source.problem
    if source.path is None and sys.stdin is None:
        raise InputError("standard input is closed", hint="name a file, or use a pipe")
    try:
        return _read_stream(sys.stdin.buffer) if source.path is None else _read_file(source.path)
    except MemoryError as exc:
        raise LimitError("does not fit into memory", hint="free some, or take a smaller file") from exc
    except FileNotFoundError as exc:
        raise InputError("no such file", hint="check the name") from exc
    except OSError as exc:
        raise InputError(f"cannot be read: {exc.strerror}", hint="check the rights and the disk") from exc


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return _read_stream(file)
        if found.st_size > MAX_FILE_BYTES:
            raise _too_large(f"has {found.st_size:,} bytes")
        return file.read()


def _read_stream(stream: IO[bytes]) -> bytes:
    """Of a pipe only reading tells how much there is."""
    parts: list[bytes] = []
    rest = MAX_FILE_BYTES
    while part := stream.read(PART_BYTES):
        rest -= len(part)
        if rest < 0:
            raise _too_large(f"has more than {MAX_FILE_BYTES:,} bytes")
        parts.append(part)
    return b"".join(parts)


def _too_large(what: str) -> LimitError:
    limit = f"the limit is {MAX_FILE_BYTES >> 30} GiB"
    return LimitError(f"{what}, {limit}", hint="if it is a picture, scale it down or cut it into parts first")


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; False, too, where that is not to be learnt."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir() raises PermissionError below a locked folder


def _walk(folder: Path, suffixes: Collection[str], passed: PassedBy) -> Iterator[Source]:
    """Files of `suffixes` below `folder`, in the order of their names.  Links to folders are not followed: no loops."""
    unreadable: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        passed.links += sum(os.path.islink(os.path.join(here, name)) for name in folders)  # noqa: PTH114, PTH118
        for name in sorted(files):
            path = Path(here, name)
            if path.suffix.lower() in suffixes:
                # A pipe would keep everything behind it waiting, for ever.
                odd = os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113  as in is_folder()
                problem = InputError("is not a regular file", hint="name it, if it is to be read") if odd else None
                yield Source(name=str(path), path=path, below=path.relative_to(folder), problem=problem)
            elif not name.startswith(".") and path.suffix.lower() not in OURS:
                passed.files[path.suffix.lower().removeprefix(".")] += 1
    for exc in unreadable:
        problem = InputError(f"the folder cannot be listed: {exc.strerror}", hint="check its rights")
        path = Path(exc.filename)
        yield Source(name=str(path), path=path, below=path.relative_to(folder), problem=problem)
