"""Where outputs go, that nothing is overwritten by accident, and that no half file is ever left."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Save = Callable[..., Path]


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_outputs_lie_beside_their_inputs(run: Any, picture: Save, folder: Path) -> None:
    picture("one.jpg")
    picture("deep/two.v2.png")
    assert run("compress", "one.jpg", "deep/two.v2.png").code == 0
    assert files_below(folder) == {"one.jpg", "one.gnc", "deep/two.v2.png", "deep/two.v2.gnc"}


def test_only_the_suffix_gnc_is_replaced_when_decompressing(run: Any, gnc: Save, folder: Path) -> None:
    gnc("a.gnc")
    gnc("b.v2")
    assert run("decompress", "a.gnc", "b.v2").code == 0
    assert files_below(folder) == {"a.gnc", "a.png", "b.v2", "b.v2.png"}


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_an_existing_output_is_refused_before_any_work(
    command: str, run: Any, picture: Save, gnc: Save, loader: Any
) -> None:
    photo, packed = picture("a.png"), gnc("a.gnc")
    before = photo.read_bytes(), packed.read_bytes()
    done = run(command, "a.png" if command == "compress" else "a.gnc")
    assert done.code == 2
    assert len(done.lines) == 1
    assert "exists; use -f" in done.err
    assert not loader.loads
    assert (photo.read_bytes(), packed.read_bytes()) == before


def test_force_overwrites(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    (folder / "a.gnc").write_bytes(b"old")
    assert run("compress", "a.png", "-f").code == 0
    assert (folder / "a.gnc").read_bytes().startswith(b"\x89GNC")


def test_force_does_not_replace_what_is_no_regular_file(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    os.mkfifo(folder / "pipe")
    (folder / "a.gnc").mkdir()
    assert run("compress", "a.png", "-f", "-o", "pipe").code == 2
    assert run("compress", "a.png", "-f").code == 2
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


def test_a_link_as_output_stays_a_link(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    (folder / "store").mkdir()
    (folder / "a.gnc").symlink_to("store/real.gnc")
    assert run("compress", "a.png").code == 0
    assert (folder / "a.gnc").is_symlink()
    assert files_below(folder / "store") == {"real.gnc"}


def test_skip_existing_does_only_what_is_missing(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    picture("b.png")
    (folder / "a.gnc").write_bytes(b"old")
    done = run("compress", "a.png", "b.png", "--skip-existing", "--json")
    assert done.code == 0
    assert done.rows[0] == {"input": "a.png", "output": "a.gnc", "skipped": True}
    assert done.rows[2]["summary"]["skipped"] == 1
    assert (folder / "a.gnc").read_bytes() == b"old"
    assert (folder / "b.gnc").is_file()


def test_the_tree_is_mirrored_and_foreign_files_are_ignored(run: Any, picture: Save, folder: Path) -> None:
    picture("in/a.png")
    picture("in/sub/b.JPG")
    picture("in/sub/deeper/c.webp")
    (folder / "in/notes.txt").write_text("no picture")
    (folder / "in/.a.png.gncpart-12345678").write_bytes(b"left by a killed run")
    assert run("compress", "-r", "in", "-o", "new/out").code == 0
    assert files_below(folder / "new/out") == {"a.gnc", "sub/b.gnc", "sub/deeper/c.gnc"}
    assert run("decompress", "-r", "new/out", "-o", "back", "--format", "webp").code == 0
    assert files_below(folder / "back") == {"a.webp", "sub/b.webp", "sub/deeper/c.webp"}


def test_several_files_go_into_a_new_folder(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    picture("b.png")
    assert run("compress", "a.png", "b.png", "-o", "out").code == 0
    assert run("compress", "a.png", "-o", "one/").code == 0
    assert files_below(folder / "out") == {"a.gnc", "b.gnc"}
    assert files_below(folder / "one") == {"a.gnc"}


@pytest.mark.parametrize("output", ["out.gnc", "a.png"])
def test_several_files_do_not_go_into_one_file(output: str, run: Any, picture: Save) -> None:
    picture("a.png")
    picture("b.png")
    done = run("compress", "a.png", "b.png", "-o", output)
    assert done.code == 2
    assert "need a folder" in done.err


@pytest.mark.parametrize("more", [[], ["-f"], ["--keep-going"], ["-o", "out/"]])
def test_two_inputs_with_one_output_are_an_error_before_anything_is_written(
    more: list[str], run: Any, picture: Save, folder: Path
) -> None:
    for name in ("c.png", "a.png", "a.jpg"):
        picture(name)
    done = run("compress", "c.png", "a.png", "a.jpg", *more)
    assert done.code == 2
    assert "a.png and a.jpg would both be written to" in done.err
    assert "use -o or other names" in done.err
    assert files_below(folder) == {"c.png", "a.png", "a.jpg"}


def test_an_input_is_never_the_output(run: Any, picture: Save) -> None:
    path = picture("a.png")
    before = path.read_bytes()
    assert run("compress", "a.png", "-o", "./a.png", "-f").code == 2
    assert path.read_bytes() == before


def test_the_folder_of_an_output_file_is_not_made(run: Any, picture: Save, folder: Path, loader: Any) -> None:
    picture("a.png")
    done = run("compress", "a.png", "-o", "typo/a.gnc")
    assert done.code == 1
    assert "there is no folder typo" in done.err
    assert not (folder / "typo").exists()
    assert not loader.loads


def test_a_file_in_the_way_of_a_folder_is_said(run: Any, picture: Save, folder: Path) -> None:
    picture("in/a.png")
    (folder / "out").write_text("")
    done = run("compress", "in/a.png", "-o", "out/")
    assert done.code == 1
    assert "out is not a folder" in done.err


def raise_disk_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def raise_unexpected(*_: object) -> None:
    raise RuntimeError("two\nlines")


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [(raise_disk_full, 1, "cannot write a.gnc: No space left on device"), (raise_interrupt, 130, "interrupted")],
)
def test_no_temporary_is_left_by_a_failing_write(
    step: str, fault: Any, code: int, said: str, run: Any, picture: Save, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    (folder / "a.gnc").write_bytes(b"old")
    monkeypatch.setattr("os.fsync" if step == "fsync" else "pathlib.Path.replace", fault)
    done = run("compress", "a.png", "-f")
    assert done.code == code
    assert said in done.err
    assert len(done.lines) == 1
    assert files_below(folder) == {"a.png", "a.gnc"}
    assert (folder / "a.gnc").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (raise_interrupt, 130, "gancodec: interrupted"),
        (raise_unexpected, 1, "gancodec: error: b.png: internal error: RuntimeError: two lines; set GANCODEC"),
    ],
)
def test_a_codec_failing_in_the_middle_leaves_whole_files_only(
    fault: Any, code: int, said: str, run: Any, picture: Save, folder: Path, loader: Any
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(name)
    loader.codec.before_work = lambda: fault() if len(loader.codec.calls) == 2 else None
    done = run("compress", "a.png", "b.png", "c.png")
    assert done.code == code
    assert done.lines[0].startswith(said)
    assert files_below(folder) == {"a.png", "b.png", "c.png", "a.gnc"}


def test_files_get_the_usual_rights(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    (folder / "other").write_bytes(b"")
    assert run("compress", "a.png").code == 0
    assert (folder / "a.gnc").stat().st_mode == (folder / "other").stat().st_mode


def test_very_long_names_can_be_written(run: Any, picture: Save, folder: Path) -> None:
    name = "é" * 120
    picture(f"{name}.png")
    assert run("compress", f"{name}.png").code == 0
    assert (folder / f"{name}.gnc").is_file()
