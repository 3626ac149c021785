"""Which .gnc file was made of which source: what `--skip-existing` must never mix up."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.container import SOURCE_COST, read_container, source_digest, source_of

Save = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("known")


def save(path: Path, shade: int, **options: Any) -> Path:
    """A picture of 9×6 pixels that differs from those of other shades."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 9, 3), shade, np.uint8)).save(path, **options)
    return path


def digest_in(path: Path) -> bytes | None:
    return source_of(read_container(path.read_bytes()))


def age(path: Path, seconds: float) -> None:
    """Set the time of a .gnc file, in seconds from now."""
    now_ns = path.stat().st_ctime_ns + round(seconds * 1e9)
    os.utime(path, ns=(now_ns, now_ns))


# The mark


def test_only_skip_existing_marks_and_it_costs_what_the_help_says(run: Any, folder: Path) -> None:
    source = save(folder / "a.png", 1)
    assert run("compress", "a.png", "-o", "plain.gnc").code == 0
    assert run("compress", "a.png", "--skip-existing").code == 0
    assert (digest_in(folder / "plain.gnc"), digest_in(folder / "a.gnc")) == (None, source_digest(source.read_bytes()))
    assert (folder / "a.gnc").stat().st_size - (folder / "plain.gnc").stat().st_size == SOURCE_COST == 26
    assert "26 bytes" in " ".join(run("compress", "--help").out.decode().split())


def test_info_shows_the_digest(run: Any, folder: Path) -> None:
    digest = source_digest(save(folder / "a.png", 1).read_bytes()).hex()
    assert run("compress", "a.png", "--skip-existing").code == 0
    assert run("compress", "a.png", "-o", "plain.gnc").code == 0
    shown = run("info", "a.gnc").out.decode()
    assert f"source    a file whose SHA-256 begins with {digest}" in shown and "SRCE" not in shown
    assert [row["source"] for row in run("info", "a.gnc", "plain.gnc", "--json").rows] == [digest, None]


@pytest.mark.parametrize("target", [["--target-size", "500"], ["--target-bpp", "80"]])
def test_the_mark_is_within_the_target(target: list[str], run: Any, folder: Path, loader: Any) -> None:
    save(folder / "a.png", 1)
    assert run("compress", "a.png", "--skip-existing", *target).code == 0
    wanted = 500 if target[0] == "--target-size" else 80 * 9 * 6 // 8
    assert loader.codec.calls == [{"target_size": wanted - SOURCE_COST}]


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_an_equal_digest_is_done_whatever_the_clocks_say(seconds: float, run: Any, folder: Path) -> None:
    save(folder / "a.png", 1)
    assert run("compress", "a.png", "--skip-existing").code == 0
    age(folder / "a.gnc", seconds)
    os.utime(folder / "a.png")
    done = run("compress", "a.png", "--skip-existing", "--json")
    assert (done.code, done.rows[0].get("skipped")) == (0, True)


def test_another_digest_is_refused_unless_the_source_is_newer(run: Any, folder: Path) -> None:
    save(folder / "a.png", 1)
    assert run("compress", "a.png", "--skip-existing").code == 0
    save(folder / "a.png", 2)
    age(folder / "a.gnc", 3600)
    before = (folder / "a.gnc").read_bytes()
    done = run("compress", "a.png", "--skip-existing")
    assert (done.code, (folder / "a.gnc").read_bytes()) == (2, before)
    assert "was made of another picture, or of this one before it was changed; use -f to overwrite it" in done.err
    age(folder / "a.gnc", -3600)
    done = run("compress", "a.png", "--skip-existing", "--json")
    assert (done.code, done.rows[-1]["summary"]["files"]) == (0, 1)
    assert digest_in(folder / "a.gnc") == source_digest((folder / "a.png").read_bytes())


# What was mixed up


