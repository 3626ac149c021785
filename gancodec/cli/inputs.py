"""Which files a command works on: names, folders with -r, and ``-`` for standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gancodec.cli.failures import InputError
from gancodec.errors import ConfigError, GancodecError

STANDARD_STREAM: Final = "-"
GNC_SUFFIXES: Final = frozenset((".gnc",))


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


def expand(
    arguments: Sequence[str], *, recursive: bool, suffixes: Collection[str], folder_hint: str = "name the files in it"
) -> list[Source]:
    """The inputs that `arguments` name, in their order; folders, if `recursive`, become the files of `suffixes` below.

    A folder without `recursive` becomes an input with a problem, which `folder_hint` helps to solve.  Raises
    ConfigError for ``-`` given twice, InputError if folders were searched and nothing at all was found.
    """
    sources: list[Source] = []
    for argument in arguments:
        if argument == STANDARD_STREAM:
            sources.append(Source(name=argument, path=None))
        elif not argument:
            raise ConfigError("an input has an empty name", hint="look at the quotes and variables of your command")
        elif not is_folder(argument):
            sources.append(Source(name=argument, path=Path(argument)))
        elif recursive:
            sources.extend(_walk(Path(argument), suffixes))
        else:
            problem = InputError("is a folder", hint=folder_hint)
            sources.append(Source(name=argument, path=Path(argument), problem=problem))
    if sum(source.path is None for source in sources) > 1:
        raise ConfigError("standard input is given twice", hint="give - once")
    if not sources:
        kinds = ", ".join(sorted(suffix[1:] for suffix in suffixes))
        raise InputError(f"no files found in {', '.join(arguments)}", hint=f"looked for {kinds}")
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
    """All bytes of the input.  Raises InputError."""
    if source.problem is not None:
        raise source.problem
    if source.path is None and sys.stdin is None:
        raise InputError("standard input is closed", hint="name a file, or use a pipe")
    try:
        return sys.stdin.buffer.read() if source.path is None else source.path.read_bytes()
    except FileNotFoundError as exc:
        raise InputError("no such file", hint="check the name") from exc
    except OSError as exc:
        raise InputError(f"cannot be read: {exc.strerror}", hint="check the rights and the disk") from exc


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder; False, too, where that is not to be learnt."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir() raises PermissionError below a locked folder


def _walk(folder: Path, suffixes: Collection[str]) -> Iterator[Source]:
    """Files of `suffixes` below `folder`, in the order of their names.  Links to folders are not followed: no loops."""
    unreadable: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        for name in sorted(files):
            path = Path(here, name)
            if path.suffix.lower() in suffixes:
                # A pipe would keep everything behind it waiting, for ever.
                odd = os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113  as in is_folder()
                problem = InputError("is not a regular file", hint="name it, if it is to be read") if odd else None
                yield Source(name=str(path), path=path, below=path.relative_to(folder), problem=problem)
    for exc in unreadable:
        problem = InputError(f"the folder cannot be listed: {exc.strerror}", hint="check its rights")
        path = Path(exc.filename)
        yield Source(name=str(path), path=path, below=path.relative_to(folder), problem=problem)
