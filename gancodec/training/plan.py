"""What a call of ``gancodec train`` comes to: options and preset -> codecs to train.  What does not fit is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from gancodec.errors import ConfigError, MissingModelError
from gancodec.networks.config import ModelConfig, PhotoConfig, config_from_values
from gancodec.registry import SUFFIX, read_metadata, resolve, shipped_models
from gancodec.training.checkpoint import read_progress
from gancodec.training.config import ALL, REFINING, STAGES, Preset, TrainConfig, load_preset

GPU_BATCH = 64
"""Crops a step where the preset's few would leave a GPU waiting for its next kernel."""
FROM_SCRATCH = "none"
NOT_STATED = "not stated"
"""The licence of a codec whose maker did not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What ``gancodec train`` was asked for."""

    codec: str
    data: Path
    out: Path
    valid: Path | None = None
    lambda_x: tuple[float, ...] = ()
    """Several train one codec each, in this order; none takes the preset's."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Sizes that differ from the preset's."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Values of TrainConfig that differ from the preset's."""
    preset: Path | None = None
    """A file whose values take the place of the preset's."""
    stage: str = ALL
    """One of the codec's stages, or all of them."""
    features: str | None = None
    """``vgg19`` or PATH[:NET]."""
    init: str | None = None
    """Name or path of a codec to start from; None takes the shipped one of the same sizes, "none" begins anew."""
    resume: bool = False
    max_minutes: float = 60.0
    """For each codec."""
    device: str = "auto"
    name: str | None = None
    """Of the codec; None takes that of the folder."""
    licence: str = NOT_STATED


@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """One codec of a run: its folder, its stages, what it starts from."""

    out: Path
    name: str
    model: ModelConfig
    stages: dict[str, TrainConfig]
    init: Path | None
    follows: bool
    """Whether ``init`` is what the job before it makes."""

    @property
    def path(self) -> Path:
        """The codec that is made."""
        return self.out / f"{self.name}{SUFFIX}"


def plan_jobs(request: Request, device: torch.device) -> list[Job]:
    """The codecs to train, in their order.  Raises ConfigError for options that do not fit, ModelError for --init."""
    preset = load_preset(request.codec, request.preset)
    training = dict(request.training)
    if device.type == "cuda":
        training.setdefault("batch", GPU_BATCH)
    if request.features is None and training.setdefault("lambda_p", 0.0) > 0:
        raise ConfigError(
            f"lambda-p is {training['lambda_p']:g}, but there are no features",
            hint="add --features vgg19, or --features PATH of a .safetensors",
        )
    preset = preset.changed(request.model, training)
    stages = preset.stages
    if request.codec == "photo":
        choices = (*STAGES["photo"], ALL)
        if request.stage not in choices:
            raise ConfigError(f"stage is {request.stage!r}", hint=f"use one of {', '.join(choices)}")
        if request.stage != ALL:
            stages = {request.stage: stages[request.stage]}
    elif request.stage != ALL:
        raise ConfigError(f"{request.codec} has one stage", hint="leave --stage out")
    total = sum(stage.minutes_share for stage in stages.values())
    stages = {
        name: replace(stage, max_minutes=request.max_minutes * stage.minutes_share / total)
        for name, stage in stages.items()
    }
    first = next(iter(stages.values()))
    lambdas = request.lambda_x or (first.lambda_x,)
    jobs: list[Job] = []
    for value in lambdas:
        out = request.out if len(lambdas) == 1 else request.out / f"lambda-x-{value:g}"
        name = request.name or request.out.resolve().name
        name = name if len(lambdas) == 1 else f"{name}-lambda-x-{value:g}"
        # Every next one starts where its neighbour ended.
        init = jobs[-1].path if jobs else _first_init(request, preset.model, out / f"{name}{SUFFIX}")
        model = jobs[-1].model if jobs else _sizes(request, preset, init)
        changed = {each: replace(stage, lambda_x=value) for each, stage in stages.items()}
        if init is not None:
            changed = {each: _gentler(stage, request) for each, stage in changed.items()}
        jobs.append(Job(out=out, name=name, model=model, stages=changed, init=init, follows=bool(jobs)))
    if len({job.out for job in jobs}) < len(jobs):
        raise ConfigError(f"lambda-x {', '.join(f'{value:g}' for value in lambdas)}: one of them twice")
    return jobs


