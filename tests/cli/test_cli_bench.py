"""`gancodec bench`: options, tables, and what becomes of children that fail.  Most children here only say what real
ones would; one real call is at the end.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gancodec.codec import Codec
from gancodec.errors import ConfigError, CorruptError, PictureError
from gancodec.evaluation.bench import children, contenders, measure, plan, speed
from gancodec.evaluation.bench.contenders import Ours
from gancodec.picture import modes
from tests.tiny import made_picture

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
TINY = GOLDEN / "tiny.safetensors"
EXTREME = GOLDEN / "tiny-extreme.safetensors"
PEER = "bmshj2018-factorized"
HYPERPRIOR = "bmshj2018-hyperprior"
OURS = "gancodec tiny"

needs_peers = pytest.mark.skipif(importlib.util.find_spec("compressai") is None, reason="compressai is not installed")

CHILD = """
import json, os, signal, sys, time
job, plan = json.loads(sys.argv[1]), json.loads(os.environ["PLAN"])
def tell(**message): print(json.dumps(message), flush=True)
def die(who, moment):
    tell(contender=who)
    if plan.get(moment) == who:
        os.kill(os.getpid(), signal.SIGKILL)
with open(plan["log"], "a") as log:
    log.write(json.dumps({**job, "pid": os.getpid()}) + "\\n")
if plan.get("hangs") == job["job"]:
    time.sleep(100)
if job["job"] == "prepare":
    if "error" in plan:
        tell(error=plan["error"])
        sys.exit(1)
    pictures = [{"path": "p", "width": w, "height": h} for w, h in job["sizes"] or [[64, 32]] * len(job["pictures"])]
    tell(result={"pictures": pictures, "torch": "2.9", "threads": 3, "device": "cpu", "device_name": ""})
elif job["job"] == "time":
    seconds, failed = {}, {}
    for number, who in enumerate(job["contenders"]):
        die(who, "time")
        print("not a message of ours", flush=True)
        if plan.get("raises") == who:
            failed[who] = "out of memory"
        else:
            parts = {"network": 0.2, "entropy coding": 0.1} if number == 0 else {}
            runs = [[(number + 1) * scale, (number + 1) * scale * 2, parts] for scale in (0.6, 0.4, 1.6)]
            seconds[who] = {"decode": runs} | ({"encode": runs} if job["batch"] == 1 else {})
    sizes, loads = {who: 512 for who in seconds}, {who: 1.5 for who in seconds}
    tell(result={"seconds": seconds, "size_bytes": sizes, "load_seconds": loads, "failed": failed})
else:
    die(job["contender"], job["job"])
    peak = {"import": 100, "encode": 150, "decode": 120 + job["batch"]}[job["job"]]
    tell(result={"peak_bytes": peak << 20, "cuda_bytes": None})
"""


class Children:
    """Children that do as planned, and what they were asked to do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._log = folder / "jobs"
        self._monkeypatch = monkeypatch
        self.plan()

    def plan(self, **what: Any) -> None:
        """Who dies (SIGKILL) in which job, who raises, where it hangs, what it tells."""
        self._monkeypatch.setenv("PLAN", json.dumps({**what, "log": str(self._log)}))

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []


@pytest.fixture
def fakes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Children:
    monkeypatch.setattr(children, "command", lambda job: [sys.executable, "-S", "-c", CHILD, json.dumps(job)])
    monkeypatch.setattr(speed, "find_spec", lambda name: object())
    return Children(folder, monkeypatch)


def table(out: bytes, title: str) -> dict[str, list[str]]:
    """Cells of the table under a title, by contender; names have one or two words."""
    lines = out.decode().split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    rows = lines[start + 2 : lines.index("", start)]
    found = {}
    for row in rows:
        if row.startswith(("x: ", "–: ")) or "mean seconds" in row:
            break
        words = row.split()
        name = " ".join(words[:2]) if words[0] == "gancodec" else words[0]
        found[name] = row[len(name) :].split()
    return found


