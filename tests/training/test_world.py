"""Several processes train one model: as many crops a step, the same weights everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

SCRIPT = r"""
import sys, zlib
from pathlib import Path
import torch
from gancodec.training.config import STAGES, Preset
from gancodec.training import export, loop, plan, run
from tests.clock import ticking
from tests.tiny import TINY, TINY_EXTREME
from tests.training.conftest import small_config
codec, data, out, minutes, resume = sys.argv[1:]
torch.set_num_threads(1)
loop.perf_counter = ticking(0.1)
model = TINY if codec == "photo" else TINY_EXTREME
plan.load_preset = lambda name, _: Preset(model=model, stages={stage: small_config(stage) for stage in STAGES[codec]})
export.FITTED_MEGAPIXELS = 0.05
shared = run.run_stage
def watched(stage, around):
    done = shared(stage, around)
    weights = b"".join(parameter.detach().numpy().tobytes() for parameter in stage.networks["model"].parameters())
    sys.stdout.write(f"WEIGHTS {stage.name} {zlib.crc32(weights)}\n")
    return done
run.run_stage = watched
request = run.Request(
    codec=codec, data=Path(data), out=Path(out), init="none", max_minutes=float(minutes), device="cpu",
    resume=resume == "resume",
)
trained = run.train_codecs(request, lambda line: sys.stdout.write(f"SAID {line}\n"))
sys.stdout.write(f"DONE {trained[0].finished}\n")
"""


def torchrun(tmp_path: Path, *arguments: str) -> str:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=110, cwd=root
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "resumes"), [("photo", False), ("extreme", True)])
def test_two_processes_train_together_and_go_on(codec: str, resumes: bool, photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = torchrun(tmp_path, codec, str(photo_folder), str(out), "0.03", "anew")
    assert said.count("DONE True") == 2
    assert said.count("SAID training on") == 1  # only the first one speaks
    # Each process saw its own crops; with gradients shared their weights are the same to the last bit.
    weights = [line for line in said.splitlines() if line.startswith("WEIGHTS")]
    assert weights and all(weights.count(line) == 2 for line in weights)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    last = [row for row in rows if "megapixels" in row][-1]
    assert last["megapixels"] == pytest.approx(last["step"] * 2 * 2 * 64 * 64 / 1e6, abs=0.1)
    assert json.loads((out / "configuration.json").read_text())["processes"] == 2
    assert load_file(out / "run.safetensors")
    if not resumes:
        return
    again = torchrun(tmp_path, codec, str(photo_folder), str(out), "0.05", "resume")
    assert again.count("DONE True") == 2 and "resumed at step" in again
