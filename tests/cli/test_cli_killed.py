"""A tree of pictures whose compression is killed in the middle, and then goes on."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancodec.container import read_container
from tests.conftest import GOLDEN

FILES = int(os.environ.get("GANCODEC_TEST_FILES", "40"))
PATIENCE_S = 60.0


def make_tree(folder: Path, count: int) -> tuple[set[Path], set[Path]]:
    """`count` files, up to four folders deep, every twentieth broken; returns the whole ones and those, relative."""
    whole, broken = set(), set()
    generator = np.random.default_rng(5)
    for number in range(count):
        place = Path(*(f"{level}-{number // 3**level % 3}" for level in range(number % 5)), f"{number:04}.png")
        width, height = (int(side) for side in generator.integers(8, 40, 2))
        file = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
        data = file.getvalue()
        if number % 20 == 10:
            kinds = (b"", b"no picture", data[: len(data) // 2], data[:20])
            data = kinds[number // 20 % len(kinds)]
            broken.add(place)
        else:
            whole.add(place)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(data)
    return whole, broken


def command(tree: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "gancodec", "compress", "-r", str(tree), "-o", str(out), "--keep-going", "--json",
        "--codec", str(GOLDEN / "tiny.safetensors"), "--device", "cpu", *more,
    ]  # fmt: skip


def files_below(folder: Path) -> Iterator[Path]:
    return (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def finished(out: Path) -> set[Path]:
    """What has its final name, as sources are called."""
    return {path.with_suffix(".png") for path in files_below(out) if not path.name.startswith(".")}


def identity(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written again, and not when it is read."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def kill_in_the_middle(tree: Path, out: Path, enough: int) -> int:
    """Start, and kill when so many outputs are there; returns the number of the process."""
    deadline = time.monotonic() + PATIENCE_S
    with subprocess.Popen(command(tree, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while len(finished(out)) < enough:
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.001)
        finally:
            process.kill()
    return process.pid


@pytest.mark.timeout(600)
def test_a_tree_goes_on_where_it_was_killed(folder: Path) -> None:
    tree, out = folder / "tree", folder / "out"
    whole, broken = make_tree(tree, FILES)
    started = time.perf_counter()
    process = kill_in_the_middle(tree, out, enough=len(whole) // 3)
    first_s = time.perf_counter() - started
    before = finished(out)
    assert len(whole) // 3 <= len(before) < len(whole)
    stats = {}
    for name in before:
        path = (out / name).with_suffix(".gnc")
        read_container(path.read_bytes())  # nothing partial
        stats[path] = identity(path)
    host = f"{zlib.crc32(socket.gethostname().encode()):08x}"
    stale = next(iter(stats)).with_name(f".x.gnc.gncpart-{host}-{process}-12345678")
    stale.write_bytes(b"half")  # whether the kill left one is chance

    started = time.perf_counter()
    again = command(tree, out, "--skip-existing")
    done = subprocess.run(again, capture_output=True, text=True, timeout=500, check=False)
    second_s = time.perf_counter() - started
    assert done.returncode == 7, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    summary = rows.pop()["summary"]
    inputs = {Path(row["input"]).relative_to(tree): row for row in rows}
    assert inputs.keys() == whole | broken and len(rows) == FILES
    assert {name for name, row in inputs.items() if row.get("skipped")} == before
    assert {name for name, row in inputs.items() if "error" in row} == broken
    assert all(row["exit_code"] == 3 and row["output"] is None for row in rows if "error" in row)
    assert summary["files"] == len(whole) - len(before)
    assert (summary["skipped"], summary["failed"], summary["not_tried"]) == (len(before), len(broken), 0)
    assert {path: identity(path) for path in stats} == stats, "what was done was written again"
    assert {*files_below(out)} == {name.with_suffix(".gnc") for name in whole}, "something else is left"
    for name in whole:
        read_container((out / name).with_suffix(".gnc").read_bytes())
    print(f"\n{FILES} files: {len(before)} before the kill in {first_s:.1f} s, the rest in {second_s:.1f} s")
