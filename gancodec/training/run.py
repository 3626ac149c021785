"""``gancodec train``: from a folder of photos to codecs that can be used at once.

    options + preset ─► configuration ─► for each lambda_X: fidelity ─► synthesis ─► realism   (photo)
                                                            joint                              (extreme)
                     each stage: checkpoint, log, panel;  at its end: weights, tables fitted, OUT/NAME.safetensors
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gancodec import __version__
from gancodec.codec import choose_device
from gancodec.errors import ConfigError, MissingModelError, OutputError
from gancodec.features import load_features
from gancodec.networks.config import ExtremeConfig, PhotoConfig
from gancodec.networks.extreme import ExtremeModel
from gancodec.networks.features import FeatureNetwork
from gancodec.networks.photo import PhotoModel
from gancodec.registry import SUFFIX, read_entry
from gancodec.training.checkpoint import load_checkpoint, read_progress
from gancodec.training.config import INVENTING, REFINING, STAGES
from gancodec.training.data import Photos, central_squares, load_photos
from gancodec.training.export import Exporter
from gancodec.training.fidelity import FidelityStage
from gancodec.training.generative import ExtremeStage, RealismStage
from gancodec.training.loop import Interruption, Surroundings, run_stage
from gancodec.training.plan import Job, Request, check_jobs, described, plan_jobs
from gancodec.training.stage import Stage
from gancodec.training.start import extreme_at_start, photo_at_start, read_start
from gancodec.training.synthesis import SynthesisStage
from gancodec.training.world import World, device_for, fast_arithmetic, join_world, leave_world
from gancodec.weights import PhotoWeights, Synthesis, load_weights
from gancodec.weights.tensors import tensors_digest
from gancodec.writing import write_file

SQUARE_PX = 384
SQUARES = 16
VALID_MEGAPIXELS = 200.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """One codec that a run made, or was about to when it was interrupted."""

    path: Path
    name: str
    model_id: bytes
    minutes: float
    megapixels: float
    finished: bool


def train_codecs(request: Request, report: Callable[[str], None]) -> list[Trained]:
    """Train what was asked for; returns the codecs, the last one unfinished if the run was interrupted.

    Everything that can be refused is refused before anything is written.  Raises ConfigError for options, data and
    configurations that do not fit, ModelError for weights or features that do not serve.
    """
    device = device_for(choose_device(request.device))
    with fast_arithmetic(device):
        return _train_codecs(request, report, device)


def _train_codecs(request: Request, report: Callable[[str], None], device: torch.device) -> list[Trained]:
    world = join_world(device)
    say = report if world.leads else _silent
    try:
        jobs = plan_jobs(request, device)
        check_jobs(request, jobs)
        features = load_features(request.features, device) if request.features else None
        crop_px = max(stage.crop_px for job in jobs for stage in job.stages.values())
        photos = load_photos(request.data, crop_px)
        say(f"training on {request.data}: {photos.summary()}")
        squares = _squares(request, photos, crop_px)
        for line in described(jobs, device, world.size):
            say(line)
        world.wait()  # the first process writes what the others look at first
        done: list[Trained] = []
        with Interruption() as interruption:
            for job in jobs:
                if done and world.any(interruption.asked, device):  # while the codec before was written
                    done.append(Trained(
                        path=job.path, name=job.name, model_id=_model_id(job.path), minutes=0.0, megapixels=0.0,
                        finished=False,
                    ))  # fmt: skip
                    break
                runner = _Runner(request, job, photos, squares, features, device, world, say, interruption)
                try:
                    done.append(runner.go())
                except (OSError, OutputError) as exc:
                    raise OutputError(
                        f"{job.out} cannot be written: {exc}",
                        hint="make room, then go on with --resume: the last checkpoint is whole",
                    ) from exc
                if not done[-1].finished:
                    break
        return done
    finally:
        leave_world()


def _squares(request: Request, photos: Photos, crop_px: int) -> list[NDArray[np.uint8]]:
    """What every run is measured on: squares of --valid, else of the photos it trains on."""
    if request.valid is None:
        return central_squares(photos.pictures, count=SQUARES, side=crop_px)
    valid = load_photos(request.valid, crop_px, megapixels=VALID_MEGAPIXELS)
    large = min(min(p.size) for p in valid.pictures[:SQUARES]) >= SQUARE_PX
    return central_squares(valid.pictures, count=SQUARES, side=SQUARE_PX if large else crop_px)


def _model_id(path: Path) -> bytes:
    return read_entry(path).model_id if path.exists() else b""


def _given_digest(base: PhotoWeights, stage: str) -> str:
    """SHA-256 over all tensors that the stage takes as given: the same before and after it has replaced others."""
    given = replace(base, realism=None)
    if stage == "synthesis":
        given = replace(given, fidelity=base.guiding, guide=None)
    return tensors_digest(given.tensors(), "").hex()


def _silent(_: str) -> None:
    """The report of all processes but the first."""


class _Runner:
    """One codec, stage after stage."""

    def __init__(
        self, request: Request, job: Job, photos: Photos, squares: list[NDArray[np.uint8]],
        features: FeatureNetwork | None, device: torch.device, world: World, report: Callable[[str], None],
        interruption: Interruption,
    ) -> None:  # fmt: skip
        self.request, self.job, self.photos, self.squares = request, job, photos, squares
        self.features, self.device, self.world = features, device, world
        self.report, self.interruption = report, interruption
        self.path = job.path
        self.exporter = Exporter(
            path=job.path, name=job.name, licence=request.licence, photos=photos, squares=squares,
            carry_over=self._carried_over, report=report,
        )  # fmt: skip
        trains_anew = not job.stages.keys() <= REFINING
        self.start = read_start(job.init) if trains_anew and job.init is not None else None
        self.base: PhotoWeights | None = None
        self.base_digest: str | None = None
        """Names all of the codec that the stage takes as given."""
        self.base_path = job.path
        self.minutes = self.megapixels = 0.0

    def go(self) -> Trained:
        """Run the stages that are not finished, and write the codec behind each."""
        finished = True
        for name in STAGES[self.request.codec]:
            if name not in self.job.stages:
                continue
            if self.minutes > 0 and self.world.any(self.interruption.asked, self.device):
                finished = False  # it was asked for while the stage before was written
                break
            stage = self._stage(name)
            finished = run_stage(stage, self._around(name, stage))
            self.minutes += stage.progress.seconds / 60
            self.megapixels += stage.progress.megapixels
            if self.world.leads and not self.exporter.holds(stage):
                self.exporter.write(stage, self.base, self.base_path)
            self.world.wait()
            if not finished:
                break
        return Trained(
            path=self.path, name=self.job.name, model_id=_model_id(self.path), minutes=self.minutes,
            megapixels=self.megapixels, finished=finished,
        )  # fmt: skip

    def _stage(self, name: str) -> Stage:
        """The stage at its start, or where its checkpoint is."""
        config = self.job.stages[name]
        torch.manual_seed(config.seed)
        checkpoint = self._checkpoint(name)
        resumes = self.request.resume and checkpoint.exists()
        if name in REFINING:
            self.base = self._refined_base(name)
            self.base_digest = _given_digest(self.base, name)
            resumes = resumes and self._same_base(name, checkpoint)
        stage: Stage
        sizes = self.job.model
        if name == "fidelity":
            assert isinstance(sizes, PhotoConfig)
            photo = PhotoModel(sizes) if resumes else photo_at_start(
                self.start, sizes, config, self.photos, self.report
            )
            stage = FidelityStage(photo, config, self.device, self.world)
        elif name == "synthesis":
            assert self.base is not None
            stage = SynthesisStage(self.base, config, self.device, self.world)
        elif name == "realism":
            assert self.base is not None
            stage = RealismStage(self.base, config, self.device, self.world, features=self.features)
        else:
            assert isinstance(sizes, ExtremeConfig)
            extreme = ExtremeModel(sizes) if resumes else extreme_at_start(
                self.start, sizes, config, self.photos, self.report
            )
            stage = ExtremeStage(extreme, config, self.device, self.world, features=self.features)
        if resumes:
            stage.progress = load_checkpoint(
                checkpoint, networks=stage.networks, optimisers=stage.optimisers, configuration=self._identity(name)
            )
            self.report(f"{name}: resumed at step {stage.progress.step}, {stage.progress.seconds / 60:.1f} minutes")
        return stage

    def _carried_over(self, fidelity: Synthesis) -> Synthesis | None:
        """What the codec to start from had learnt of realism, on top of the generator that stage fidelity has made."""
        if self.start is None:
            return None
        realism = self.start.carried_over(fidelity, self.job.stages["fidelity"])
        if realism is not None:
            self.report(f"realism: carrying over that of {self.start.path}")
        return realism

    def _refined_base(self, stage: str) -> PhotoWeights:
        """The codec whose generator is refined: that of the stage before, or the one to start from."""
        path = self.path if "fidelity" in self.job.stages or self.path.exists() else self.job.init
        if path is None:
            raise MissingModelError(f"stage {stage} needs a codec to start from", hint="give one with --init")
        self.base_path = path
        weights = load_weights(read_entry(path), self.device)
        if not isinstance(weights, PhotoWeights):
            raise ConfigError(f"{path} is not a codec of photo", hint="give one with --init")
        return weights

    def _same_base(self, stage: str, checkpoint: Path) -> bool:
        """Whether the generator was trained for the codec as it is now; else it starts anew from it."""
        _, stored = read_progress(checkpoint)
        same: bool = stored.get("base") == self.base_digest
        if not same:
            self.report(f"{stage}: a stage before it has gone on since, so the generator is refined anew")
        return same

    def _checkpoint(self, name: str) -> Path:
        return self.job.out / f"checkpoint-{name}{SUFFIX}"

    def _identity(self, name: str) -> dict[str, Any]:
        """What must be the same on resuming."""
        values = self.job.stages[name].identity()
        if name not in REFINING:
            del values["effort"]  # which such stages have no use for
        if name not in INVENTING:
            del values["lambda_grid"]
        return values | {
            "model": asdict(self.job.model), "features": self.request.features, "processes": self.world.size,
            "photos": self._photos_digest(), "base": self.base_digest if name in REFINING else None,
            "init": None if name in REFINING else self._start_identity(),
        }  # fmt: skip

    def _start_identity(self) -> str | None:
        if self.start is None:
            return None
        # A neighbour may go on, if it is given more minutes.
        return "the codec before" if self.job.follows else self.start.digest

    def _photos_digest(self) -> str:
        """Crops are chosen by a photo's number and size: other photos would be another run."""
        sizes = [picture.size for picture in self.photos.pictures]
        return f"{len(sizes)} photos, {zlib.crc32(repr(sizes).encode()):08x}"

    def _around(self, name: str, stage: Stage) -> Surroundings:
        if self.world.leads:
            self.job.out.mkdir(parents=True, exist_ok=True)
            self._write_configuration()
        return Surroundings(
            photos=self.photos, squares=self.squares,
            measured_on="training photos" if self.request.valid is None else str(self.request.valid),
            folder=self.job.out,
            checkpoint=self._checkpoint(name), configuration=self._identity(name), report=self.report,
            interruption=self.interruption,
        )  # fmt: skip

    def _configuration(self) -> dict[str, Any]:
        return {
            "gancodec": __version__,
            "torch": torch.__version__,
            "codec": self.request.codec,
            "data": str(self.request.data),
            "valid": None if self.request.valid is None else str(self.request.valid),
            "photos": self.photos.summary(),
            "features": self.request.features,
            "init": None if self.job.init is None else str(self.job.init),
            "device": str(self.device),
            "processes": self.world.size,
            "model": asdict(self.job.model),
            "stages": {name: asdict(stage) for name, stage in self.job.stages.items()},
        }

    def _write_configuration(self) -> None:
        text = json.dumps(self._configuration(), indent=2, ensure_ascii=False) + "\n"
        write_file(self.job.out / "configuration.json", text)