def test_tables_have_speeds_ratios_and_peaks(run: Any, fakes: Children) -> None:
    done = run("bench", "--codec", TINY, "--sizes", "100x80,64x64", "--against", PEER, "--runs", 3)
    assert done.code == 0, done.err
    times = table(done.out, "100x80: seconds a picture, best of 3 runs")
    pixels = 100 * 80
    one = ["0.400", "(0.600)", f"{pixels / 0.4 / 1e6:.2f}"]
    two = ["0.800", "(1.200)", f"{pixels / 0.8 / 1e6:.2f}"]
    assert times[OURS] == [f"{8 * 512 / pixels:.3f}", *one, *one, *["1.00"] * 4]
    assert times[PEER] == [f"{8 * 512 / pixels:.3f}", *two, *two, *["2.00"] * 4]
    peaks = table(done.out, "100x80: peak memory above")
    assert peaks == {OURS: ["50", "21", "(100)"], PEER: ["50", "21", "(100)"]}
    assert b"64x64: seconds" in done.out
    assert "3 threads" in done.out.decode()
    assert all(line.startswith("gancodec: ") for line in done.lines)
    imports = [job for job in fakes.jobs if job["job"] == "import"]
    assert len(imports) == 2, "imports do not depend on the picture"


def test_a_batch_is_decoded_and_counted_by_the_picture(run: Any, fakes: Children) -> None:
    done = run("bench", "--codec", TINY, "--sizes", "100x80", "--against", PEER, "--batch", "1,4", "--runs", 3)
    assert done.code == 0, done.err
    times = table(done.out, "100x80, 4 decoded together: seconds")
    assert times[PEER][1:] == ["–", "–", "–", "0.200", "(0.300)", "0.04", "–", "2.00", "–", "2.00"]
    assert "–: pictures are encoded one by one" in done.out.decode()
    ours = "mean seconds: load 1.50; decode network 0.050, entropy coding 0.025, file 0.142"
    assert [line.endswith(ours) for line in done.out.decode().splitlines() if "mean seconds" in line] == [False, True]
    assert table(done.out, "100x80, 4 decoded together: peak")[OURS] == ["–", "24", "(100)"]


def test_json_is_one_object_with_every_run(run: Any, fakes: Children) -> None:
    done = run("bench", "--codec", TINY, "--sizes", "100x80", "--against", PEER, "--batch", "2", "--json")
    (found,) = done.rows
    assert [found[key] for key in ("codec", "quality", "effort", "runs")] == [str(TINY), 56, 1, 5]
    assert (found["setting"]["torch"], found["setting"]["threads"]) == ("2.9", 3)
    (comparison,) = found["comparisons"]
    assert [comparison[key] for key in ("picture", "width", "height", "batch")] == ["100x80", 100, 80, 2]
    ours, peer = comparison["times"]
    assert (ours["contender"], peer["contender"]) == (OURS, PEER)
    assert (ours["problem"], ours["size_bytes"], ours["encode"]) == (None, 512, None)
    assert peer["decode"]["seconds"] == pytest.approx([0.6, 0.4, 1.6])
    assert peer["decode"]["cpu_seconds"] == pytest.approx([1.2, 0.8, 3.2])
    assert comparison["memory"][0]["decode_bytes"] == 22 << 20


def test_options_reach_the_children(run: Any, fakes: Children, picture: Callable[..., Path]) -> None:
    picture("a.png")
    options = (
        "--quality", 12.5, "--effort", 3, "--device", "cpu", "--threads", 2, "--runs", 7, "--against", "none",
        "--no-memory",
    )  # fmt: skip
    done = run("bench", "--codec", TINY, *options, "a.png")
    assert done.code == 0, done.err
    prepare, timing = fakes.jobs
    assert (prepare["job"], prepare["pictures"], prepare["sizes"]) == ("prepare", ["a.png"], [])
    assert (timing["job"], timing["runs"], timing["contenders"]) == ("time", 7, [OURS])
    for job in (prepare, timing):
        asked = [job[key] for key in ("quality", "effort", "device", "threads", "codec")]
        assert asked == [12.5, 3, "cpu", 2, str(TINY)]
    assert b"at quality 12.5, effort 3; torch 2.9" in done.out
    assert b"a.png (64x32): seconds" in done.out
    assert b"peak memory" not in done.out


