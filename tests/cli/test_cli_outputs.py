"""Where outputs go, that nothing is overwritten by accident, and that no half file is ever left."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.cli import batch
from gancodec.container import read_container

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


def identity(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written again, and not when it is read."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def test_skip_existing_does_only_what_is_missing(
    run: Any, picture: Save, folder: Path, known: Any, settle: Any
) -> None:
    picture("a.png")
    settle()
    assert run("compress", "a.png").code == 0
    before = identity(folder / "a.gnc")
    picture("b.png")
    done = run("compress", "a.png", "b.png", "--skip-existing", "--json")
    assert done.code == 0
    assert done.rows[0] == {"input": "a.png", "output": "a.gnc", "skipped": True}
    assert done.rows[2]["summary"]["skipped"] == 1
    assert identity(folder / "a.gnc") == before
    assert (folder / "b.gnc").is_file()


def test_skip_existing_does_anew_what_is_damaged_or_older(
    run: Any, picture: Save, folder: Path, known: Any, settle: Any
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(name)
    settle()
    assert run("compress", "a.png", "b.png", "c.png").code == 0
    whole = {name: (folder / name).read_bytes() for name in ("a.gnc", "b.gnc", "c.gnc")}
    (folder / "a.gnc").write_bytes(whole["a.gnc"][:-3])
    (folder / "b.gnc").write_bytes(b"")
    os.utime(folder / "c.gnc", (1, 1))
    done = run("compress", "a.png", "b.png", "c.png", "--skip-existing", "--json")
    assert done.code == 0
    assert done.rows[-1]["summary"]["files"] == 3
    again = {name: read_container((folder / name).read_bytes()) for name in whole}
    assert {name: container.payload for name, container in again.items()} == {
        name: read_container(data).payload for name, data in whole.items()
    }
    assert (folder / "c.gnc").stat().st_mtime > 1


def of_version_2(data: bytes) -> bytes:
    return data[:4] + bytes([2 << 4]) + data[5:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path, save: path.write_bytes(b"a diary"), "is no .gnc file"),
        (lambda path, save: None, "was made with another codec or rate"),
        (lambda path, save: path.write_bytes(of_version_2(path.read_bytes())), "is of a newer format"),
    ],
)
def test_skip_existing_never_overwrites_what_may_be_an_only_copy(
    change: Any, said: str, run: Any, picture: Save, folder: Path, known: Any, settle: Any
) -> None:
    picture("a.png")
    settle()
    assert run("compress", "a.png", "-q", "20").code == 0
    change(folder / "a.gnc", picture)
    before = (folder / "a.gnc").read_bytes()
    done = run("compress", "a.png", "--skip-existing", "-q", "30")
    assert done.code == 2
    assert said in done.err and "use -f" in done.err
    assert (folder / "a.gnc").read_bytes() == before


def test_skip_existing_leaves_originals_beside_their_gnc_files_alone(
    run: Any, picture: Save, folder: Path, known: Any
) -> None:
    before = {name: picture(name).read_bytes() for name in ("a.png", "b.png")}
    assert run("compress", "a.png", "b.png", "--skip-existing").code == 0
    picture("b.png", size=(4, 4))
    edited = (folder / "b.png").read_bytes()
    done = run("decompress", "a.gnc", "b.gnc", "--skip-existing", "--keep-going", "--json")
    assert done.code == 7
    assert done.rows[0]["skipped"] is True
    assert "b.png exists and is another picture, 4×4" in done.rows[1]["error"]
    assert (folder / "a.png").read_bytes() == before["a.png"]
    assert (folder / "b.png").read_bytes() == edited


@pytest.mark.parametrize(("arguments", "written", "counted"), [([], True, "files"), (["keep"], False, "left_alone")])
def test_a_file_that_is_not_smaller_is_reported_and_with_keep_not_written(
    arguments: list[str], written: bool, counted: str, run: Any, folder: Path
) -> None:
    (folder / "a.pgm").write_bytes(b"P5 1 1 255\n\0")  # smaller than any container
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(folder / "b.bmp")
    done = run("compress", "a.pgm", "b.bmp", "--json", *(f"--fallback={each}" for each in arguments))
    assert done.code == 0
    assert "a.pgm: its .gnc file is not smaller" in done.err and "b.bmp" not in done.err
    assert (folder / "a.gnc").is_file() == written
    assert (folder / "b.gnc").is_file()
    assert done.rows[-1]["summary"][counted] == 1 + written


def test_keep_is_refused_for_standard_output(run: Any, picture: Save) -> None:
    picture("a.png")
    assert run("compress", "a.png", "-o", "-", "--fallback", "keep").code == 2


def test_what_killed_runs_left_is_removed_and_what_others_write_is_not(run: Any, picture: Save, folder: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(f"in/{name}")
    (folder / "out").mkdir()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host = f"{zlib.crc32(socket.gethostname().encode()):08x}"
    stale = folder / f"out/.a.gnc.gncpart-{host}-{int(gone.stdout)}-12345678"
    old = folder / "out/.a.gnc.gncpart-00000000-1-12345678"
    ours = folder / f"out/.b.gnc.gncpart-{host}-{os.getpid()}-12345678"
    foreign = folder / f"out/.b.gnc.gncpart-{int(host, 16) ^ 1:08x}-{int(gone.stdout)}-12345678"
    for path in (stale, old, ours, foreign):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert run("compress", "-r", "in", "-o", "out").code == 0
    assert files_below(folder / "out") == {"a.gnc", "b.gnc", ours.name, foreign.name}


def test_a_full_disk_ends_the_run_even_if_it_should_go_on(
    run: Any, picture: Save, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.png" for number in range(20)]
    for name in names:
        picture(name)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (folder / "broken.png").write_bytes(b"")
    done = run("compress", "broken.png", *names, "--keep-going")
    assert done.code == 1
    assert "cannot write 0.gnc: No space left on device" in done.lines[1]
    assert len(done.lines) < len(names)
    assert "keep-going" not in done.err
    assert files_below(folder) == {"broken.png", *names}


def test_many_files_keep_their_order_and_go_through_together(
    run: Any, picture: Save, folder: Path, loader: Any
) -> None:
    names = [f"{number:02}.png" for number in range(40)]
    for number, name in enumerate(names):
        picture(name, size=(9 + number % 2 * 100, 6))
    done = run("compress", *sorted(names, key=lambda name: int(name[:2]) % 2), "--json")
    assert done.code == 0
    assert [row["input"] for row in done.rows[:-1]] == sorted(names, key=lambda name: int(name[:2]) % 2)
    assert len(loader.codec.batches) < 20 and sum(loader.codec.batches) == 40


def test_one_input_that_fails_in_the_networks_does_not_take_its_group_along(
    run: Any, picture: Save, folder: Path, loader: Any
) -> None:
    names = [f"{number}.png" for number in range(5)]
    for name in names:
        picture(name, mode="RGBA" if name == "3.png" else "RGB")
    quantise = loader.codec.quantise

    def fails_with_alpha(pictures: Any, qualities: Any, effort: Any) -> Any:
        if any(each.alpha_HW is not None for each in pictures):
            raise RuntimeError("CUDA out of memory")
        return quantise(pictures, qualities, effort)

    loader.codec.quantise = fails_with_alpha
    done = run("compress", *names, "--keep-going")
    assert done.code == 7
    assert files_below(folder) == {*names, "0.gnc", "1.gnc", "2.gnc", "4.gnc"}
    assert done.lines[0].startswith("gancodec: error: 3.png: internal error: RuntimeError: CUDA out of memory")


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


@pytest.mark.parametrize("more", [[], ["-f"], ["-o", "out/"]])
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


def test_with_keep_going_only_the_second_of_two_inputs_with_one_output_fails(
    run: Any, picture: Save, folder: Path
) -> None:
    for name in ("a.png", "a.jpg", "c.png"):
        picture(name)
    done = run("compress", "a.png", "a.jpg", "c.png", "--keep-going")
    assert done.code == 7
    assert "a.jpg: a.png and a.jpg would both be written to" in done.lines[0]
    assert files_below(folder) == {"a.png", "a.jpg", "c.png", "a.gnc", "c.gnc"}


@pytest.mark.parametrize("again", ["a.png", "./a.png", "in/../a.png", "linked/a.png"])
def test_an_input_given_twice_is_done_once(again: str, run: Any, picture: Save, folder: Path, loader: Any) -> None:
    picture("a.png")
    (folder / "in").mkdir()
    (folder / "linked").symlink_to(folder)
    done = run("compress", "a.png", again, "--json")
    assert done.code == 0
    assert [row.get("input") for row in done.rows] == ["a.png", None]
    assert done.lines == ["gancodec: 1 input given more than once, done once"]
    assert run("compress", again, "a.png", "-o", "one.gnc").code == 0
    assert len(loader.codec.calls) == 2
    assert files_below(folder) == {"a.png", "a.gnc", "one.gnc"}


def test_a_folder_given_twice_and_one_in_another_are_done_once(run: Any, picture: Save, folder: Path) -> None:
    picture("in/a.png")
    picture("in/sub/b.png")
    done = run("compress", "-r", "in", "in/", "in/sub", "in/a.png")
    assert (done.code, done.lines[0]) == (0, "gancodec: 4 inputs given more than once, done once")
    assert files_below(folder) == {"in/a.png", "in/a.gnc", "in/sub/b.png", "in/sub/b.gnc"}
    assert run("compress", "-r", "in", "in/sub", "-o", "out").code == 0
    assert files_below(folder / "out") == {"a.gnc", "sub/b.gnc", "b.gnc"}


def test_two_links_to_one_picture_have_an_output_each(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    (folder / "b.png").symlink_to("a.png")
    assert run("compress", "a.png", "b.png").code == 0
    assert (folder / "a.gnc").is_file() and (folder / "b.gnc").is_file()


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
    for place, name in enumerate(("a.png", "b.png", "c.png")):
        picture(name, size=(9 + 64 * place, 6))  # padded otherwise, so computed alone
    loader.codec.before_work = lambda: fault() if len(loader.codec.calls) == 2 else None
    done = run("compress", "a.png", "b.png", "c.png")
    assert done.code == code
    assert done.lines[-1 if code == 130 else 0].startswith(said)
    assert any(line.startswith("gancodec: not tried  ") for line in done.lines)
    assert files_below(folder) == {"a.png", "b.png", "c.png", "a.gnc"}


def test_files_get_the_usual_rights(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    (folder / "other").write_bytes(b"")
    assert run("compress", "a.png").code == 0
    assert (folder / "a.gnc").stat().st_mode == (folder / "other").stat().st_mode


def test_overwriting_keeps_the_rights_that_a_file_had(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    (folder / "a.gnc").write_bytes(b"old")
    (folder / "a.gnc").chmod(0o600)
    assert run("compress", "a.png", "-f").code == 0
    assert stat.S_IMODE((folder / "a.gnc").stat().st_mode) == 0o600


def test_skip_existing_does_not_pass_over_metadata_that_was_to_be_dropped(
    run: Any, picture: Save, folder: Path, known: Any, settle: Any
) -> None:
    picture("a.jpg", exif=Image.Exif())
    settle()
    assert run("compress", "a.jpg").code == 0
    assert run("compress", "a.jpg", "--skip-existing").code == 0
    done = run("compress", "a.jpg", "--skip-existing", "--no-metadata")
    assert (done.code, "carries metadata that was to be dropped" in done.err) == (2, True)


def test_skip_existing_does_anew_what_has_damaged_metadata(run: Any, picture: Save, folder: Path, known: Any) -> None:
    picture("a.jpg", exif=Image.Exif())
    assert run("compress", "a.jpg").code == 0
    whole = (folder / "a.gnc").read_bytes()
    (folder / "a.gnc").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run("compress", "a.jpg", "--skip-existing").code == 0
    again = read_container((folder / "a.gnc").read_bytes())
    assert (again.metadata, again.damaged) == (read_container(whole).metadata, ())


def test_skip_existing_knows_pictures_above_pillows_own_limit(
    run: Any, picture: Save, folder: Path, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    assert run("compress", "a.png", "--skip-existing").code == 0
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    done = run("decompress", "a.gnc", "--skip-existing")
    assert (done.code, "skipped" in done.err or "done before" in done.err) == (0, True)
    assert "bomb" not in done.err


@pytest.mark.parametrize("links", [True, False])
def test_an_output_that_comes_while_the_run_goes_on_is_not_overwritten(
    links: bool, run: Any, picture: Save, folder: Path, loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    loader.codec.before_work = lambda: (folder / "a.gnc").write_bytes(b"precious")
    if not links:
        monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    done = run("compress", "a.png")
    assert done.code == 1
    assert "a.gnc exists" in done.err
    assert (folder / "a.gnc").read_bytes() == b"precious"
    assert files_below(folder) == {"a.png", "a.gnc"}
    assert run("compress", "a.png", "-f").code == 0


def test_a_pipe_in_a_tree_is_a_failure_and_keeps_nobody_waiting(run: Any, picture: Save, folder: Path) -> None:
    picture("in/a.png")
    picture("in/z.png")
    os.mkfifo(folder / "in/pipe.png")
    done = run("compress", "-r", "in", "-o", "out", "--keep-going")
    assert done.code == 7
    assert "pipe.png: is not a regular file" in done.lines[0]
    assert files_below(folder / "out") == {"a.gnc", "z.gnc"}


def test_pictures_that_need_the_whole_budget_go_through_one_by_one(
    run: Any, picture: Save, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BUDGET_PIXELS", 10)
    names = [f"{number}.png" for number in range(12)]
    for name in names:
        picture(name)
    assert run("compress", *names).code == 0
    assert files_below(folder) == {*names, *(f"{number}.gnc" for number in range(12))}


def test_very_long_names_can_be_written(run: Any, picture: Save, folder: Path) -> None:
    name = "é" * 120
    picture(f"{name}.png")
    assert run("compress", f"{name}.png").code == 0
    assert (folder / f"{name}.gnc").is_file()
