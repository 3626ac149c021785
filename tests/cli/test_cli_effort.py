"""Effort from the command line: what is passed on, and what Ctrl-C leaves of a refinement."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.cli import compressing
from gancodec.cli.options import Tune
from gancodec.cli.progress import progress
from gancodec.cli.refinement import Refinement
from gancodec.codec import Codec
from gancodec.container import read_container
from gancodec.defaults import DEFAULT_EFFORT, EFFORT_MAX, TUNES
from gancodec.errors import ConfigError, GancodecError, MissingModelError
from tests.conftest import GOLDEN

Save = Callable[..., Path]
CUT = "Ctrl-C cut its refinement short; the file is whole"
ENDING = "gancodec: ending the refinement; the best so far is kept, unless Ctrl-C comes again"
INTERRUPTED = "gancodec: interrupted; no incomplete file is left"


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*gncpart*")]


def refining(codec: Any, interrupt_at: set[int], *, of: int = 10) -> list[int]:
    """Make the fake codec take iterations, and Ctrl-C come during some; returns the list of those that are done."""
    quantise, done = codec.quantise, []

    def refine(pictures: Any, qualities: Any, effort: Any) -> Any:
        for number in range(1, of + 1):
            if number in interrupt_at:
                signal.raise_signal(signal.SIGINT)
            done.append(number)
            if not effort.step(number, of):
                break
        return quantise(pictures, qualities, effort)

    codec.quantise = refine
    return done


# What is passed on


@pytest.mark.parametrize(
    "rate", [(), ("-q", "30"), ("--target-size", "9k"), ("--target-bpp", "2"), ("--skip-existing",)]
)
@pytest.mark.parametrize("level", [None, 0, 4, EFFORT_MAX])
def test_the_level_reaches_the_codec_by_every_path(
    level: int | None, rate: tuple[str, ...], run: Any, picture: Save, loader: Any
) -> None:
    picture("a.png")
    given = () if level is None else ("--effort", level)
    assert run("compress", "a.png", *rate, *given).code == 0
    (effort,) = loader.codec.efforts
    assert effort.level == (DEFAULT_EFFORT if level is None else level)
    assert (effort.tune, effort.features) == ("fidelity", None)


def test_a_target_with_the_mark_of_skip_existing_takes_the_level_too(run: Any, picture: Save, loader: Any) -> None:
    picture("a.png")
    assert run("compress", "a.png", "--target-size", "9k", "--skip-existing", "--effort", "3").code == 0
    assert [effort.level for effort in loader.codec.efforts] == [3]


def test_every_picture_of_many_is_refined(run: Any, picture: Save, loader: Any) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(name)
    assert run("compress", "a.png", "b.png", "c.png", "--effort", "5").code == 0
    assert sum(loader.codec.batches) == 3 and {effort.level for effort in loader.codec.efforts} == {5}


def test_tuning_for_realism_reaches_the_codec(run: Any, picture: Save, loader: Any) -> None:
    picture("a.png")
    assert run("compress", "a.png", "--tune", "realism", "--features", "f.safetensors:alex").code == 0
    (effort,) = loader.codec.efforts
    assert (effort.tune, effort.features) == ("realism", "f.safetensors:alex")
    assert loader.codec.prepared == [effort]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--effort", "10"], ["--effort"]),
        (["--effort", "-1"], ["--effort"]),
        (["--effort", "1.5"], ["--effort"]),
        (["--effort", "most"], ["--effort"]),
        (["--tune", "beauty"], ["--tune"]),
        (["--tune", "realism"], ["--tune", "--features"]),
        (["--tune", "realism", "--features", "vgg19", "--effort", "0"], ["--tune", "--effort"]),
        (["--features", "vgg19"], ["--features", "--tune"]),
        (["--tune", "fidelity", "--features", "vgg19"], ["--features", "--tune"]),
        (["--on-interrupt", "ask"], ["--on-interrupt"]),
    ],
)
def test_options_that_do_not_fit_are_2_and_named(
    arguments: list[str], options: list[str], run: Any, picture: Save, loader: Any
) -> None:
    picture("a.png")
    done = run("compress", "a.png", *arguments)
    assert (done.code, len(done.lines), done.out) == (2, 1, b"")
    assert all(option in done.err for option in options)
    assert not loader.loads


def test_the_tunes_are_those_of_the_codec() -> None:
    assert tuple(tune.value for tune in Tune) == TUNES


@pytest.mark.parametrize(
    ("error", "code"),
    [(MissingModelError("no such file", hint="look"), 5), (ConfigError("it has no realism generator", hint="no"), 2)],
)
def test_what_no_picture_could_be_tuned_with_is_said_once(
    error: GancodecError, code: int, run: Any, picture: Save, loader: Any
) -> None:
    picture("a.png")
    picture("b.png", size=(200, 6))
    loader.codec.refuses = error
    done = run("compress", "a.png", "b.png", "--keep-going", "--tune", "realism", "--features", "nowhere.safetensors")
    assert done.code == code and error.message in done.err
    assert len([line for line in done.lines if "error" in line]) == 1


# Files that are there


def test_another_effort_does_not_make_another_file(run: Any, picture: Save, known: Any) -> None:
    picture("a.png")
    assert run("compress", "a.png", "--skip-existing", "--effort", "0").code == 0
    again = run("compress", "a.png", "--skip-existing", "--effort", "9", "--json")
    assert again.rows[-1]["summary"]["skipped"] == 1


@pytest.mark.parametrize(("level", "share", "code"), [(0, 0.98, 0), (0, 0.95, 2), (1, 0.95, 0), (1, 0.85, 2)])
def test_a_refined_file_may_lie_a_little_lower_below_its_target(
    level: int, share: float, code: int, run: Any, picture: Save, folder: Path, known: Any
) -> None:
    """As Ctrl-C may have ended its search: to go on with --skip-existing must not stumble over it."""
    picture("a.png")
    assert run("compress", "a.png", "--skip-existing").code == 0
    target = int((folder / "a.gnc").stat().st_size / share)
    again = run("compress", "a.png", "--skip-existing", "--effort", level, "--target-size", target)
    assert again.code == code


# Ctrl-C


@pytest.mark.parametrize("at", [1, 2, 9])
def test_keep_writes_the_best_so_far_and_begins_nothing_else(
    at: int, run: Any, picture: Save, folder: Path, loader: Any
) -> None:
    picture("a.png")
    picture("b.png", size=(200, 6))
    done_steps = refining(loader.codec, {at})
    done = run("compress", "a.png", "b.png", "--effort", "9", "--on-interrupt", "keep", "--json")
    assert done.code == 130 and done_steps == [*range(1, at + 1)]
    assert done.lines == [ENDING, f"gancodec: warning: a.png: {CUT}", INTERRUPTED]
    row, summary = done.rows
    data = (folder / "a.gnc").read_bytes()
    read_container(data)
    assert (row["input"], row["output"], row["bytes_after"], row["cut_short"]) == ("a.png", "a.gnc", len(data), True)
    assert (summary["summary"]["files"], summary["summary"]["not_tried"]) == (1, 1)
    assert not (folder / "b.gnc").exists() and not temporaries(folder)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_keep_keeps_all_that_were_refined_together(run: Any, picture: Save, folder: Path, loader: Any) -> None:
    names = [f"{number}.png" for number in range(6)]
    for name in names:
        picture(name)
    refining(loader.codec, {3})
    loader.codec.batch_pixels = 4 * 64 * 64
    done = run("compress", *names, "--effort", "2", "--on-interrupt", "keep")
    kept = loader.codec.batches[0]
    assert done.code == 130 and len(loader.codec.batches) == 1
    assert len([*folder.glob("*.gnc")]) == kept == len([line for line in done.lines if CUT in line])


def test_what_was_at_its_last_iteration_was_not_cut_short(run: Any, picture: Save, folder: Path, loader: Any) -> None:
    picture("a.png")
    refining(loader.codec, {10})
    done = run("compress", "a.png", "--on-interrupt", "keep", "--json")
    assert done.code == 130 and (folder / "a.gnc").exists()
    assert "cut_short" not in done.rows[0]


def test_a_second_ctrl_c_discards(run: Any, picture: Save, folder: Path, loader: Any) -> None:
    picture("a.png")
    picture("b.png", size=(200, 6))
    codec, quantise = loader.codec, loader.codec.quantise

    def refine(pictures: Any, qualities: Any, effort: Any) -> Any:
        if pictures[0].width == 200:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return quantise(pictures, qualities, effort)

    codec.quantise = refine
    done = run("compress", "a.png", "b.png", "--on-interrupt", "keep")
    assert done.code == 130 and done.lines[-1] == INTERRUPTED
    assert (folder / "a.gnc").exists() and not (folder / "b.gnc").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_discard_is_what_happens_without_being_asked_for(run: Any, picture: Save, folder: Path, loader: Any) -> None:
    picture("a.png")
    assert refining(loader.codec, {3}) == []
    done = run("compress", "a.png", "--effort", "9")
    assert (done.code, done.lines) == (130, [INTERRUPTED])
    assert not [*folder.glob("*.gnc*")]


@pytest.mark.parametrize("has_quality", [True, False])
def test_where_nothing_is_refined_keep_has_nothing_to_keep(
    has_quality: bool, run: Any, picture: Save, folder: Path, loader: Any
) -> None:
    """At level 0, and for codecs of one rate at any level."""
    picture("a.png")
    loader.codec.entry.has_quality = has_quality
    loader.codec.before_work = lambda: signal.raise_signal(signal.SIGINT)
    done = run("compress", "a.png", "--effort", "0" if has_quality else "9", "--on-interrupt", "keep")
    assert (done.code, done.lines) == (130, [INTERRUPTED])
    assert not (folder / "a.gnc").exists()


def test_codecs_of_one_rate_take_any_level_and_make_one_file(
    run: Any, picture: Save, folder: Path, loader: Any
) -> None:
    picture("a.png")
    loader.codec.entry.has_quality = False
    made = set()
    for level in (0, 9):
        assert run("compress", "a.png", "-f", "--effort", level).code == 0
        made.add((folder / "a.gnc").read_bytes())
    assert len(made) == 1


def test_a_failure_after_ctrl_c_is_told_and_130_all_the_same(run: Any, picture: Save, loader: Any) -> None:
    picture("a.png")

    def fail() -> None:
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("CUDA out of memory")

    loader.codec.before_work = fail
    done = run("compress", "a.png", "--on-interrupt", "keep")
    assert done.code == 130
    assert any("CUDA out of memory" in line for line in done.lines)


def test_other_threads_and_other_handlers_are_left_alone() -> None:
    seen = []

    def look() -> None:
        with Refinement(keeps=True):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        look()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.default_int_handler, signal.SIG_IGN]


# Progress


class Terminal(io.StringIO):
    """Claims to be one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("level", "is_seen"), [(3, False), (4, True)])