def test_two_trees_into_one_folder(run: Any, folder: Path, settle: Any) -> None:
    save(folder / "one" / "x.png", 1)
    save(folder / "two" / "x.png", 2)
    settle()
    assert run("compress", "-r", "one", "-o", "out/", "--skip-existing").code == 0
    before = (folder / "out" / "x.gnc").read_bytes()
    done = run("compress", "-r", "two", "-o", "out/", "--skip-existing")
    assert (done.code, (folder / "out" / "x.gnc").read_bytes()) == (2, before)
    assert "was made of another picture" in done.err
    both = run("compress", "-r", "one", "two", "-o", "other/")
    assert (both.code, "separately" in both.err) == (2, False)


def test_a_folder_that_was_renamed(run: Any, folder: Path, settle: Any) -> None:
    save(folder / "photos" / "x.png", 1)
    save(folder / "others" / "x.png", 2)
    settle()
    assert run("compress", "-r", "photos", "-o", "out/", "--skip-existing").code == 0
    (folder / "photos").rename(folder / "old")
    (folder / "others").rename(folder / "photos")
    done = run("compress", "-r", "photos", "-o", "out/", "--skip-existing")
    assert (done.code, "was made of another picture" in done.err) == (2, True)
    assert run("compress", "-r", "old", "-o", "out/", "--skip-existing").code == 0


@pytest.mark.parametrize("mark", [["--skip-existing"], []])
def test_a_link_that_was_pointed_at_another_file(mark: list[str], run: Any, folder: Path, settle: Any) -> None:
    save(folder / "1.png", 1)
    save(folder / "2.png", 2)
    (folder / "a.png").symlink_to("1.png")
    settle()
    assert run("compress", "a.png", *mark).code == 0
    before = read_container((folder / "a.gnc").read_bytes()).payload
    (folder / "a.png").unlink()
    settle()
    (folder / "a.png").symlink_to("2.png")
    done = run("compress", "a.png", "--skip-existing", "--json")
    assert (done.code, done.rows[-1]["summary"]["files"]) == (0, 1)
    assert read_container((folder / "a.gnc").read_bytes()).payload != before


