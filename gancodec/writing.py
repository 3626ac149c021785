"""Files that are there completely or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from gancodec.errors import OutputError

NAME_IN_TEMPORARY: Final = 48
"""Characters of the final name in a temporary's; file systems take 255 bytes."""


def write_file(output: Path, data: bytes | str) -> None:
    """Write a complete file or none: into a temporary beside ``output``, which then takes its name.  Text as UTF-8.

    A link is followed, so that it stays one.  Raises OutputError; for what is there and no regular file, too.
    """
    target = Path(os.path.realpath(output))
    if target.exists() and not target.is_file():
        # Replacing /dev/null by a file would be a nasty surprise.
        raise OutputError(f"{output} is not a regular file", hint="choose another name")
    temporary = target.with_name(f".{target.name[:NAME_IN_TEMPORARY]}.gncpart-{secrets.token_hex(4)}")
    try:
        try:
            # Not tempfile: its files are private, and would stay so under their final name.
            with temporary.open("xb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:  # Ctrl-C too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise OutputError(f"cannot write {output}: {exc.strerror}", hint="check the folder, rights and space") from exc