def test_iterations_are_shown_from_level_4_on(
    level: int, is_seen: bool, run: Any, picture: Save, loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    picture("a [1].png")
    refining(loader.codec, set(), of=37)
    done = run("compress", "a [1].png", "--effort", level)
    assert (done.code, done.out) == (0, b"")
    # The screen is drawn anew ten times a second only; what stood on it first is on record.
    assert ("iterations, a [1].png" in terminal.getvalue()) == is_seen


def test_a_search_shows_each_of_its_refinements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress(2, shown=True, refines=True) as shown:
        with shown.refining("a.png") as show:
            for of in (5, 7):
                for number in range(1, of + 1):
                    show(number, of)
            shown._bars.refresh()  # type: ignore[attr-defined]
        assert "7/7" in terminal.getvalue()
        shown.done("a.png")
        assert [task.total for task in shown._bars.tasks] == [2]  # type: ignore[attr-defined]


# The codec itself, in a process of its own

TOLD = """
import signal, sys, time
from gancodec.cli import main, refinement
step = refinement.Refinement.step
def told(self, done, of):
    sys.stderr.write(f"step {done}\\n")
    sys.stderr.flush()
    goes_on = step(self, done, of)
    if not goes_on and HOLDS:
        for _ in range(600):
            time.sleep(0.1)  # as if what is left took long enough for another Ctrl-C
    return goes_on
refinement.Refinement.step = told
# A shell in the background passes on an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main.main(sys.argv[1:]))
"""


def interrupted(after: int, *arguments: object, folder: Path, times: int = 1) -> tuple[int, bytes, list[str]]:
    """Compress, with Ctrl-C behind the iteration `after`, and again if `times` is 2, before what is left is done.

    Returns exit code, stdout and the messages.
    """
    command = [
        sys.executable, "-c", f"HOLDS = {times > 1}\n{TOLD}", "compress",
        "--codec", str(GOLDEN / "tiny.safetensors"), "--device", "cpu", "--effort", "9", *map(str, arguments),
    ]  # fmt: skip
    lines = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None and process.stdout is not None
        for line in process.stderr:
            text = line.decode().rstrip()
            if text == f"step {after}" or (text == ENDING and times > 1):
                process.send_signal(signal.SIGINT)
            if not text.startswith("step"):
                lines.append(text)
        out = process.stdout.read()
    return process.returncode, out, lines


@pytest.fixture(scope="module")
def sunset() -> bytes:
    """A picture, as a PNG file, that level 9 has to do with for a minute at least."""
    samples = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(samples).resize((256, 192)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("after", [1, 17])
def test_a_refinement_that_is_ended_leaves_a_whole_file(
    after: int, folder: Path, sunset: bytes, tiny_codec: Codec
) -> None:
    """Behind the first descent, and in the middle of an annealing."""
    (folder / "a.png").write_bytes(sunset)
    Image.new("RGB", (9, 6)).save(folder / "b.png")  # of another size, so that it does not go together with that
    code, out, lines = interrupted(after, "a.png", "b.png", "--on-interrupt", "keep", "--json", folder=folder)
    assert code == 130 and lines == [ENDING, f"gancodec: warning: a.png: {CUT}", INTERRUPTED]
    row, summary = (json.loads(line) for line in out.splitlines())
    assert row["cut_short"] and summary["summary"]["files"] == summary["summary"]["not_tried"] == 1
    assert {path.name for path in folder.iterdir()} == {"a.png", "b.png", "a.gnc"}
    header = tiny_codec.verify((folder / "a.gnc").read_bytes())
    assert (header.width, header.height) == (256, 192)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("given", "times"), [(("--on-interrupt", "discard"), 1), (("--on-interrupt", "keep"), 2)])
def test_a_refinement_that_is_discarded_leaves_nothing(
    given: tuple[str, ...], times: int, folder: Path, sunset: bytes
) -> None:
    (folder / "a.png").write_bytes(sunset)
    code, out, lines = interrupted(5, "a.png", *given, folder=folder, times=times)
    assert (code, out) == (130, b"") and lines[-1] == INTERRUPTED
    assert {path.name for path in folder.iterdir()} == {"a.png"}


@pytest.mark.timeout(300)
def test_a_refinement_that_is_ended_goes_whole_to_standard_output(
    folder: Path, sunset: bytes, tiny_codec: Codec
) -> None:
    (folder / "a.png").write_bytes(sunset)
    code, out, lines = interrupted(7, "a.png", "--on-interrupt", "keep", "-o", "-", folder=folder)
    assert code == 130 and lines[-1] == INTERRUPTED
    assert tiny_codec.verify(out).width == 256


@pytest.mark.timeout(300)
def test_a_search_that_is_ended_leaves_a_file_within_its_target(
    folder: Path, sunset: bytes, tiny_codec: Codec
) -> None:
    (folder / "a.png").write_bytes(sunset)
    code, _, _ = interrupted(3, "a.png", "--on-interrupt", "keep", "--target-size", "2500", folder=folder)
    data = (folder / "a.gnc").read_bytes()
    tiny_codec.verify(data)
    assert code == 130 and 0.85 * 2500 < len(data) <= 2500


@pytest.mark.parametrize("target", [2200, 2600])
def test_a_target_with_effort_is_met_from_below(
    target: int, run: Any, folder: Path, sunset: bytes, tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressing, "load_codec", lambda name, device: tiny_codec)
    (folder / "a.png").write_bytes(sunset)
    assert run("compress", "a.png", "--effort", "2", "--target-size", target).code == 0
    assert 0.97 * target <= (folder / "a.gnc").stat().st_size <= target
