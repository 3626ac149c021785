"""Outputs that are there already: which count as done, and which must not be taken for a result."""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from gancodec.cli import batch
from gancodec.container import read_header

Save = Callable[..., Path]


def edit_in_place(path: Path, save: Save) -> None:
    Image.open(path).rotate(180).save(path)


def edit_keeping_the_time(path: Path, save: Save) -> None:
    before = path.stat()
    edit_in_place(path, save)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def move_an_older_one_there(path: Path, save: Save) -> None:
    other = save("other.png", size=(9, 6))
    os.utime(other, (1, 1))
    other.replace(path)


@pytest.mark.parametrize("change", [edit_in_place, edit_keeping_the_time, move_an_older_one_there])
def test_an_edited_source_is_done_again(
    change: Any, run: Any, picture: Save, folder: Path, known: Any, settle: Any
) -> None:
    path = picture("a.png")
    settle()
    assert run("compress", "a.png").code == 0
    before = (folder / "a.gnc").read_bytes()
    settle()
    change(path, picture)
    settle()
    for done_again in (1, 0):
        done = run("compress", "a.png", "--skip-existing", "--json")
        assert done.code == 0
        assert done.rows[-1]["summary"]["files"] == done_again
    assert (folder / "a.gnc").read_bytes() != before


@pytest.mark.parametrize("difference_ns", [0, 1])
def test_equal_times_count_as_edited(
    difference_ns: int, run: Any, picture: Save, folder: Path, known: Any, settle: Any
) -> None:
    path = picture("a.png")
    settle()
    assert run("compress", "a.png").code == 0
    changed_ns = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
    os.utime(folder / "a.gnc", ns=(changed_ns, changed_ns + difference_ns))
    done = run("compress", "a.png", "--skip-existing", "--json")
    assert done.rows[-1]["summary"]["skipped"] == difference_ns


@pytest.mark.parametrize(
    ("mode", "size", "skipped"),
    [
        ("RGB", (9, 6), True),
        ("L", (9, 6), False),
        ("RGBA", (9, 6), False),
        ("RGB", (8, 6), False),
        ("RGB", (6, 9), True),
    ],
)
@pytest.mark.parametrize("ahead_s", [1, -1])
def test_a_file_that_is_not_of_this_picture_is_refused_whatever_the_clocks_say(
    ahead_s: int, mode: str, size: tuple[int, int], skipped: bool, run: Any, picture: Save, folder: Path, known: Any,
    settle: Any,
) -> None:  # fmt: skip
    """It may be an only copy.  A picture on its side may be of the same one, turned upright."""
    picture("a.png", size=(9, 6))
    settle()
    assert run("compress", "a.png").code == 0
    picture("a.png", mode=mode, size=size)
    written_ns = (folder / "a.png").stat().st_ctime_ns + ahead_s * 10**9
    os.utime(folder / "a.gnc", ns=(written_ns, written_ns))
    before = (folder / "a.gnc").read_bytes()
    done = run("compress", "a.png", "--skip-existing")
    assert (done.code == 0) == skipped
    assert skipped or "is of another picture, RGB 9×6" in done.lines[0]
    assert ((folder / "a.gnc").read_bytes() == before) == (not skipped or ahead_s > 0)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("1.png", "1"), ("l.png", "L"), ("la.png", "LA"), ("rgb.webp", "RGB"), ("rgba.webp", "RGBA"), ("p.gif", "P"),
     ("p.png", "P"), ("cmyk.jpg", "CMYK"), ("l.jpg", "L"), ("turned.tiff", "RGB"), ("key.png", "key"),
     ("glass.png", "glass"), ("deep.png", "deep")],
)  # fmt: skip
def test_no_kind_of_picture_is_done_again_for_ever(
    name: str, mode: str, run: Any, folder: Path, known: Any, settle: Any
) -> None:
    samples = np.random.default_rng(1).integers(0, 256, (6, 9, 3), np.uint8)
    image = Image.fromarray(samples)
    options: dict[str, Any] = {}
    match mode:
        case "deep":
            image = Image.fromarray(samples[..., 0].astype(np.uint16) * 256)
        case "key":
            options["transparency"] = tuple(int(value) for value in samples[0, 0])
        case "glass":
            image, options["transparency"] = image.quantize(8), bytes(range(8))
        case _:
            image = image.convert(mode)
    if name == "turned.tiff":
        options["tiffinfo"] = {0x0112: 6}
    image.save(folder / name, **options)
    settle()
    assert run("compress", name, "--convert-16-bit").code == 0
    done = run("compress", name, "--convert-16-bit", "--skip-existing", "--json")
    assert (done.code, done.rows[-1]["summary"]["skipped"]) == (0, 1)