def _gentler(stage: TrainConfig, request: Request) -> TrainConfig:
    """Learning rates for weights that are good already: the preset's would first undo what they learnt."""
    names = ("learning_rate", "learning_rate_small", "learning_rate_shortcut")
    if any(name in request.training for name in names):
        return stage
    return replace(stage, **{name: getattr(stage, name) * stage.warm_start_share for name in names})


def _sizes(request: Request, preset: Preset, init: Path | None) -> ModelConfig:
    """Those of the codec to start from, with as many latent channels as were asked for; without one, the preset's."""
    if init is None:
        return preset.model
    model = config_from_values(stored_configuration(init))
    grows = isinstance(model, PhotoConfig) and request.stage not in REFINING
    for name in sorted(preset.asked_sizes):
        before, value = getattr(model, name), getattr(preset.model, name)
        if grows and name == "latent_channels" and value > before:
            model = replace(model, latent_channels=value)
        elif before != value:
            raise ConfigError(
                f"{init} has {name} {before}, not {value}",
                hint="only latent_channels can grow, in stage fidelity; or start from scratch with --init none",
            )
    return model


def _first_init(request: Request, model: ModelConfig, path: Path) -> Path | None:
    """What the first codec of a run starts from; ``path`` is where it will be written."""
    if request.init == FROM_SCRATCH:
        if request.stage in REFINING:
            raise ConfigError(f"stage {request.stage} refines a codec", hint="name one with --init, or leave it out")
        return None
    if request.stage in REFINING and path.is_file():
        if request.init is not None and not request.resume:
            raise ConfigError(
                f"{path} is there already, and --init names another codec",
                hint="leave --init out to refine the one that is there, or use another --out",
            )
        return path
    if request.init is not None:
        entry = resolve(request.init)
        if entry.codec != request.codec:
            raise ConfigError(f"--init {request.init} is a codec of {entry.codec}", hint=f"give one of {request.codec}")
        return entry.path
    for entry in shipped_models():
        if entry.codec == request.codec and stored_configuration(entry.path) == asdict(model):
            return entry.path
    if request.stage in REFINING:
        raise MissingModelError(f"stage {request.stage} needs a codec to start from", hint="give one with --init")
    return None


def stored_configuration(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(read_metadata(path)["configuration"])
    return values


def described(jobs: list[Job], device: torch.device, processes: int) -> list[str]:
    """What is about to happen, a line a codec."""
    where = f"{device}, {processes} processes" if processes > 1 else str(device)
    lines = []
    for job in jobs:
        stages = ", then ".join(f"{name} {stage.max_minutes:g} min" for name, stage in job.stages.items())
        first = next(iter(job.stages.values()))
        start = "from scratch" if job.init is None else f"from {job.init}"
        lines.append(
            f"{job.path}: {start}, lambda-x {first.lambda_x:g}; {stages}; {first.batch} crops of {first.crop_px} px "
            f"a step on {where}"
        )
    return lines


def check_jobs(request: Request, jobs: list[Job]) -> None:
    """What can be refused before photos are read."""
    shipped = {entry.name for entry in shipped_models()}
    if request.name is None and (clash := [job.name for job in jobs if job.name in shipped]):
        raise ConfigError(
            f"the codec would be called {clash[0]!r}, like the shipped one", hint="give it another --name or --out"
        )
    nearest = next(path for path in (request.out.absolute(), *request.out.absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        raise ConfigError(f"{nearest} cannot be written to", hint="use another --out")
    if request.resume and not any(job.out.is_dir() for job in jobs):
        raise ConfigError(f"{request.out} holds no run to resume", hint="check --out, or leave --resume out")
    for job in jobs:
        checkpoints = [path for name in job.stages if (path := job.out / f"checkpoint-{name}{SUFFIX}").exists()]
        if checkpoints and not request.resume:
            raise ConfigError(f"{job.out} holds a run already", hint="go on with --resume, or use another --out")
        for path in checkpoints:
            read_progress(path)
        refines = job.stages.keys() <= REFINING and job.path == job.init
        if job.path.exists() and not checkpoints and not refines:
            raise ConfigError(f"{job.path} is there already", hint="use another --out or --name")
        if job.out.exists() and not job.out.is_dir():
            raise ConfigError(f"{job.out} is a file", hint="give a folder with --out")
