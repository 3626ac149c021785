"""Files that are there completely or not at all."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from gancodec.errors import OutputError

NAME_IN_TEMPORARY: Final = 48
"""Characters of the final name in a temporary's; file systems take 255 bytes."""
FORGOTTEN_S: Final = 24 * 3600
"""Age from which on a temporary is stale whoever wrote it."""
Identity = tuple[int, int]
"""Device and inode."""
_renaming = threading.Lock()
_TEMPORARY: Final = re.compile(r"\..*\.gncpart-(?P<host>[0-9a-f]{8})-(?P<process>[0-9]+)-[0-9a-f]{8}", re.DOTALL)


def write_file(
    output: Path,
    data: bytes | str,
    *,
    replace: bool = True,
    only: Identity | None = None,
    like: Path | None = None,
) -> None:
    """Write a complete file or none: into a temporary beside ``output``, which then takes its name.  Text as UTF-8.

    A link is followed, so that it stays one.  A file that is replaced leaves its rights; a new one has the usual ones,
    and of those not more than ``like``.  Raises OutputError; for what is there and no regular file, too; without
    ``replace`` for any file of that name, with ``only`` for any but that one, which are left as they are.
    """
    target = Path(os.path.realpath(output))
    mark = f"gncpart-{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = target.with_name(f".{target.name[:NAME_IN_TEMPORARY]}.{mark}")
    rights = _rights_of(like)
    try:
        if target.exists() and not target.is_file():
            # Replacing /dev/null by a file would be a nasty surprise.
            raise OutputError(f"{output} is not a regular file", hint="choose another name")
        try:
            # Not tempfile: its files are private, and would stay so under their final name.
            with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, rights)) as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o7777)  # whoever closed it to others wants it so
            if replace:
                _rename(temporary, target, only)
            else:
                _name_new(temporary, target)
        except BaseException:  # Ctrl-C too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise OutputError(f"cannot write {output}: {exc.strerror}", hint="check the folder, rights and space") from exc
    _sync_folder(target.parent)


def identity(path: Path) -> Identity | None:
    """By which a file is known whatever its name; None where there is none, or that is not to be learnt."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _rename(temporary: Path, target: Path, only: Identity | None) -> None:
    """Give a temporary its name.  Raises OutputError if another file than `only` has it; OSError."""
    with _renaming:  # between the look and the name no other thread gives this name, in whatever spelling
        if only is not None and identity(target) not in (only, None):
            raise _came(target)
        temporary.replace(target)


def _rights_of(like: Path | None) -> int:
    """What a new file may be opened with, before the umask takes from it."""
    if like is None or os.name == "nt":
        return 0o666
    try:
        return like.stat().st_mode & 0o666
    except OSError:  # it was there a moment ago
        return 0o600


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, too, where folders can be synced; the file is whole in any case."""
    if os.name == "nt":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _came(target: Path) -> OutputError:
    return OutputError(
        f"{target} exists", hint="it came while this ran, perhaps under another spelling; choose another name"
    )


def _name_new(temporary: Path, target: Path) -> None:
    """Give a temporary its name, unless somebody has it.  Raises OutputError, OSError."""
    try:
        os.link(temporary, target)  # fails, where renaming would replace
    except FileExistsError as exc:
        raise _came(target) from exc
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise _came(target) from None
        temporary.replace(target)
    else:
        temporary.unlink()


def remove_stale_temporaries(folder: Path) -> int:
    """Remove what killed runs of ``write_file`` left in a folder; returns how many files that were.

    Stale is what a process of this machine wrote that is no more, or any other temporary that is a day old.  What
    cannot be listed or removed is left.
    """
    removed = 0
    try:
        entries = [entry for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]
    except OSError:
        return 0
    for entry in entries:
        try:
            if _is_stale(entry):
                Path(entry.path).unlink()
                removed += 1
        except OSError:
            continue
    return removed


def _is_stale(entry: os.DirEntry[str]) -> bool:
    match = _TEMPORARY.fullmatch(entry.name)
    assert match is not None
    if time.time() - entry.stat(follow_symlinks=False).st_mtime > FORGOTTEN_S:
        return True
    return match["host"] == _host() and not _is_alive(int(match["process"]))


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end it there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _host() -> str:
    """Eight hexadecimal digits of the machine's name: folders may be shared, process numbers are not."""
    import socket  # not before something is written: it would slow down every start

    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
