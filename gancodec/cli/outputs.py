"""Where results go: one output for each input, decided before anything is written; complete files or none."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gancodec.cli.inputs import STANDARD_STREAM, Source, is_folder
from gancodec.container import MAGIC
from gancodec.errors import ConfigError, OutputError
from gancodec.writing import Identity, write_file

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))
"""What a name may end in that says that it is a folder's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One input and where its result goes."""

    source: Source
    output: Path | None
    """None is standard output; also where the source cannot be read, so that there will be no output."""

    @property
    def output_name(self) -> str:
        """What the report calls the output."""
        return STANDARD_STREAM if self.output is None else str(self.output)


def names_folder(output: str | None, sources: Sequence[Source], file_suffixes: Collection[str]) -> bool:
    """Whether the argument of -o names a folder: there is one, or it ends like one, or the inputs need one.

    Raises ConfigError if they need one and it names a file: there is one, or it ends in one of `file_suffixes`.
    """
    if output is None or output == STANDARD_STREAM:
        return False
    if is_folder(output) or output.endswith(_SEPARATORS):
        return True
    if len(sources) == 1 and sources[0].below is None:
        return False
    if is_file(Path(output)) or Path(output).suffix.lower() in file_suffixes:
        raise ConfigError(f"the inputs need a folder, and -o names a file, {output}", hint="end a folder's name with /")
    return True


def plan(
    sources: Sequence[Source],
    output: str | None,
    *,
    into_folder: bool,
    suffix: str,
    replaces: str | None,
    json: bool,
    keep_going: bool = False,
) -> list[Job]:
    """A job for each source, after checking that the outputs fit together.

    `output` is the argument of -o, a folder if `into_folder`.  `suffix` ends the names that we choose, where it takes
    the place of the suffix `replaces` (None: of any).  Raises ConfigError if two inputs have one output, or an output
    is an input too (if `keep_going`, that is a problem of the second input alone), or binary data would go to a
    terminal or between `json` lines; OutputError if the folder of the file -o is missing.
    """
    if output == STANDARD_STREAM or (output is None and len(sources) == 1 and sources[0].path is None):
        return _plan_stdout(sources, json=json)
    if output is not None and not into_folder:
        jobs = [Job(source=sources[0], output=_in_existing_folder(Path(output)))]
    else:
        folder = None if output is None else Path(output)
        jobs = [Job(source=source, output=_chosen(source, folder, suffix, replaces)) for source in sources]
    return _without_clashes(jobs, keep_going=keep_going)


def refuse_existing(output: Path, *, force: bool, gnc: bool = False) -> None:
    """Raise ConfigError if `output` exists, unless it is a file and `force` says to replace it.

    gnc: what is written is a .gnc file; then a link to a file that is neither one nor empty is not written through.
    """
    if is_folder(output):
        raise ConfigError(f"{output} is a folder", hint="choose another name with -o")
    if is_file(output):
        if not force:
            raise ConfigError(f"{output} exists", hint="use -f to overwrite it, or --skip-existing")
        if gnc and output.is_symlink() and not _may_be_gnc(output):
            target = os.path.realpath(output)
            raise ConfigError(f"{output} is a link to {target}, which is no .gnc file", hint="remove the link first")
    elif os.path.exists(output):  # noqa: PTH110  as in is_folder()
        # Replacing /dev/null by a file would be a nasty surprise.
        raise ConfigError(f"{output} is not a regular file", hint="use -o - and redirect standard output")


def nested_in(output: str, folders: Sequence[str]) -> str | None:
    """The first of the input `folders` below which the output folder lies."""
    place = Path(os.path.realpath(output))
    for folder in folders:
        if is_folder(folder) and Path(os.path.realpath(folder)) in place.parents:
            return folder
    return None


def is_file(path: Path) -> bool:
    """Whether there is such a regular file; False, too, where that is not to be learnt."""
    return os.path.isfile(path)  # noqa: PTH113  as in is_folder()


def exists(output: Path, what: str) -> ConfigError:
    """The error about an output that is there and not what it would become."""
    return ConfigError(f"{output} exists and {what}", hint="use -f to overwrite it, or another -o")


def is_current(output: Path, source: Path) -> bool:
    """Whether `output` was written after the last change of `source`; False where that is not to be learnt.

    Equal times do not count: clocks of file systems are as coarse as two seconds.
    """
    try:
        return output.stat().st_mtime_ns > _changed_ns(source)
    except OSError:
        return False


