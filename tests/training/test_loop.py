"""The loop around a stage: an interrupted run, as the command line interrupts it, is the run without interruptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gancodec.training import journal, loop
from gancodec.training.checkpoint import load_checkpoint
from gancodec.training.data import Photos
from gancodec.training.loop import Interruption, Surroundings, run_stage
from gancodec.training.stage import Pixels, Stage
from tests.clock import ticking
from tests.tiny import made_picture

STEPS = 12
SQUARES = [np.stack([made_picture(80 + number, 64, 64) for number in range(2)])]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second, so that the schedule of two runs is the same."""
    monkeypatch.setattr(loop, "perf_counter", ticking(1.0))
    monkeypatch.setattr(journal, "find_spec", lambda name: None)  # TensorBoard takes seconds to load


def run(stage: Stage, photos: Photos, folder: Path, *, stop_after: int | None = None) -> bool:
    """Run from the checkpoint in ``folder``, if there is one, and ask it to stop after so many steps."""
    interruption = Interruption()
    around = Surroundings(
        photos=photos, squares=SQUARES, measured_on="squares", folder=folder, checkpoint=folder / "c.safetensors",
        configuration=stage.config.identity(), report=lambda line: None, interruption=interruption, log_seconds=2.0,
    )  # fmt: skip
    if around.checkpoint.exists():
        stage.progress = load_checkpoint(
            around.checkpoint, networks=stage.networks, optimisers=stage.optimisers, configuration=around.configuration
        )
    steps, last = stage.step, stage.progress.step + (stop_after or STEPS)

    def step(pixels: Pixels, done: float) -> dict[str, float]:
        interruption.asked = stop_after is not None and stage.progress.step + 1 == last
        return steps(pixels, done)

    stage.step = step  # type: ignore[method-assign]
    folder.mkdir(exist_ok=True)
    return run_stage(stage, around)


def test_interruptions_leave_no_trace(make: Callable[..., Stage], photos: Photos, tmp_path: Path) -> None:
    whole = make(max_minutes=STEPS / 60)
    assert run(whole, photos, tmp_path / "whole")
    for number, steps in enumerate((1, 4, 3, None)):
        stage = make(max_minutes=STEPS / 60, seed=1 + number)  # another beginning: all must come from the checkpoint
        assert run(stage, photos, tmp_path / "parts", stop_after=steps) is (steps is None)
    assert stage.progress == whole.progress and whole.progress.step == STEPS
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            np.testing.assert_allclose(stage.networks[name].state_dict()[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
    rows = {part: (tmp_path / part / "log.jsonl").read_text().splitlines() for part in ("whole", "parts")}
    last = {part: json.loads(next(row for row in reversed(rows[part]) if '"minutes"' in row)) for part in rows}
    assert last["parts"]["step"] == last["whole"]["step"] == STEPS
    assert last["parts"]["loss"] == pytest.approx(last["whole"]["loss"], rel=1e-3)


def test_finished_stage_is_not_run_again(make: Callable[..., Stage], photos: Photos, tmp_path: Path) -> None:
    stage = make(max_minutes=3 / 60)
    assert run(stage, photos, tmp_path / "run")
    before = [value.clone() for value in stage.networks["model"].state_dict().values()]
    assert run(stage, photos, tmp_path / "run") and stage.progress.step == 3
    assert all(map(torch.equal, before, stage.networks["model"].state_dict().values()))