def test_without_options_two_sizes_and_two_peers_are_measured(run: Any, fakes: Children) -> None:
    assert run("bench", "--codec", EXTREME, "--no-memory").code == 0
    prepare, *timings = fakes.jobs
    assert prepare["sizes"] == [[768, 512], [4000, 3000]]
    assert prepare["quality"] is prepare["effort"] is None, "extreme has one rate"
    assert [job["contenders"] for job in timings] == [["gancodec tiny-extreme", HYPERPRIOR, "mbt2018-mean"]] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "mbt2018-men"], "did you mean mbt2018-mean? known names: bmshj2018-factorized, "),
        (["--against", "mbt2018,mbt2018"], "mbt2018 twice"),
        (["--against", "mbt2018,"], "--against has ''"),
        (["--sizes", "768"], "WIDTHxHEIGHT"),
        (["--sizes", "0x64"], "WIDTHxHEIGHT"),
        (["--sizes", "16385x64"], "at most 16384"),
        (["--sizes", "64x64,64x64"], "twice"),
        (["--batch", "0"], "--batch is '0'"),
        (["--batch", "1,1"], "twice"),
        (["--batch", ""], "--batch is ''"),
        (["--runs", "0"], "--runs"),
        (["--threads", "0"], "--threads"),
        (["--quality", "101"], "--quality is 101"),
        (["--quality", "50", "--codec", str(EXTREME)], "one rate only"),
        (["--effort", "10"], "--effort"),
        (["--effort", "-1"], "--effort"),
        (["--effort", "1.5"], "--effort"),
        (["--device", "tpu"], "tpu"),
        (["--sizes", "64x64", "a.png"], "--sizes is for generated pictures"),
        (["-"], "standard input"),
        (["a.png", "a.png"], "a.png twice"),
    ],
)
def test_wrong_options_end_it_before_anything_starts(
    options: list[str], said: str, run: Any, fakes: Children, picture: Callable[..., Path]
) -> None:
    picture("a.png")
    codec = [] if "--codec" in options else ["--codec", TINY]
    done = run("bench", *codec, *options)
    assert (done.code, done.out) == (2, b"")
    assert said in done.err
    assert len(done.lines) == 1
    assert fakes.jobs == []


@pytest.mark.parametrize(("options", "code"), [(["b.png"], 3), (["."], 3), (["--codec", "phot"], 5)])
def test_what_is_missing_ends_it_before_anything_starts(
    options: list[str], code: int, run: Any, fakes: Children
) -> None:
    codec = [] if "--codec" in options else ["--codec", TINY]
    done = run("bench", *codec, *options)
    assert (done.code, done.out, len(done.lines)) == (code, b"", 1)
    assert fakes.jobs == []


def test_without_compressai_ours_is_still_measured(
    run: Any, fakes: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "find_spec", lambda name: None)
    done = run("bench", "--codec", TINY, "--sizes", "64x64", "--against", f"{PEER},mbt2018")
    assert done.code == 0, done.err
    times = table(done.out, "64x64: seconds")
    assert times[OURS][1] == "0.400"
    assert " ".join(times[PEER]) == "skipped: needs compressai; pip install 'gancodec[eval]'"
    assert times["mbt2018"] == times[PEER]
    assert {job["contender"] for job in fakes.jobs if "contender" in job} == {OURS}


@pytest.mark.parametrize("who", [OURS, PEER])
def test_one_that_kills_its_process_is_a_line_and_the_others_are_measured(
    who: str, run: Any, fakes: Children
) -> None:
    fakes.plan(time=who)
    done = run("bench", "--codec", TINY, "--sizes", "64x64", "--against", f"{PEER},mbt2018")
    assert done.code == 7
    times = table(done.out, "64x64: seconds")
    assert " ".join(times.pop(who)) == "failed: Killed, perhaps for its memory"
    assert len(times) == 2
    assert all(row[2] in ("(0.600)", "(1.200)") for row in times.values())
    assert (OURS in times) == all(row[-1] != "–" for row in times.values()), "ratios need ours"
    assert who not in table(done.out, "64x64: peak")


def test_one_that_raises_is_a_line(run: Any, fakes: Children) -> None:
    fakes.plan(raises=PEER)
    done = run("bench", "--codec", TINY, "--sizes", "64x64", "--against", PEER)
    assert done.code == 7
    assert " ".join(table(done.out, "64x64: seconds")[PEER]) == "failed: out of memory"


def test_one_that_dies_while_its_memory_is_measured_keeps_its_times(run: Any, fakes: Children) -> None:
    fakes.plan(decode=PEER)
    done = run("bench", "--codec", TINY, "--sizes", "64x64", "--against", PEER)
    assert done.code == 7
    assert table(done.out, "64x64: seconds")[PEER][1] == "0.800"
    peaks = table(done.out, "64x64: peak")
    assert " ".join(peaks[PEER]) == "failed: Killed, perhaps for its memory"
    assert peaks[OURS] == ["50", "21", "(100)"]


def test_an_error_of_ours_in_a_child_is_ours(run: Any, fakes: Children) -> None:
    fakes.plan(error={"type": "LimitError", "message": "too wide", "hint": "make it smaller"})
    done = run("bench", "--codec", TINY, "--sizes", "64x64")
    assert (done.code, done.out) == (6, b"")
    assert done.lines[-1] == "gancodec: error: too wide; make it smaller"


