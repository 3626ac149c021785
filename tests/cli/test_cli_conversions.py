"""What compress and decompress do with their options, and what they report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.cli.options import FORMAT_OF_SUFFIX, SUFFIX_OF_FORMAT, parse_size
from gancodec.container import read_container
from gancodec.defaults import DEFAULT_QUALITY
from gancodec.errors import ConfigError
from gancodec.picture import OUTPUT_FORMATS, Metadata

Save = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50000", 50_000),
        ("50k", 50_000),
        ("50K", 50_000),
        ("50kB", 50_000),
        ("50 kB", 50_000),
        ("50KiB", 51_200),
        ("50Ki", 51_200),
        ("1.5M", 1_500_000),
        (".5M", 500_000),
        ("1.5MiB", 1_572_864),
        ("2G", 2_000_000_000),
        ("1B", 1),
        ("1.1k", 1_100),
        ("0.0015k", 1),
    ],
)
def test_sizes_are_understood(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "k", "0", "0.4", "-5k", "5x", "5kk", "5i", "5iB", "1e3", "1,5M", "nan", "inf", "٥k", "9" * 99, "5.k"]
)
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--target-size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("arguments", "option", "value"),
    [
        ([], "quality", DEFAULT_QUALITY),
        (["-q", "0"], "quality", 0.0),
        (["--quality", "33.5"], "quality", 33.5),
        (["--target-bpp", "0.2"], "target_bpp", 0.2),
        (["--target-size", "50KiB"], "target_size", 51_200),
    ],
)
def test_the_rate_reaches_the_codec(
    arguments: list[str], option: str, value: float, run: Any, picture: Save, loader: Any
) -> None:
    picture("a.png")
    assert run("compress", "a.png", *arguments).code == 0
    (call,) = loader.codec.calls
    assert {name: given for name, given in call.items() if given is not None} == {option: value}


def test_one_codec_is_loaded_for_all_files(run: Any, picture: Save, gnc: Save, loader: Any) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(name)
    assert run("compress", "a.png", "b.png", "c.png", "--codec", "mine", "--device", "cpu").code == 0
    assert loader.loads == [("mine", "cpu")]
    loader.loads.clear()
    assert run("decompress", "a.gnc", "b.gnc", "-o", "out/", "--device", "cpu").code == 0
    assert loader.loads == [("fa6ec0de", "cpu")]
    loader.loads.clear()
    assert run("decompress", "a.gnc", "b.gnc", "-o", "out2/", "--codec", "mine").code == 0
    assert loader.loads == [("mine", "auto")]


def test_realism_reaches_the_codec(run: Any, gnc: Save, loader: Any) -> None:
    gnc("a.gnc")
    loader.codec.calls.clear()
    assert run("decompress", "a.gnc", "--realism", "0.25").code == 0
    assert loader.codec.calls == [{"realism": 0.25}]


def test_formats_are_those_of_the_picture_package() -> None:
    assert {format.value: suffix for format, suffix in SUFFIX_OF_FORMAT.items()} == OUTPUT_FORMATS
    assert all(FORMAT_OF_SUFFIX[suffix] is format for format, suffix in SUFFIX_OF_FORMAT.items())


@pytest.mark.parametrize(
    ("arguments", "written", "kind"),
    [
        ([], "a.png", "PNG"),
        (["-o", "b.JPG"], "b.JPG", "JPEG"),
        (["-o", "b.webp"], "b.webp", "WEBP"),
        (["-o", "b.avif"], "b.avif", "AVIF"),
        (["-o", "b"], "b", "PNG"),
        (["-o", "b.png", "--format", "jpeg"], "b.png", "JPEG"),
        (["--format", "jpeg"], "a.jpg", "JPEG"),
        (["-o", "v1.5/"], "v1.5/a.png", "PNG"),
    ],
)
def test_the_format_follows_the_options(arguments: list[str], written: str, kind: str, run: Any, gnc: Save) -> None:
    gnc("a.gnc")
    assert run("decompress", "a.gnc", *arguments).code == 0
    with Image.open(written) as image:
        assert image.format == kind


def test_metadata_is_dropped_on_request_and_the_picture_turned(run: Any, picture: Save, folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture("a.png", size=(9, 6), exif=exif)
    assert run("compress", "a.png", "-o", "with.gnc").code == 0
    assert run("compress", "a.png", "-o", "without.gnc", "--no-metadata").code == 0
    kept, dropped = (read_container((folder / name).read_bytes()) for name in ("with.gnc", "without.gnc"))
    assert (kept.header.width, kept.header.height, list(kept.metadata)) == (9, 6, [b"EXIF"])
    assert (dropped.header.width, dropped.header.height, list(dropped.metadata)) == (6, 9, [])
    assert run("decompress", "with.gnc", "--no-metadata").code == 0
    with Image.open("with.png") as image:
        assert image.size == (6, 9)
        assert not image.getexif()


def test_16_bit_pictures_are_converted_on_request_with_one_warning(run: Any, folder: Path) -> None:
    Image.fromarray(np.full((4, 5), 40_000, np.uint16)).save(folder / "deep.png")
    assert run("compress", "deep.png").code == 3
    done = run("compress", "deep.png", "--convert-16-bit")
    assert done.code == 0
    assert done.err.count("deep.png") == 1
    assert done.lines[0].startswith("gancodec: warning: deep.png: ")
    assert ".py" not in done.err


def damage_exif(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)


def test_damaged_metadata_is_a_warning_for_each_file(run: Any, gnc: Save) -> None:
    for name in ("a.gnc", "b.gnc"):
        damage_exif(gnc(name, metadata=Metadata(exif=b"II*\0exif")))
    done = run("decompress", "a.gnc", "b.gnc")
    assert done.code == 0
    assert done.lines[:2] == [
        f"gancodec: warning: {name}: metadata is damaged and left out: EXIF: its checksum is wrong"
        for name in ("a.gnc", "b.gnc")
    ]


def test_the_last_lines_sum_up(run: Any, picture: Save, folder: Path) -> None:
    before = sum(picture(name).stat().st_size for name in ("a.png", "b.png"))
    done = run("compress", "a.png", "b.png")
    after = sum((folder / name).stat().st_size for name in ("a.gnc", "b.gnc"))
    assert done.out == b""
    assert [line.split()[1] for line in done.lines] == ["done", "time"]
    assert f"2 files; {before:,} -> {after:,} bytes" in done.err
    assert f"mean {after * 8 / 2 / 54:.3f} bpp" in done.err


def test_json_has_a_line_for_each_file_and_a_summary(run: Any, picture: Save, folder: Path) -> None:
    before = picture("a.png").stat().st_size
    picture("c.png")
    done = run("compress", "a.png", "b.png", "c.png", "--json", "--keep-going", "-q", "70")
    assert done.code == 7
    first, second, third, last = done.rows
    after = (folder / "a.gnc").stat().st_size
    assert first.pop("seconds") >= 0
    assert first == {
        "input": "a.png",
        "output": "a.gnc",
        "bytes_before": before,
        "bytes_after": after,
        "bpp": 8 * after / 54,
        "width": 9,
        "height": 6,
        "quality": 70,
    }
    assert second == {"input": "b.png", "output": None, "error": "no such file; check the name", "exit_code": 3}
    assert third["input"] == "c.png"
    summary = last["summary"]
    assert (summary["files"], summary["failed"], summary["skipped"]) == (2, 1, 0)
    assert summary["bpp"] == pytest.approx((first["bpp"] + third["bpp"]) / 2)
    assert done.lines == ["gancodec: error: b.png: no such file; check the name"]


def test_json_of_decompress_gives_the_rate_of_the_gnc_file(run: Any, gnc: Save) -> None:
    before = gnc("a.gnc").stat().st_size
    row, _ = run("decompress", "a.gnc", "--json").rows
    assert row["bytes_before"] == before
    assert row["bytes_after"] == Path("a.png").stat().st_size
    assert row["bpp"] == 8 * before / 54


def test_names_cannot_break_lines_or_colour_the_terminal(run: Any) -> None:
    done = run("compress", "a\nb\x1b[31m.png")
    assert done.lines == ["gancodec: error: a b\\x1b[31m.png: no such file; check the name"]


def test_a_bar_is_shown_on_a_terminal_only(run: Any, picture: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("a[1].png")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    done = run("compress", "a[1].png")
    assert done.code == 0
    assert "a[1].png" in done.err
    assert "a[1].png" not in run("compress", "a[1].png", "-f", "--json").err
    assert done.out == b""