@pytest.mark.parametrize("arguments", [["-q", "70"], ["--codec", "other"], ["--no-metadata"]])
def test_an_older_whole_file_that_other_options_made_is_refused(
    arguments: list[str], run: Any, folder: Path, loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[315] = "somebody"
    save(folder / "a.jpg", 1, exif=exif)
    assert run("compress", "a.jpg").code == 0
    if "--codec" in arguments:
        monkeypatch.setattr(loader.codec.entry, "model_id", b"othr")
    os.utime(folder / "a.gnc", (1, 1))
    before = (folder / "a.gnc").read_bytes()
    done = run("compress", "a.jpg", "--skip-existing", *arguments)
    assert (done.code, (folder / "a.gnc").read_bytes()) == (2, before)


@pytest.mark.parametrize("seconds", [-3600, 3600])
@pytest.mark.parametrize("kind", ["exif", "xmp", "icc"])
def test_other_metadata_is_another_picture(kind: str, seconds: float, run: Any, folder: Path) -> None:
    def with_metadata(text: str) -> dict[str, Any]:
        exif = Image.Exif()
        exif[315] = text
        profile = bytes(16) + b"RGB " + bytes(108) + text.encode()
        return {"exif": {"exif": exif}, "xmp": {"xmp": text.encode()}, "icc": {"icc_profile": profile}}[kind]

    save(folder / "a.jpg", 1, **with_metadata("one"))
    assert run("compress", "a.jpg").code == 0
    assert run("compress", "a.jpg", "--skip-existing").code == 0
    save(folder / "a.jpg", 1, **with_metadata("two"))
    age(folder / "a.gnc", seconds)
    before = (folder / "a.gnc").read_bytes()
    done = run("compress", "a.jpg", "--skip-existing")
    assert (done.code, "carries other metadata than this picture" in done.err) == (2, True)
    assert (folder / "a.gnc").read_bytes() == before


# decompress


def test_a_picture_older_than_the_gnc_file_is_refused(run: Any, folder: Path, gnc: Save) -> None:
    before = save(folder / "a.png", 1).read_bytes()
    gnc("a.gnc")
    for seconds, code in ((-3600, 2), (3600, 0)):
        age(folder / "a.png", seconds)
        done = run("decompress", "a.gnc", "--skip-existing")
        assert (done.code, (folder / "a.png").read_bytes()) == (code, before)
        assert code == 0 or "a.png exists and is older than a.gnc" in done.err


def test_the_original_of_the_gnc_file_is_passed_over_whatever_its_age(run: Any, folder: Path) -> None:
    save(folder / "a.png", 1)
    assert run("compress", "a.png", "--skip-existing").code == 0
    os.utime(folder / "a.png", (1, 1))
    done = run("decompress", "a.gnc", "--skip-existing", "--json")
    assert (done.code, done.rows[0].get("skipped")) == (0, True)


# Names that are one file


@pytest.mark.parametrize("arguments", [["-f"], ["--skip-existing"], []])
@pytest.mark.parametrize("is_there", [True, False])
def test_two_names_of_one_file_do_not_overwrite_each_other(
    is_there: bool, arguments: list[str], run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, gnc: Save
) -> None:
    """As on file systems that ignore case; here one folder has two names, and the plan does not see it."""
    from gancodec.cli import outputs

    monkeypatch.setattr(outputs, "_identity", str)
    save(folder / "in" / "x" / "a.png", 1)
    save(folder / "in" / "y" / "a.png", 2)
    (folder / "out" / "x").mkdir(parents=True)
    (folder / "out" / "y").symlink_to("x")
    if is_there:
        gnc("out/x/a.gnc").write_bytes(b"")
    done = run("compress", "-r", "in", "-o", "out/", "--keep-going", "--json", *arguments)
    summary = done.rows[-1]["summary"]
    expected = (0, 2) if is_there and not arguments else (1, 1)
    assert (done.code, (summary["files"], summary["failed"])) == (7, expected)
    assert "a.gnc exists" in done.err


def test_force_does_not_write_through_a_link_to_something_else(run: Any, folder: Path) -> None:
    save(folder / "a.png", 1)
    (folder / "diary.txt").write_bytes(b"dear diary")
    (folder / "a.gnc").symlink_to("diary.txt")
    done = run("compress", "a.png", "-f")
    assert (done.code, (folder / "diary.txt").read_bytes()) == (2, b"dear diary")
    assert "is a link to" in done.err and "which is no .gnc file" in done.err
    (folder / "diary.txt").write_bytes(b"")
    assert run("compress", "a.png", "-f").code == 0
    assert (folder / "a.gnc").is_symlink() and run("compress", "a.png", "-f").code == 0


# What is taken, and what is passed by


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_search_passes_by_is_counted(count: int, run: Any, folder: Path) -> None:
    for number in range(count):
        save(folder / "in" / f"{number}.png", number)
    for name in ("a.HEIC", "b.nef", "c.heic", "README", "old.gnc", ".hidden.txt"):
        (folder / "in" / name).write_bytes(b"")
    (folder / "elsewhere").mkdir()
    (folder / "in" / "link").symlink_to(folder / "elsewhere")
    done = run("compress", "-r", "in")
    row = [line for line in done.lines if "passed by" in line]
    assert len(row) == 1 and "4 files (heic 2, no suffix 1, nef 1), 1 link to a folder" in row[0]
    done = run("compress", "-r", "in", "-f", "--json")
    assert done.rows[-1]["summary"]["passed_by"] == {"files": {"": 1, "heic": 2, "nef": 1}, "links": 1}


def test_a_search_that_finds_nothing_says_what_it_met(run: Any, folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "a.heic").write_bytes(b"")
    done = run("compress", "-r", "in")
    assert (done.code, "passed by 1 file (heic 1)" in done.err) == (3, True)


def test_every_suffix_that_a_search_takes_is_of_a_format_that_is_read(run: Any, folder: Path) -> None:
    from gancodec.defaults import PICTURE_SUFFIXES

    formats = {".jpe": "jpeg", ".jfif": "jpeg"}
    for number, suffix in enumerate(sorted(PICTURE_SUFFIXES)):
        image = Image.new("L" if suffix == ".pgm" else "RGB", (9, 6), number)
        path = folder / "in" / f"{number}{suffix}"
        path.parent.mkdir(exist_ok=True)
        image.save(path, formats.get(suffix))
    done = run("compress", "-r", "in", "--json")
    assert (done.code, done.rows[-1]["summary"]["files"]) == (0, len(PICTURE_SUFFIXES))


@pytest.mark.parametrize(("output", "warned"), [("in/out/", True), ("out/", False), ("in/", False)])
def test_an_output_below_an_input_is_warned_about(output: str, warned: bool, run: Any, folder: Path) -> None:
    save(folder / "in" / "a.png", 1)
    done = run("compress", "-r", "in", "-o", output)
    assert (done.code, "lies within the input in" in done.err) == (0, warned)


# Metadata that is not kept


def test_metadata_that_is_left_out_is_counted(run: Any, folder: Path) -> None:
    save(folder / "in" / "a.jpg", 1, comment=b"taken by me")
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", 4) + b"\x1c\x02\x05\0"
    data = save(folder / "in" / "b.jpg", 2, comment=b"and me").read_bytes()
    segment = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    (folder / "in" / "b.jpg").write_bytes(data[:2] + segment + data[2:])
    save(folder / "in" / "c.png", 3)
    done = run("compress", "-r", "in")
    assert "metadata left out  2 files (comment 2, IPTC 1)" in [line.removeprefix("gancodec: ") for line in done.lines]
    done = run("compress", "-r", "in", "-f", "--json")
    assert done.rows[-1]["summary"]["metadata_left_out"] == {"comment": 2, "IPTC": 1}
    done = run("compress", "-r", "in", "-f", "--no-metadata", "--json")
    assert done.rows[-1]["summary"]["metadata_left_out"] == {}


# Files that are too large, locked, private


def test_a_file_above_the_limit_is_refused_unread(run: Any, folder: Path) -> None:
    with (folder / "a.png").open("wb") as file:
        file.truncate(60 << 30)
    done = run("compress", "a.png")
    assert (done.code, "has 64,424,509,440 bytes, the limit is 2 GiB" in done.err) == (6, True)


def test_a_stream_above_the_limit_is_refused(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gancodec.cli import inputs

    save(folder / "a.png", 1)
    monkeypatch.setattr(inputs, "MAX_FILE_BYTES", 20)
    with (folder / "a.png").open("rb") as stream:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": stream}))
        done = run("compress", "-", "-o", "a.gnc")
    assert (done.code, "has more than 20 bytes" in done.err) == (6, True)


def test_too_little_memory_for_a_file_is_that_files_error(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gancodec.cli import inputs

    def full(path: Path) -> bytes:
        if path.name == "a.png":
            raise MemoryError
        return path.read_bytes()

    monkeypatch.setattr(inputs, "_read_file", full)
    save(folder / "a.png", 1)
    save(folder / "b.png", 2)
    done = run("compress", "a.png", "b.png", "--keep-going", "--json")
    assert [row.get("exit_code") for row in done.rows[:2]] == [6, None]
    assert "does not fit into memory" in done.rows[0]["error"]


@pytest.mark.skipif(os.name == "nt", reason="no such rights there")
@pytest.mark.parametrize(("source", "umask", "result"), [(0o600, 0o022, 0o600), (0o664, 0o027, 0o640)])
def test_a_new_file_is_no_more_readable_than_its_source(
    source: int, umask: int, result: int, run: Any, folder: Path
) -> None:
    save(folder / "a.png", 1).chmod(source)
    before = os.umask(umask)
    try:
        assert run("compress", "a.png").code == 0
        assert run("decompress", "a.gnc", "-o", "b.png").code == 0
    finally:
        os.umask(before)
    assert [(folder / name).stat().st_mode & 0o777 for name in ("a.gnc", "b.png")] == [result, result]