def test_a_child_that_cannot_start_is_one_line(run: Any, fakes: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "command", lambda job: [sys.executable, "-S", "-c", "import nothing_of_that_name"])
    done = run("bench", "--codec", TINY, "--sizes", "64x64")
    assert (done.code, done.out) == (1, b"")
    assert "No module named 'nothing_of_that_name'" in done.lines[-1]


def test_an_interruption_kills_the_child(fakes: Children) -> None:
    fakes.plan(hangs="time")
    code = (
        "import json, sys; from gancodec.cli.main import main; from gancodec.evaluation.bench import children\n"
        "child = sys.argv.pop(1); children.command = lambda job: [sys.executable, '-S', '-c', child, json.dumps(job)]\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, CHILD, "bench", "--codec", str(TINY), "--sizes", "64x64", "--against", ""]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 30
        while len(fakes.jobs) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        child = fakes.jobs[1]["pid"]
        os.kill(parent.pid, signal.SIGINT)  # to the parent alone, as `kill` does
        _, err = parent.communicate(timeout=30)
    assert parent.returncode == 130
    assert b"Traceback" not in err
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
        pytest.fail("the child was still there")


class Silent:
    """Answers that nobody waits for."""

    def tell(self, **message: Any) -> None:
        pass


class Unstable:
    """A contender that fails when it decodes."""

    def encode(self, picture: Image.Image) -> bytes:
        return b"file"

    def decode(self, files: Any) -> list[Image.Image]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nand more")

    def parts_taken(self) -> dict[str, float]:
        return {"network": 0.25}


class Steady(Unstable):
    def decode(self, files: Any) -> list[Image.Image]:
        return [Image.new("RGB", (64, 32)) for _ in files]


def time_job(folder: Path, *names: str, batch: int = 1) -> dict[str, Any]:
    Image.fromarray(made_picture(0, 32, 64)).save(folder / "p.png")
    files = {name: str(folder / name) for name in names}
    return {
        "job": "time", "contenders": names, "picture": str(folder / "p.png"), "files": files, "batch": batch,
        "runs": 2, "threads": None, "device": "cpu", "title": "p",
    }  # fmt: skip


def test_a_contender_that_raises_leaves_the_contest_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "load", lambda name, job: Steady() if name == "good" else Unstable())
    found = measure.time_all(time_job(folder, "bad", "good"), Silent())  # type: ignore[arg-type]
    assert found["failed"] == {"bad": "out of memory"}
    assert {kind: len(runs) for kind, runs in found["seconds"].pop("good").items()} == {"encode": 2, "decode": 2}
    assert found["seconds"] == {}
    assert (folder / "good").read_bytes() == b"file"


def test_a_batch_is_not_encoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "load", lambda name, job: Steady())
    found = measure.time_all(time_job(folder, "good", batch=3), Silent())  # type: ignore[arg-type]
    assert found["seconds"]["good"].keys() == {"decode"}
    assert [parts for _, _, parts in found["seconds"]["good"]["decode"]] == [{"network": 0.25}] * 2
    assert found["load_seconds"]["good"] > 0


def test_a_picture_of_another_size_is_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "load", lambda name, job: Steady())
    job = time_job(folder, "good")
    Image.new("RGB", (63, 32)).save(job["picture"])
    found = measure.time_all(job, Silent())  # type: ignore[arg-type]
    assert "came back as (64, 32)" in found["failed"]["good"]


def test_reasons_are_one_line() -> None:
    assert measure.reason(MemoryError()) == "out of memory"
    cpu = RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 4 bytes")
    assert measure.reason(cpu) == "out of memory"
    assert measure.reason(ValueError("one\ntwo")) == "ValueError: one"
    assert measure.reason(CorruptError("damaged", hint="copy it again")) == "damaged; copy it again"


def test_effort_reaches_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Codec, "compress", lambda self, picture, **options: seen.append(options) or b"")
    for weights, quality, effort in ((TINY, 60.0, 0), (TINY, 60.0, 3), (EXTREME, None, None)):
        Ours(str(weights), quality=quality, effort=effort, device="cpu").encode(Image.new("RGB", (8, 8)))
    assert seen == [{"quality": 60.0, "effort": effort} for effort in (0, 3)] + [{"quality": None, "effort": 1}]


@pytest.mark.parametrize(("weights", "qualities"), [(TINY, (30, 90)), (EXTREME, (None, None))])
def test_pictures_of_a_batch_are_those_decoded_alone(weights: Path, qualities: tuple[float | None, ...]) -> None:
    ours = Ours(str(weights), quality=None, effort=None, device="cpu")
    files = []
    for seed, ours.quality in enumerate(qualities):
        files.append(ours.encode(Image.fromarray(made_picture(seed, 70, 100))))
    alone = [np.asarray(ours.decode([data])[0], np.int16) for data in files]
    together = [np.asarray(picture, np.int16) for picture in ours.decode(files)]
    assert np.abs(alone[0] - alone[1]).max() > 20
    for one, other in zip(alone, together, strict=True):
        assert one.shape == (70, 100, 3)
        assert np.abs(one - other).max() <= 1