def test_an_output_that_cannot_be_read_is_left_alone(
    run: Any, picture: Save, folder: Path, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    (folder / "a.gnc").write_bytes(b"")
    opened = Path.open

    def locked(self: Path, *how: Any, **more: Any) -> Any:
        if self.name == "a.gnc":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(self, *how, **more)

    monkeypatch.setattr(Path, "open", locked)
    done = run("compress", "a.png", "--skip-existing")
    assert (done.code, done.lines) == (
        2, ["gancodec: error: a.png: a.gnc exists and cannot be read: Permission denied; use -f to overwrite it, "
            "or another -o"],
    )  # fmt: skip


# --fallback keep


@pytest.fixture
def tiny(folder: Path) -> Path:
    """A picture that is smaller than any .gnc file."""
    path = folder / "a.pgm"
    path.write_bytes(b"P5 1 1 255\n\0")
    return path


def of_an_earlier_run(run: Any, tiny: Path, folder: Path) -> bytes:
    assert run("compress", tiny.name).code == 0
    data = (folder / "a.gnc").read_bytes()
    tiny.write_bytes(b"P5 1 1 255\n\7")
    return data


def test_what_is_not_written_has_no_output(run: Any, tiny: Path) -> None:
    row = run("compress", "a.pgm", "--fallback", "keep", "--json").rows[0]
    assert (row["output"], row["left_alone"]) == (None, True)
    assert not {"stale", "removed"} & row.keys()


@pytest.mark.usefixtures("known")
def test_a_stale_output_is_named_and_stays_without_force(run: Any, tiny: Path, folder: Path) -> None:
    before = of_an_earlier_run(run, tiny, folder)
    done = run("compress", "a.pgm", "--fallback", "keep", "--skip-existing", "--json")
    row = done.rows[0]
    assert (done.code, row["output"], row["stale"]) == (0, None, "a.gnc")
    assert "a.gnc of an earlier run is still there" in done.err and "-f" in done.err
    assert (folder / "a.gnc").read_bytes() == before


def test_a_stale_output_is_removed_with_force(run: Any, tiny: Path, folder: Path) -> None:
    of_an_earlier_run(run, tiny, folder)
    done = run("compress", "a.pgm", "--fallback", "keep", "-f", "--json")
    row = done.rows[0]
    assert (done.code, row["output"], row["removed"]) == (0, None, "a.gnc")
    assert "a.gnc of an earlier run removed" in done.err
    assert not (folder / "a.gnc").exists()


def test_force_removes_no_other_file(run: Any, tiny: Path, folder: Path) -> None:
    (folder / "a.gnc").write_bytes(b"a diary")
    done = run("compress", "a.pgm", "--fallback", "keep", "-f", "--json")
    assert (done.code, done.rows[0]["stale"]) == (0, "a.gnc")
    assert (folder / "a.gnc").read_bytes() == b"a diary"


def test_force_removes_a_link_and_not_what_it_points_to(run: Any, tiny: Path, folder: Path) -> None:
    before = of_an_earlier_run(run, tiny, folder)
    (folder / "a.gnc").rename(folder / "store.gnc")
    (folder / "a.gnc").symlink_to("store.gnc")
    assert run("compress", "a.pgm", "--fallback", "keep", "-f").code == 0
    assert not os.path.lexists(folder / "a.gnc")
    assert (folder / "store.gnc").read_bytes() == before


# Looking into pictures


def test_outputs_are_looked_into_within_the_budget(
    run: Any, picture: Save, gnc: Save, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight pictures that fill the budget each, never two are decoded at a time."""
    names = [f"{number}.gnc" for number in range(8)]
    for name in names:
        gnc(name)
        picture(Path(name).with_suffix(".png").name)
    lock, now, most = threading.Lock(), 0, 0
    load = ImageFile.ImageFile.load

    def counting(self: ImageFile.ImageFile) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.02)
        try:
            return load(self)
        finally:
            with lock:
                now -= 1

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", counting)
    monkeypatch.setattr(batch, "THREADS", 4)
    monkeypatch.setattr(batch, "BUDGET_PIXELS", 54)
    done = run("decompress", *names, "--skip-existing", "--json")
    assert (done.code, done.rows[-1]["summary"]["skipped"]) == (0, 8)
    assert most == 1


def test_an_output_that_claims_to_be_gigantic_is_not_decoded(run: Any, gnc: Save, folder: Path) -> None:
    """Both headers say 60,000 x 60,000, so that the sizes fit."""
    path = gnc("a.gnc")
    path.write_bytes(with_size(path.read_bytes(), 60_000))
    rows = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", rows) + chunk(b"IDAT", zlib.compress(b"")))
    done = run("decompress", "a.gnc", "--skip-existing")
    assert done.code == 6
    assert "16384 a side" in done.err


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_size(data: bytes, side: int) -> bytes:
    """The file with another width and height in its header."""
    from gancodec.container import ColourMode, write_container

    header = read_header(data)
    return write_container(
        mode=ColourMode.RGB, width=side, height=side, model_id=header.model_id, quality=header.quality,
        uniform_tables=False, payload=b"payload", symbol_crc=0,
    )  # fmt: skip


def test_a_large_foreign_file_does_not_go_through_memory(
    run: Any, gnc: Save, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gnc("a.gnc")
    with (folder / "a.png").open("wb") as file:
        file.truncate(1 << 34)
    monkeypatch.setattr(Path, "read_bytes", refuse_large(Path.read_bytes))
    done = run("decompress", "a.gnc", "--skip-existing")
    assert (done.code, "is no whole picture" in done.err) == (2, True)


def refuse_large(read_bytes: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    def read(self: Path) -> bytes:
        assert self.stat().st_size < 1 << 30
        return read_bytes(self)

    return read


def test_after_ctrl_c_the_counts_add_up(run: Any, picture: Save, folder: Path, loader: Any) -> None:
    names = [f"{number}.png" for number in range(12)]
    for place, name in enumerate(names):
        picture(name, size=(9 + 64 * place, 6))  # padded otherwise, so computed alone
    (folder / "1.png").write_bytes(b"broken")

    def interrupt() -> None:
        if len(loader.codec.calls) == 6:
            raise KeyboardInterrupt

    loader.codec.before_work = interrupt
    done = run("compress", *names, "--keep-going", "--json")
    assert done.code == 130
    summary = done.rows[-1]["summary"]
    written = len(list(folder.glob("*.gnc")))
    assert written <= 5
    assert (summary["files"], summary["failed"], summary["not_tried"]) == (written, 1, 12 - written - 1)
    assert [row["output"] is not None for row in done.rows[:-1]].count(True) == written
    assert done.lines[-1] == "gancodec: interrupted; no incomplete file is left"


def test_after_ctrl_c_the_table_says_so(run: Any, picture: Save, loader: Any) -> None:
    for name in ("a.png", "b.png"):
        picture(name)

    def interrupt() -> None:
        raise KeyboardInterrupt

    loader.codec.before_work = interrupt
    done = run("compress", "a.png", "b.png")
    assert done.code == 130
    assert "not tried  2 files when it was interrupted; --skip-existing goes on" in done.lines[0]
