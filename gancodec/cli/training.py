"""`gancodec train`: what the user gave -> a request to the trainer; what it made -> a summary."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gancodec.cli import report
from gancodec.cli.train_options import TrainOptions
from gancodec.errors import ConfigError, GancodecError
from gancodec.registry import CODECS_VARIABLE

if TYPE_CHECKING:
    from gancodec.training.plan import Request
    from gancodec.training.run import Trained

INTERRUPTED: Final = 130


def train(given: TrainOptions, *, as_json: bool) -> int:
    """Train; returns the exit code.  Of the processes that torchrun starts only the first one speaks.

    Raises ConfigError for options, data and configurations that do not fit, ModelError for weights or features that do
    not serve.
    """
    speaks = int(os.environ.get("RANK", "0")) == 0
    try:
        with report.warnings_about("training") if speaks else warnings.catch_warnings(action="ignore"):
            trained = _train(given)
    except GancodecError as exc:
        if speaks:
            raise
        return exc.exit_code
    except KeyboardInterrupt:
        # The trainer answers the first one by itself: this one came before it began, or was the second.
        if not given.out.exists():
            raise
        if speaks:
            report.say(_lost(given.out))
        return INTERRUPTED
    if speaks:
        _summarise(trained, as_json=as_json)
    return 0 if all(codec.finished for codec in trained) else INTERRUPTED


def _train(given: TrainOptions) -> list[Trained]:
    given.check()
    _check_out(given.out)
    from gancodec.training import run

    return run.train_codecs(_request(given), report.say)


def _request(given: TrainOptions) -> Request:
    from gancodec.training.plan import Request

    stated = {} if given.licence is None else {"licence": given.licence}
    return Request(
        codec=given.codec.value,
        data=given.data,
        out=given.out,
        valid=given.valid,
        lambda_x=given.lambdas(),
        model=given.model(),
        training=given.training(),
        stage=given.stage.value,
        features=given.features,
        init=given.init,
        resume=given.resume,
        max_minutes=given.max_minutes,
        device=given.device,
        preset=given.preset,
        name=given.name,
        **stated,
    )


def _check_out(out: Path) -> None:
    """Raises ConfigError if no folder can be there: better than after all photos are read."""
    for path in (out, *out.parents):
        if path.exists():
            if not path.is_dir():
                raise ConfigError(f"--out {out}: {path} is a file", hint="give a folder")
            return


def _summarise(trained: Sequence[Trained], *, as_json: bool) -> None:
    for codec in trained:
        exists = codec.path.is_file()
        if as_json:
            report.json_line(
                {
                    "name": codec.name,
                    "path": str(codec.path) if exists else None,
                    "model_id": codec.model_id.hex() or None,
                    "minutes": round(codec.minutes, 3),
                    "megapixels": round(codec.megapixels, 3),
                    "finished": codec.finished,
                }
            )
            continue
        effort = f"{codec.minutes:.1f} minutes, {codec.megapixels:,.1f} Mpixel"
        if not exists:
            report.data(f"{codec.name}: {effort}; no codec yet")
            continue
        unfinished = "" if codec.finished else ", unfinished"
        report.data(f"{codec.path}: model {codec.model_id.hex()}, {effort}{unfinished}")
        report.data(f"  gancodec compress --codec {shlex.quote(str(codec.path))} photo.jpg")
    made = [codec.path.parent for codec in trained if codec.path.is_file()]
    if made and not as_json:
        folder = shlex.quote(os.path.commonpath(made))
        report.data(f"files made with it open with the same --codec, or with {CODECS_VARIABLE}={folder}")
    if trained and not trained[-1].finished:
        folders = [codec.path.parent for codec in trained if codec.path.parent.is_dir()]
        report.say(f"interrupted; a checkpoint is in {folders[-1]}: the same command with --resume goes on from there")


def _lost(out: Path) -> str:
    """What to say when the trainer was not left the time to stop by itself."""
    if any(out.rglob("checkpoint-*.safetensors")):
        return "interrupted at once; the same command with --resume goes on from the last checkpoint"
    return f"interrupted before the first checkpoint; nothing of {out} is needed to begin again"
