"""Complete files or none: what write_file says where the file system does not let it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gancodec.errors import OutputError
from gancodec.writing import identity, write_file


def test_a_locked_folder_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without its x right: what is in it cannot even be looked for."""

    def locked(self: Path, **how: Any) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", locked)
    with pytest.raises(OutputError, match=r"cannot write .*: Permission denied; check the folder"):
        write_file(tmp_path / "a", b"x")


def test_only_the_file_that_was_meant_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    found = identity(path)
    write_file(path, b"new", only=found)
    assert path.read_bytes() == b"new"
    with pytest.raises(OutputError, match="exists; it came while this ran"):
        write_file(path, b"other", only=found)
    assert (path.read_bytes(), [*tmp_path.iterdir()]) == (b"new", [path])


@pytest.mark.skipif(os.name == "nt", reason="no such rights there")
def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    like = tmp_path / "like"
    like.touch(0o600)
    seen = []
    fsync = os.fsync

    def looking(descriptor: int) -> None:
        seen.append(os.fstat(descriptor).st_mode & 0o777)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", looking)
    write_file(tmp_path / "a", b"x", like=like)
    assert seen[0] == 0o600


@pytest.mark.skipif(os.name == "nt", reason="folders are not synced there")
def test_the_name_is_synced_and_a_folder_that_cannot_be_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        if len(synced) == 2:
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    write_file(tmp_path / "a", b"x")
    assert synced == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]