def prepare_job(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "codec": str(TINY), "device": "cpu", "threads": None, "sizes": [], "pictures": [], "folder": str(folder)
    } | changes  # fmt: skip


def test_pictures_lose_what_only_ours_would_store(folder: Path, picture: Callable[..., Path]) -> None:
    for name, mode in (("grey.png", "L"), ("clear.png", "RGBA")):
        picture(name, mode=mode)
    found = measure.prepare(prepare_job(folder, sizes=[[40, 30]], pictures=["grey.png", "clear.png"]), Silent())  # type: ignore[arg-type]
    assert [(made["width"], made["height"]) for made in found["pictures"]] == [(40, 30), (9, 6), (9, 6)]
    made, *given = [np.asarray(measure.open_rgb(row["path"])) for row in found["pictures"]]
    assert made.std() > 5
    for name, read in zip(("grey.png", "clear.png"), given, strict=True):
        np.testing.assert_array_equal(read, np.asarray(Image.open(name).convert("RGBA"))[..., :3])
    assert found["device"] == "cpu"


def test_what_is_no_picture_is_refused(folder: Path) -> None:
    (folder / "text.png").write_text("no picture")
    with pytest.raises(PictureError, match=r"text\.png"):
        measure.prepare(prepare_job(folder, pictures=["text.png"]), Silent())  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="not there"):
        measure.prepare(prepare_job(folder, device="cuda"), Silent())  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_memory_of_the_gpu_is_measured(folder: Path) -> None:
    job = time_job(folder) | {"job": "encode", "contender": OURS, "device": "cuda", "codec": str(TINY), "quality": 50}
    assert measure.memory(job, Silent())["cuda_bytes"] > 10_000  # type: ignore[arg-type]


@needs_peers
def test_the_known_names_are_those_of_compressai() -> None:
    # Read, not imported: that takes five seconds.
    spec = importlib.util.find_spec("compressai")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "zoo" / "__init__.py").read_text(encoding="utf-8")
    (names,) = [
        [ast.literal_eval(key) for key in node.value.keys if key is not None]
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and node.targets[0].id == "image_models"  # type: ignore[attr-defined]
    ]
    assert sorted(names) == sorted(plan.PEERS)
    assert set(plan.DEFAULT_PEERS) <= set(plan.PEERS)
    assert contenders.is_peer("cheng2020-anchor")
    assert not contenders.is_peer(OURS)


def test_the_greatest_side_is_that_of_pictures() -> None:
    assert plan.MAX_SIDE_PX == modes.MAX_SIDE_PX


def test_help_has_examples(run: Any) -> None:
    done = run("bench", "--help")
    assert (done.code, done.err) == (0, "")
    assert b"  gancodec bench --sizes" in done.out


def test_a_small_picture_is_measured_and_the_parent_stays_small(folder: Path, tiny_codec: Codec) -> None:
    peers = [HYPERPRIOR] if importlib.util.find_spec("compressai") else []
    Image.fromarray(made_picture(5, 64, 64)).save(folder / "photo.png")
    code = (
        "import sys; from gancodec.cli.main import main; code = main(sys.argv[1:])\n"
        "print(*{'torch', 'numpy', 'PIL'} & sys.modules.keys(), file=sys.stderr); sys.exit(code)"
    )
    options = ["--runs", "1", "--against", ",".join(peers), "--device", "cpu", "--no-memory", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, "bench", "photo.png", "--codec", str(TINY), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *progress, loaded = done.stderr.splitlines()
    assert loaded == ""
    assert progress
    assert all(line.startswith("gancodec: ") for line in progress)
    (comparison,) = json.loads(done.stdout)["comparisons"]
    assert (comparison["picture"], comparison["width"], comparison["height"]) == ("photo.png", 64, 64)
    assert [row["contender"] for row in comparison["times"]] == [OURS, *peers]
    for row in comparison["times"]:
        assert row["problem"] is None
        assert 0 < row["encode"]["seconds"][0] < 60
        assert 0 < row["decode"]["seconds"][0] < 60
    with Image.open("photo.png") as image:
        assert comparison["times"][0]["size_bytes"] == len(tiny_codec.compress(image, quality=56))