def is_outdated(output: Path, source: Path) -> bool:
    """Whether `source` was changed after `output` was written; with equal times neither is."""
    try:
        return output.stat().st_mtime_ns < _changed_ns(source)
    except OSError:
        return False


def _changed_ns(source: Path) -> int:
    """When `source` was last changed: its contents or, as copying may keep their old time, its name, rights or place.

    Of a link, when that was pointed at another file, too.
    """
    found = source.stat(), source.lstat()
    return max(time_ns for each in found for time_ns in (each.st_mtime_ns, each.st_ctime_ns))


def _may_be_gnc(path: Path) -> bool:
    """Whether a file is a .gnc file, or empty.  False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) in (b"", MAGIC)
    except OSError:
        return False


def remove_gnc(output: Path) -> bool:
    """Remove an output that is a .gnc file, or an empty one; returns False for any other.  Raises OutputError.

    Of a link only the link is removed.
    """
    try:
        with output.open("rb") as file:
            start = file.read(len(MAGIC))
        if start not in (b"", MAGIC):
            return False
        output.unlink()
    except OSError as exc:
        raise OutputError(f"cannot remove {output}: {exc.strerror}", hint="check the rights of its folder") from exc
    return True


def write_output(
    output: Path, data: bytes, *, make_folders: bool, replaces: Identity | None, source: Path | None
) -> None:
    """``write_file``, in a folder that is made if need be.  Raises OutputError.

    replaces: the file that may be overwritten, so that none is that came since, be it another input's result under a
    name that is the same to the file system.  A new file may be read by those who may read the `source`.
    """
    if make_folders:
        _make_folder(Path(os.path.realpath(output)).parent, output)
    write_file(output, data, replace=replaces is not None, only=replaces, like=source)


def _make_folder(folder: Path, output: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as exc:  # which would read as if that were the trouble with the output
        raise OutputError(f"cannot write {output}: {folder} is not a folder", hint="check the folder") from exc
    except OSError as exc:
        raise OutputError(f"cannot write {output}: {exc.strerror}", hint="check the folder, rights and space") from exc


def _plan_stdout(sources: Sequence[Source], *, json: bool) -> list[Job]:
    if len(sources) > 1:
        raise ConfigError(f"{len(sources)} inputs cannot all go to standard output", hint="use -o FOLDER/")
    if json:
        raise ConfigError("--json and the output cannot share standard output", hint="use -o FILE")
    if sys.stdout is None:
        raise OutputError("standard output is closed", hint="use -o FILE")
    if sys.stdout.isatty():
        raise ConfigError("binary data is not written to a terminal", hint="use -o FILE, or a pipe")
    return [Job(source=sources[0], output=None)]


def _chosen(source: Source, folder: Path | None, suffix: str, replaces: str | None) -> Path | None:
    """The output's path beside the input, or in `folder`, below which the folder of the input is mirrored."""
    if source.problem is not None:
        return None
    if source.path is None:
        raise ConfigError("standard input has no name to call the output by", hint="use -o FILE or -o -")
    path = source.path if folder is None else folder / (source.below or source.path.name)
    if replaces is None or path.suffix.lower() == replaces:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)


def _in_existing_folder(output: Path) -> Path:
    """`output`, if its folder is there: only folders given to -o are made, so that a typing error is not followed."""
    if not is_folder(output.parent):
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}", hint="make it first")
    return output


def _without_clashes(jobs: Sequence[Job], *, keep_going: bool) -> list[Job]:
    inputs = {_identity(job.source.path): job.source.name for job in jobs if job.source.path is not None}
    outputs: dict[str, str] = {}
    kept = []
    for job in jobs:
        problem = None
        if job.output is not None:
            key = _identity(job.output)
            if key in inputs:
                message = f"{job.output} is both an input and the output of {job.source.label}"
                problem = ConfigError(message, hint="use -o")
            elif key in outputs:
                problem = ConfigError(
                    f"{outputs[key]} and {job.source.label} would both be written to {job.output}",
                    hint="use -o or other names",
                )
            else:
                outputs[key] = job.source.label
        if problem is not None and not keep_going:
            raise problem
        if problem is not None:
            job = Job(source=dataclasses.replace(job.source, problem=problem), output=None)
        kept.append(job)
    return kept


def _identity(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
