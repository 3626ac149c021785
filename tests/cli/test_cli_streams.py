"""Standard input and output, and who may read what there."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

Save = Callable[..., Path]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def set_stdin(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))

    return set_stdin


def test_a_picture_goes_through_pipes_unchanged(run: Any, picture: Save, feed: Any) -> None:
    path = picture("a.png")
    feed(path.read_bytes())
    packed = run("compress", "-")
    assert packed.code == 0
    assert packed.out.startswith(b"\x89GNC")
    feed(packed.out)
    opened = run("decompress", "-")
    assert opened.code == 0
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(opened.out))), np.asarray(Image.open(path)))


def test_stdout_and_stdin_go_with_named_files(run: Any, picture: Save, feed: Any, folder: Path) -> None:
    path = picture("a.png")
    assert run("compress", "a.png", "-o", "-").out.startswith(b"\x89GNC")
    feed(path.read_bytes())
    assert run("compress", "-", "-o", "b.gnc").code == 0
    assert (folder / "b.gnc").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.png", "b.png", "-o", "-"],
        ["-", "-"],
        ["-", "a.png"],
        ["-", "-o", "folder/"],
        ["a.png", "-o", "-", "--json"],
        ["-", "--json"],
    ],
)
def test_what_cannot_share_a_stream_is_refused(arguments: list[str], run: Any, picture: Save) -> None:
    picture("a.png")
    picture("b.png")
    done = run("compress", *arguments)
    assert done.code == 2
    assert done.out == b""
    assert len(done.lines) == 1


@pytest.mark.parametrize("arguments", [["-"], ["a.png", "-o", "-"]])
def test_binary_data_is_not_written_to_a_terminal(
    arguments: list[str], run: Any, picture: Save, monkeypatch: pytest.MonkeyPatch, loader: Any
) -> None:
    picture("a.png")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    done = run("compress", *arguments)
    assert done.code == 2
    assert "terminal" in done.err
    assert not loader.loads


def test_empty_stdin_is_an_unreadable_input(run: Any, feed: Any) -> None:
    feed(b"")
    done = run("compress", "-")
    assert done.code == 3
    assert done.err.startswith("gancodec: error: stdin: ")


@pytest.fixture(params=["", "1"])
def buffering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of a stream come at its flush, or at each write."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@pytest.mark.usefixtures("buffering")
def test_a_closed_pipe_is_silent(gnc: Save) -> None:
    path = gnc("a.gnc")
    script = f"{sys.executable} -m gancodec info {' '.join([str(path)] * 600)} | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{path}\n"
    assert done.stderr == ""


@pytest.mark.usefixtures("buffering")
def test_a_full_device_behind_stdout_is_one_line(gnc: Save) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "gancodec", "info", str(gnc("a.gnc"))]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "gancodec: error: cannot write to standard output: No space left on device; free some space"
    ]


@pytest.mark.parametrize("arguments", [["info", "-"], ["compress", "-", "-o", "-"], ["compress", "pipe.png"]])
def test_ctrl_c_is_one_line_and_130_also_while_a_pipe_says_nothing(arguments: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    # The handler is set by hand: a shell in the background passes on an ignored SIGINT.
    code = f"""
import signal, sys
from gancodec.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
sys.exit(main({arguments}))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().splitlines() == ["gancodec: interrupted; no incomplete file is left"]
    assert process.returncode == 130


class Reluctant(io.RawIOBase):
    """A file that takes at most three bytes at a time, as a bare pipe or a nearly full disk may."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data[:3])
        self.taken += part
        return len(part)


def test_everything_is_written_to_a_stream_that_takes_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with PYTHONUNBUFFERED=1, where nothing stands between us and the file."""
    from gancodec.cli import stdout

    raw = Reluctant()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=raw))
    stdout.write_bytes(b"0123456789")
    assert bytes(raw.taken) == b"0123456789"


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 1), ("<&-", 3)])
def test_closed_stream_is_one_line(redirection: str, code: int, gnc: Save) -> None:
    command = f"info {gnc('a.gnc')}" if code == 1 else "compress - -o x.gnc"
    script = f"{sys.executable} -m gancodec {command} {redirection}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert "is closed" in done.stderr and done.stderr.count("\n") == 1
