"""`gancodec train`: from a folder of photos to a codec that is used at once; networks have a few thousand weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.cli import train_options
from gancodec.cli.main import main
from gancodec.networks.config import FAMILIES, SYMBOL_CHANNELS, ModelConfig
from gancodec.training import config, journal, loop, losses, plan, start
from gancodec.training import run as engine
from gancodec.training.config import Preset
from gancodec.training.loop import Interruption
from gancodec.training.plan import Request
from gancodec.training.run import Trained
from gancodec.training.stage import Stage
from tests.clock import ticking
from tests.tiny import TINY, TINY_EXTREME, made_picture

ROOT = Path(__file__).resolve().parents[2]
MODELS: dict[str, ModelConfig] = {"photo": TINY, "extreme": TINY_EXTREME}
SECONDS = 0.2
STEP_SECONDS = 0.02
"""What a step seems to take, however busy the machine is."""
MINUTES = ("--max-minutes", SECONDS / 60)
LONG = ("--max-minutes", 5)
"""For runs that are interrupted; the minutes may change when they are resumed."""


def tiny_preset(codec: str, changes: Path | None = None) -> Preset:
    """The shipped preset, with small networks, crops and batches."""
    preset = config.load_preset(codec, changes)
    sizes: dict[str, Any] = {
        "crop_px": 64, "batch": 2, "warmup_steps": 5,
        "discriminator_widths": (8, 8), "discriminator_scales": 1, "discriminator_warmup_steps": 2,
    }  # fmt: skip
    return Preset(
        model=MODELS[codec], stages={name: replace(stage, **sizes) for name, stage in preset.stages.items()}
    )


@pytest.fixture(scope="module", autouse=True)
def tiny_networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "perf_counter", ticking(STEP_SECONDS))
        patch.setattr(plan, "load_preset", tiny_preset)
        patch.setattr(start, "KLT_MEGAPIXELS", 0.25)
        patch.setattr(journal, "find_spec", lambda name: None)  # TensorBoard takes seconds to load
        yield


@pytest.fixture(autouse=True)
def loader() -> None:
    """No fake codecs in this file: what was trained must serve."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos in nested folders and several formats, and what is none."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    (folder / "a" / "b").mkdir(parents=True)
    for number, place in enumerate(["1.png", "a/2.JPG", "a/b/3.webp", "a/b/4.bmp", "a/5.tiff"]):
        Image.fromarray(made_picture(number, 80 + 16 * number, 120)).save(folder / place)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    cut = (folder / "1.png").read_bytes()
    (folder / "a" / "cut.png").write_bytes(cut[: len(cut) // 2])
    Image.fromarray(made_picture(9, 40, 300)).save(folder / "thin.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of stage fidelity; tests take copies."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    arguments = ["train", "--codec", "photo", "--stage", "fidelity", "--data", photos, "--out", out, *MINUTES]
    assert main([str(argument) for argument in arguments]) == 0
    return out


@pytest.fixture
def train(run: Any, photos: Path) -> Callable[..., Any]:
    """Call ``gancodec train`` for photo, on the photos, into runs/x, unless other arguments say otherwise."""

    def call(*arguments: object) -> Any:
        usual = {"--codec": "photo", "--data": photos, "--out": "runs/x"}
        given = [part for option, value in usual.items() if option not in arguments for part in (option, value)]
        return run("train", *given, *arguments)

    return call


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the trainer is asked for, in place of training."""
    asked: list[Request] = []

    def record(request: Request, report: Callable[[str], None]) -> list[Trained]:
        asked.append(request)
        report("one line of progress")
        return [
            Trained(path=request.out / "x.safetensors", name="x", model_id=b"", minutes=1, megapixels=2, finished=True)
        ]

    monkeypatch.setattr(engine, "train_codecs", record)
    return asked


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, *, times: int = 1) -> None:
    """Ctrl-C after so many steps of any stage."""
    advance = Stage.advance

    def advance_and_interrupt(self: Stage, pixels: Any, done: float) -> dict[str, float]:
        numbers = advance(self, pixels, done)
        if self.progress.step == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return numbers

    monkeypatch.setattr(Stage, "advance", advance_and_interrupt)


@pytest.mark.parametrize("codec", ["photo", "extreme"])
def test_what_was_trained_compresses_at_once(
    codec: str, train: Any, run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = train("--codec", codec, "--out", "runs/holiday", *MINUTES)
    assert done.code == 0
    path = folder / "runs" / "holiday" / "holiday.safetensors"
    assert path.is_file()
    text = done.out.decode()
    model_id = re.search(r"runs/holiday/holiday.safetensors: model ([0-9a-f]{8}), \d+\.\d minutes, .* Mpixel\n", text)
    assert model_id is not None
    assert "GANCODEC_CODECS=runs/holiday\n" in text
    # Data: everything that was passed over is counted, with its reason.
    (summary,) = [line for line in done.lines if line.startswith("gancodec: training on ")]
    assert "5 photos" in summary and "2 skipped: cannot be read" in summary and "1 skipped: too small" in summary

    Image.fromarray(made_picture(77, 70, 90)).save("photo.png")
    (command,) = re.findall(r"^ +gancodec (compress .*) photo\.jpg$", text, re.MULTILINE)
    assert run(*command.split(), "photo.png").code == 0
    assert run("compress", "--codec", "runs/holiday", "photo.png", "-o", "by-folder.gnc").code == 0
    assert run("info", "photo.gnc", "--json").rows[0]["model_id"] == model_id[1]
    assert run("decompress", "photo.gnc", "-o", "unknown.png").code == 5
    assert run("decompress", "photo.gnc", "-o", "by-path.png", "--codec", path).code == 0
    monkeypatch.setenv("GANCODEC_CODECS", str(folder / "runs"))
    assert run("decompress", "photo.gnc", "-o", "by-id.png").code == 0
    assert run("decompress", "photo.gnc", "-o", "by-name.png", "--codec", "holiday", "--realism", "0").code == 0
    if codec == "photo":
        assert run("decompress", "photo.gnc", "-o", "real.png", "--realism", "1").code == 0
    by_path, by_id = (np.asarray(Image.open(name)) for name in ("by-path.png", "by-id.png"))
    assert by_path.shape == (70, 90, 3)
    assert np.array_equal(by_path, by_id)

    written = {entry.name.split("-0")[0] for entry in path.parent.rglob("*") if entry.is_file()}
    stages = ["fidelity", "synthesis", "realism"] if codec == "photo" else ["joint"]
    assert written == {
        "holiday.safetensors", "configuration.json", "log.jsonl", *stages,
        *(f"checkpoint-{stage}.safetensors" for stage in stages),
    }  # fmt: skip
    assert all({"step", "loss", "psnr"} <= row.keys() for row in rows_of(path.parent) if "loss" in row)


def test_several_lambdas_make_one_codec_each_started_from_its_neighbour(
    train: Any, run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = train("--codec", "extreme", "--lambda-x", "6, 12,24", "--licence", "CC0-1.0", "--json", *MINUTES)
    assert done.code == 0
    names = [f"x-lambda-x-{value}" for value in (6, 12, 24)]
    paths = [Path(f"runs/x/lambda-x-{value}/x-lambda-x-{value}.safetensors") for value in (6, 12, 24)]
    assert [row["name"] for row in done.rows] == names
    assert [row["path"] for row in done.rows] == [str(path) for path in paths]
    assert len({row["model_id"] for row in done.rows}) == 3
    assert all(row["finished"] and row["minutes"] > 0 and row["megapixels"] > 0 for row in done.rows)
    for number, path in enumerate(paths):
        written = json.loads((path.parent / "configuration.json").read_text(encoding="utf-8"))
        assert written["stages"]["joint"]["lambda_x"] == (6, 12, 24)[number]
        assert written["init"] == (str(paths[number - 1]) if number else None)
    assert [line for line in done.lines if "starting from" in line] == [
        "gancodec: joint: starting from scratch, at the transform codec",
        f"gancodec: starting from {paths[0]}",
        f"gancodec: starting from {paths[1]}",
    ]
    monkeypatch.setenv("GANCODEC_CODECS", str(folder / "runs"))
    listed = [row for row in run("models", "--json").rows if row["name"] in names]
    assert sorted(row["name"] for row in listed) == sorted(names)
    assert {row["licence"] for row in listed} == {"CC0-1.0"}


def test_a_folder_with_nothing_usable_is_refused_before_anything_is_written(train: Any, folder: Path) -> None:
    (folder / "bad").mkdir()
    (folder / "bad" / "broken.jpg").write_bytes(b"\xff\xd8")
    Image.fromarray(made_picture(1, 32, 32)).save(folder / "bad" / "small.png")
    (folder / "empty").mkdir()
    for name, reason in [
        ("bad", "no usable photo among 2 picture files (1 cannot be read, 1 have a side under 64 pixels)"),
        ("empty", "no usable photo among 0 picture files"),
        ("missing", "missing is not a folder"),
    ]:
        for arguments in (["--data", name], ["--valid", name]):
            done = train(*arguments)
            assert done.code == 2
            assert reason in done.lines[-1]
            assert not (folder / "runs").exists()
    # Crops larger than every photo leave nothing, either.
    assert train("--crop", 256).code == 2
    assert not (folder / "runs").exists()


def test_a_run_is_not_written_over_and_resumes_only_as_it_was(train: Any, finished: Path, folder: Path) -> None:
    shutil.copytree(finished, folder / "mine")
    before = {path: path.read_bytes() for path in (folder / "mine").rglob("*") if path.is_file()}
    usual = ("--stage", "fidelity", "--out", "mine", *MINUTES)
    done = train(*usual)
    assert (done.code, done.out) == (2, b"")
    assert done.lines == ["gancodec: error: mine holds a run already; go on with --resume, or use another --out"]
    for changed in (["--seed", 5], ["--lambda-x", 24], ["--distortion", "l1"], ["--batch", 3]):
        done = train(*usual, "--resume", *changed)
        assert (done.code, done.out) == (2, b"")
        assert "made with another configuration: " in done.lines[-1]
        assert f"{str(changed[0])[2:].replace('-', '_')} " in done.lines[-1]
    assert before == {path: path.read_bytes() for path in (folder / "mine").rglob("*") if path.is_file()}


def test_realism_is_added_to_a_codec_without_changing_its_files(
    train: Any, run: Any, finished: Path, folder: Path
) -> None:
    codec = finished / "mine.safetensors"
    done = train("--stage", "realism", "--init", codec, "--lambda-adv", 0.1, "--json", *MINUTES)
    assert done.code == 0
    Image.fromarray(made_picture(5, 64, 64)).save("a.png")
    assert run("compress", "a.png", "--codec", codec).code == 0
    assert run("decompress", "a.gnc", "--codec", done.rows[0]["path"], "--realism", 1, "-o", "b.png").code == 0


def test_ctrl_c_leaves_a_checkpoint_from_which_resume_goes_on(
    train: Any, run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(4, patch)
        done = train("--codec", "extreme", *LONG)
    assert done.code == 130
    assert (folder / "runs" / "x" / "checkpoint-joint.safetensors").is_file()
    assert "unfinished" in done.out.decode()
    assert done.lines[-1] == (
        "gancodec: interrupted; a checkpoint is in runs/x: the same command with --resume goes on from there"
    )
    assert "no incomplete file" not in done.err
    # The codec is there, too, as good as it is by now.
    Image.fromarray(made_picture(5, 64, 64)).save("a.png")
    assert run("compress", "a.png", "--codec", "runs/x").code == 0

    with monkeypatch.context() as patch:
        interrupt_at(9, patch)
        assert train("--codec", "extreme", "--resume", "--json", *LONG).rows[0]["finished"] is False
    done = train("--codec", "extreme", "--resume", "--json", "--max-minutes", 1 / 60)
    assert done.code == 0
    assert any("joint: resumed at step 9, " in line for line in done.lines)
    assert done.rows[0]["finished"] is True
    steps = [row["step"] for row in rows_of(folder / "runs" / "x") if "megapixels" in row]
    assert steps[:2] == [4, 9] and len(steps) > 2
    assert steps == sorted(set(steps))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupted_row_of_lambdas_goes_on_where_it_was(
    train: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ("--codec", "extreme", "--lambda-x", "6,12", "--json", *MINUTES)
    with monkeypatch.context() as patch:
        stopped = Interruption.__enter__

        def enter(self: Interruption) -> Interruption:
            entered = stopped(self)
            signal.raise_signal(signal.SIGINT)
            return entered

        patch.setattr(Interruption, "__enter__", enter)
        done = train(*usual)
    assert done.code == 130
    assert [row["finished"] for row in done.rows] == [False]
    done = train(*usual, "--resume")
    assert done.code == 0
    assert [row["name"] for row in done.rows] == ["x-lambda-x-6", "x-lambda-x-12"]
    assert all(row["finished"] for row in done.rows)


def test_a_second_ctrl_c_ends_at_once_and_says_what_is_left(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(3, patch, times=2)
        done = train("--codec", "extreme", *LONG)
    assert (done.code, done.out) == (130, b"")
    said = "interrupted before the first checkpoint; nothing of runs/x is needed to begin again"
    assert done.lines[-1] == f"gancodec: {said}"
    with monkeypatch.context() as patch:
        interrupt_at(3, patch)
        assert train("--codec", "extreme", "--resume", *LONG).code == 130
    with monkeypatch.context() as patch:
        interrupt_at(5, patch, times=2)
        done = train("--codec", "extreme", "--resume", *LONG)
    assert done.code == 130
    assert done.lines[-1] == (
        "gancodec: interrupted at once; the same command with --resume goes on from the last checkpoint"
    )


def test_ctrl_c_before_training_is_like_in_every_command(
    train: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "load_photos", interrupted)
    done = train()
    assert (done.code, done.lines) == (130, ["gancodec: interrupted; no incomplete file is left"])
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--lambda-x", "0"],
        ["--lambda-x", "-6"],
        ["--lambda-x", "nan"],
        ["--lambda-x", "inf"],
        ["--lambda-x", "6,,12"],
        ["--lambda-x", "6;12"],
        ["--lambda-x", ""],
        ["--lambda-x", "6,12,6.0"],
        ["--lambda-r", "0"],
        ["--lambda-r", "nan"],
        ["--lambda-fm", "-1"],
        ["--lambda-adv", "-0.1"],
        ["--lambda-adv", "inf"],
        ["--lambda-p", "nan"],
        ["--lambda-c", "much"],
        ["--lambda-grid", "nan"],
        ["--lambda-grid", "-1"],
        ["--lambda-p", "1"],
        ["--adversarial", "fierce"],
        ["--distortion", "ssim"],
        ["--generator-scales", "none"],
        ["--stage", "joint"],
        ["--channels", "8"],
        ["--codec", "extreme", "--channels", "5"],
        ["--codec", "extreme", "--channels", "many"],
        ["--stage", "realism", "--codec", "extreme"],
        ["--stage", "synthesis", "--codec", "extreme"],
        ["--codec", "video"],
        ["--max-minutes", "0"],
        ["--max-minutes", "nan"],
        ["--device", "abacus"],
        ["--seed", "-1"],
        ["--seed", "99999999999999999999"],
        ["--batch", "0"],
        ["--crop", "100"],
        ["--crop", "0"],
        ["--name", ""],
        ["--name", "a/b"],
        ["--name", "checkpoint-joint"],
        ["--out", "/"],
        ["--out", "file"],
        ["--out", "file/below"],
    ],
)
def test_option_values_that_cannot_be_are_2_with_the_options_name(
    arguments: list[str], train: Any, folder: Path
) -> None:
    (folder / "file").write_text("no folder")
    done = train(*arguments)
    assert (done.code, done.out, len(done.lines)) == (2, b"", 1)
    assert arguments[0].lstrip("-") in done.err  # the trainer itself says it without dashes
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("missing", ["--codec", "--data", "--out"])
def test_what_must_be_given_is_asked_for(missing: str, run: Any, requests: list[Request]) -> None:
    usual = {"--codec": "photo", "--data": "photos", "--out": "x"}
    del usual[missing]
    done = run("train", *[part for pair in usual.items() for part in pair])
    assert (done.code, len(done.lines)) == (2, 1)
    assert f"'{missing}'" in done.err
    assert not requests


@pytest.mark.parametrize(
    "arguments",
    [
        ["--features", "missing.safetensors", "--lambda-p", "1"],
        ["--init", "nobody"],
        ["--stage", "realism"],
        ["--stage", "synthesis"],
    ],
)
def test_networks_that_are_not_there_are_5(arguments: list[str], train: Any, folder: Path) -> None:
    done = train(*arguments)
    assert (done.code, done.out, len(done.lines)) == (5, b"", 1)
    assert not (folder / "runs").exists()


def test_features_that_are_no_network_are_2_and_files_that_are_no_codec_5(train: Any, finished: Path) -> None:
    checkpoint = finished / "checkpoint-fidelity.safetensors"
    assert train("--features", f"{checkpoint}:elephant", "--lambda-p", 1).code == 2
    assert train("--init", checkpoint).code == 5
    done = train("--codec", "extreme", "--init", finished / "mine.safetensors")
    assert done.code == 2
    assert "is a codec of photo" in done.err


def test_what_is_not_given_is_left_to_the_preset(train: Any, requests: list[Request], photos: Path) -> None:
    done = train()
    assert done.code == 0
    assert requests == [Request(codec="photo", data=photos, out=Path("runs/x"))]
    assert done.lines == ["gancodec: one line of progress"]


def test_every_option_reaches_the_trainer(train: Any, requests: list[Request]) -> None:
    given = [
        "--codec", "extreme", "--valid", "v", "--lambda-x", "6,1.5e1", "--lambda-r", 2, "--lambda-fm", 3,
        "--lambda-adv", 0, "--lambda-p", 0.5, "--lambda-c", 0.25, "--lambda-grid", 1.5, "--adversarial", "hinge",
        "--distortion", "l1", "--generator-scales", "full", "--channels", 16, "--features", "f.safetensors:alex",
        "--init", "none", "--resume", "--max-minutes", 1.5, "--device", "cpu", "--seed", 7, "--batch", 3, "--crop", 128,
        "--name", "n", "--licence", "MIT", "--preset", "p.toml",
    ]  # fmt: skip
    assert train(*given).code == 0
    (request,) = requests
    assert (request.codec, request.valid, request.lambda_x) == ("extreme", Path("v"), (6.0, 15.0))
    assert request.model == {"symbol_channels": 16}
    assert request.training == {
        "lambda_r": 2, "lambda_fm": 3, "lambda_adv": 0, "lambda_p": 0.5, "lambda_c": 0.25,
        "lambda_grid": 1.5, "adversarial": "hinge", "distortion": "l1", "generator_scales": "full", "seed": 7,
        "batch": 3, "crop_px": 128,
    }  # fmt: skip
    assert {type(value) for value in request.training.values()} == {int, float, str}
    assert (request.features, request.init, request.resume) == ("f.safetensors:alex", "none", True)
    assert (request.max_minutes, request.device, request.name, request.licence) == (1.5, "cpu", "n", "MIT")
    assert request.preset == Path("p.toml")
    # The trainer knows all these names.
    tiny_preset("extreme").changed(request.model, request.training)


def test_of_the_processes_of_torchrun_only_the_first_speaks(
    train: Any, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    done = train("--json")
    assert (done.code, done.out) == (0, b"")
    assert (train("--lambda-x", "0").code, train("--lambda-x", "0").err) == (2, "")
    monkeypatch.setenv("RANK", "0")
    assert len(train("--json").rows) == 1


def test_the_choices_are_those_of_the_trainer() -> None:
    assert tuple(train_options.Family) == tuple(FAMILIES)
    assert tuple(train_options.StageChoice) == (*config.STAGES["photo"], "all")
    assert tuple(train_options.Adversarial) == losses.ADVERSARIAL
    assert tuple(train_options.Distortion) == losses.DISTORTIONS
    assert tuple(train_options.GeneratorScales) == losses.GENERATOR_SCALES
    assert train_options.CHANNELS == SYMBOL_CHANNELS


def test_help_shows_the_presets_numbers_without_loading_torch(folder: Path) -> None:
    (folder / "torch.py").write_text("raise SystemExit('torch was imported')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))), "COLUMNS": "200"}
    command = [sys.executable, "-m", "gancodec", "train"]
    done = subprocess.run([*command, "--help"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    realism, joint = config.load_preset("photo").stages["realism"], config.load_preset("extreme").stages["joint"]
    assert f"Default: {realism.lambda_adv:g} for photo, {joint.lambda_adv:g} for extreme." in text
    assert f"Default: {realism.lambda_x:g}." in text and f"Default: {realism.batch}." in text
    wrong = [*command, "--codec", "photo", "--data", "x", "--out", "y", "--lambda-x", "none"]
    done = subprocess.run(wrong, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "--lambda-x is 'none'" in done.stderr) == (2, True)
