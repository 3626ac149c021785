"""One file of many on its way through a command, and what the user wants done about it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic

from gancodec.cli.operation import Converted, OpenedT, StateT
from gancodec.cli.outputs import Job
from gancodec.errors import ConfigError, OutputError
from gancodec.writing import Identity

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors of writing that every other output would meet, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What to do about outputs that exist, inputs that fail, and results that are no gain."""

    force: bool = False
    """Overwrite."""
    skip_existing: bool = False
    """Pass over inputs whose output is there, whole and up to date."""
    keep_going: bool = False
    """Go on with the next input after a failure."""
    json: bool = False
    """Report each file as a JSON object on stdout."""
    make_folders: bool = False
    """Make the folders of outputs."""
    writes_gnc: bool = False
    """Results are .gnc files: with `force` nothing else is overwritten through a link."""
    warn_larger: bool = False
    """Say which results are not smaller than their inputs."""
    keep_larger: bool = False
    """Write no such results."""

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise ConfigError("--force and --skip-existing exclude each other", hint="give one of them; Try --help")


@dataclass(kw_only=True, slots=True, eq=False)
class Item(Generic[OpenedT, StateT]):
    """A job on its way, and what became of it."""

    job: Job
    pixels: int = 0
    """Of the budget."""
    opened: OpenedT | None = None
    state: StateT | None = None
    converted: Converted | None = None
    had_output: bool = False
    """Whether there is a file where the result goes, that may be the result already."""
    skipped: bool = False
    was_cut_short: bool = False
    """Whether Ctrl-C ended its refinement."""
    is_larger: bool = False
    is_left_alone: bool = False
    """Whether nothing was written because of that."""
    stale: Path | None = None
    """What an earlier run wrote where this one writes nothing, and that is still there."""
    removed: Path | None = None
    """The same, where it is there no longer."""
    error: Exception | None = None
    ends_run: bool = False
    """Whether the error would be that of every other input."""
    found: Identity | None = None
    """What was there at the beginning."""
    may_replace: bool = False
    """Whether that may be overwritten."""
    bytes_before: int = 0
    seconds: float = 0.0
    """Of work on it, waiting left out; of a group, its share."""
    warnings: list[str]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done but to say so."""
        return self.skipped or self.error is not None or self.converted is not None

    def fail(self, error: Exception) -> None:
        """Note what went wrong."""
        # Nothing else can be written either where the disk is full.
        cause = error.__cause__
        full = isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in FULL
        self.error, self.ends_run = error, self.ends_run or full
