"""Files that are there completely or not at all."""

from __future__ import annotations

import os
import re
import secrets
import time
import zlib
from pathlib import Path
from typing import Final

from gancodec.errors import OutputError

NAME_IN_TEMPORARY: Final = 48
"""Characters of the final name in a temporary's; file systems take 255 bytes."""
FORGOTTEN_S: Final = 24 * 3600
"""Age from which on a temporary is stale whoever wrote it."""
_TEMPORARY: Final = re.compile(r"\..*\.gncpart-(?P<host>[0-9a-f]{8})-(?P<process>[0-9]+)-[0-9a-f]{8}", re.DOTALL)


def write_file(output: Path, data: bytes | str, *, replace: bool = True) -> None:
    """Write a complete file or none: into a temporary beside ``output``, which then takes its name.  Text as UTF-8.

    A link is followed, so that it stays one.  Raises OutputError; for what is there and no regular file, too; without
    ``replace`` for any file of that name, also one that has just come, which is left as it is.
    """
    target = Path(os.path.realpath(output))
    if target.exists() and not target.is_file():
        # Replacing /dev/null by a file would be a nasty surprise.
        raise OutputError(f"{output} is not a regular file", hint="choose another name")
    mark = f"gncpart-{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = target.with_name(f".{target.name[:NAME_IN_TEMPORARY]}.{mark}")
    try:
        try:
            # Not tempfile: its files are private, and would stay so under their final name.
            with temporary.open("xb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o7777)  # whoever closed it to others wants it so
            if replace:
                temporary.replace(target)
            else:
                _name_new(temporary, target)
        except BaseException:  # Ctrl-C too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise OutputError(f"cannot write {output}: {exc.strerror}", hint="check the folder, rights and space") from exc


def _name_new(temporary: Path, target: Path) -> None:
    """Give a temporary its name, unless somebody has it.  Raises OutputError, OSError."""
    try:
        os.link(temporary, target)  # fails, where renaming would replace
    except FileExistsError as exc:
        raise OutputError(f"{target} exists", hint="it came while this ran; choose another name") from exc
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise OutputError(f"{target} exists", hint="it came while this ran; choose another name") from None
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
