"""Every exit code, and one line for every error."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gancodec.errors import ConfigError, LimitError

Save = Callable[..., Path]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["--frobnicate"],
        ["compress"],
        ["compress", "--frobnicate", "a.png"],
        ["compress", "-q"],
        ["compress", "-q", "high", "a.png"],
        ["compress", "-q", "-1", "a.png"],
        ["compress", "-q", "100.1", "a.png"],
        ["compress", "-q", "nan", "a.png"],
        ["compress", "-q", "50", "--target-bpp", "0.2", "a.png"],
        ["compress", "--target-size", "5k", "--target-bpp", "0.2", "a.png"],
        ["compress", "--target-bpp", "0", "a.png"],
        ["compress", "--target-bpp", "nan", "a.png"],
        ["compress", "--target-bpp", "inf", "a.png"],
        ["compress", "--target-size", "lots", "a.png"],
        ["compress", "--device", "abacus", "a.png"],
        ["compress", "-f", "--skip-existing", "a.png"],
        ["compress", ""],
        ["decompress", "--realism", "1.5", "a.gnc"],
        ["decompress", "--realism", "nan", "a.gnc"],
        ["decompress", "--format", "tiff", "a.gnc"],
        ["decompress", "-o", "a.tiff", "a.gnc"],
        ["info"],
        ["models", "photo"],
    ],
)
def test_usage_errors_are_2_and_one_line(arguments: list[str], run: Any, picture: Save, gnc: Save, loader: Any) -> None:
    picture("a.png")
    gnc("a.gnc")
    done = run(*arguments)
    assert done.code == 2
    assert len(done.lines) == 1
    assert done.err.startswith("gancodec: error: ")
    assert done.out == b""
    assert not loader.loads


def test_usage_errors_point_to_the_help(run: Any) -> None:
    assert run("compress", "--frobnicate").err.rstrip().endswith("Try --help")


def test_an_option_that_the_codec_refuses_is_2(run: Any, picture: Save, loader: Any) -> None:
    def refuse() -> None:
        raise ConfigError("device 'cuda' is not there", hint="use --device cpu")

    picture("a.png")
    loader.codec.before_work = refuse
    done = run("compress", "a.png")
    assert (done.code, done.lines) == (2, ["gancodec: error: a.png: device 'cuda' is not there; use --device cpu"])


def test_jpeg_refuses_alpha_with_2(run: Any, gnc: Save) -> None:
    gnc("a.gnc", alpha=True)
    assert run("decompress", "a.gnc", "-o", "a.jpg").code == 2


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify"])
def test_unreadable_inputs_are_3(command: str, run: Any, folder: Path, loader: Any) -> None:
    (folder / "dir").mkdir()
    missing = run(command, "missing.bin")
    assert (missing.code, missing.lines) == (3, ["gancodec: error: missing.bin: no such file; check the name"])
    directory = run(command, "dir")
    assert directory.code == 3
    assert directory.lines[0].startswith("gancodec: error: dir: is a folder; ")
    if command in ("compress", "decompress"):
        assert "use -r" in directory.err
        assert run(command, "-r", "dir").code == 3
    assert not loader.loads


def test_what_is_no_picture_is_3_and_named_once(run: Any, folder: Path, loader: Any) -> None:
    (folder / "a.png").write_bytes(b"this is no picture")
    done = run("compress", "a.png")
    assert done.code == 3
    assert len(done.lines) == 1
    assert done.err.count("a.png") == 1
    assert not loader.loads


@pytest.mark.parametrize("command", ["decompress", "info", "verify"])
def test_damaged_files_are_4_without_loading_a_model(
    command: str, run: Any, gnc: Save, folder: Path, loader: Any
) -> None:
    data = bytearray(gnc("a.gnc").read_bytes())
    data[40] ^= 1
    (folder / "a.gnc").write_bytes(data)
    done = run(command, "a.gnc")
    assert done.code == 4
    assert len(done.lines) == 1
    assert "checksum" in done.err
    (folder / "b.gnc").write_bytes(b"GIF89a")
    assert run(command, "b.gnc").code == 4
    assert not loader.loads


def test_missing_and_wrong_models_are_5(run: Any, picture: Save, gnc: Save) -> None:
    picture("p.png")
    gnc("a.gnc", model_id=b"\1\2\3\4")
    assert run("compress", "p.png", "--codec", "missing").code == 5
    assert "01020304" in run("decompress", "a.gnc").err
    for command in ("decompress", "verify"):
        assert run(command, "a.gnc").code == 5
        assert run(command, "a.gnc", "--codec", "photo").code == 5
        assert run(command, "a.gnc", "--codec", "missing").code == 5


def test_limits_are_6(run: Any, picture: Save, loader: Any) -> None:
    def refuse() -> None:
        raise LimitError("50 bytes are out of reach", hint="make the picture smaller")

    picture("a.png")
    loader.codec.before_work = refuse
    assert run("compress", "a.png", "--target-size", "50").code == 6


def test_without_keep_going_the_first_failure_ends_the_run_with_its_code(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    picture("c.png")
    done = run("compress", "a.png", "b.png", "c.png", "d.png")
    assert done.code == 3
    assert "not tried  2 files" in done.err
    assert (folder / "a.gnc").is_file()
    assert not (folder / "c.gnc").exists()


def test_with_keep_going_the_others_are_done_and_the_code_is_7(run: Any, picture: Save, folder: Path) -> None:
    picture("a.png")
    picture("c.png")
    done = run("compress", "a.png", "b.png", "c.png", "--keep-going")
    assert done.code == 7
    assert done.lines[0] == "gancodec: error: b.png: no such file; check the name"
    assert "2 files" in done.lines[1]
    assert done.lines[2] == "gancodec: failed  1 file: 1 unreadable or unsupported"
    assert (folder / "c.gnc").is_file()


def test_keep_going_with_one_input_keeps_its_code(run: Any) -> None:
    assert run("compress", "b.png", "--keep-going").code == 3


def test_a_missing_model_is_said_once_whatever_the_number_of_files(run: Any, picture: Save, loader: Any) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(name)
    done = run("compress", "a.png", "b.png", "c.png", "--keep-going", "--codec", "missing")
    assert done.code == 5
    assert loader.loads == [("missing", "auto")]


def test_an_unreadable_folder_in_a_tree_is_a_failure_not_a_gap(
    run: Any, picture: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("in/a.png")

    def walk(top: Path, onerror: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
        yield str(top), ["locked"], ["a.png"]
        onerror(PermissionError(errno.EACCES, "Permission denied", str(top / "locked")))

    monkeypatch.setattr(os, "walk", walk)
    done = run("compress", "-r", "in", "-o", "out", "--keep-going")
    assert done.code == 7
    assert "cannot be listed" in done.err


@pytest.mark.parametrize("command", ["info", "verify"])
def test_several_files_with_one_failure_are_7_and_all_are_looked_at(command: str, run: Any, gnc: Save) -> None:
    gnc("a.gnc")
    gnc("c.gnc")
    done = run(command, "a.gnc", "b.gnc", "c.gnc")
    assert done.code == 7
    assert done.lines == ["gancodec: error: b.gnc: no such file; check the name"]
    assert b"a.gnc" in done.out
    assert b"c.gnc" in done.out


def test_tracebacks_are_there_for_those_who_ask(
    picture: Save, loader: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from gancodec.cli.main import main

    monkeypatch.setenv("GANCODEC_TRACEBACK", "1")
    picture("a.png")
    loader.codec.before_work = lambda: 1 // 0
    assert main(["compress", "a.png"]) == 1
    error = capfd.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("gancodec: error: a.png: internal error: ZeroDivisionError: ")
