"""``gancodec train``: from a folder of photos to codecs that can be used at once.

    options + preset ─► configuration ─► for each lambda_X: fidelity ─► realism   (photo)
                                                            joint                 (extreme)
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
from safetensors import SafetensorError

from gancodec import __version__
from gancodec.codec import choose_device
from gancodec.errors import ConfigError, MissingModelError
from gancodec.features import load_features
from gancodec.networks.config import ExtremeConfig, PhotoConfig
from gancodec.networks.extreme import ExtremeModel
from gancodec.networks.features import FeatureNetwork
from gancodec.networks.klt import initialise_klt, initialise_shortcuts
from gancodec.networks.photo import PhotoModel
from gancodec.networks.quality import LAMBDA_X
from gancodec.registry import SUFFIX, read_entry, read_metadata
from gancodec.training.checkpoint import load_checkpoint, read_progress
from gancodec.training.config import STAGES, TrainConfig
from gancodec.training.data import CropPlan, Photos, central_squares, load_photos, make_batch, sample
from gancodec.training.diagnostics import Watch
from gancodec.training.export_extreme import assemble_extreme, fit_extreme_tables
from gancodec.training.export_photo import export_photo, export_realism, file_against_estimate
from gancodec.training.fidelity import FidelityStage
from gancodec.training.generative import ExtremeStage, RealismStage
from gancodec.training.loop import Interruption, Surroundings, run_stage
from gancodec.training.plan import NOT_STATED, Job, Request, check_jobs, plan_jobs
from gancodec.training.stage import Stage
from gancodec.training.warm_start import extreme_model, photo_model, shift_quality
from gancodec.training.world import World, device_for, fast_arithmetic, join_world, leave_world
from gancodec.weights import ExtremeWeights, PhotoWeights, Weights, load_weights, save_weights
from gancodec.weights.tensors import tensors_digest

KLT_CROPS = 400
SQUARE_PX = 384
SQUARES = 16
COMPARED = 4
FITTED_MEGAPIXELS = 30.0
FITTED_PX = 768
"""Tables are fitted to so much of the training photos, cut to squares of that side."""
NOTES = "training"
"""Key of a weights file's metadata under which lambdas and minutes stand, as JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """One codec that a run made."""

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
        if request.valid is None:
            squares, measured_on = central_squares(photos.pictures, count=SQUARES, side=crop_px), "training photos"
        else:
            valid = load_photos(request.valid, crop_px, megapixels=200.0)
            side = SQUARE_PX if min(min(p.size) for p in valid.pictures[:SQUARES]) >= SQUARE_PX else crop_px
            squares, measured_on = central_squares(valid.pictures, count=SQUARES, side=side), str(request.valid)
        world.wait()  # the first process writes what the others look at first
        done = []
        with Interruption() as interruption:
            for job in jobs:
                runner = _Runner(request, job, photos, squares, measured_on, features, device, world, say, interruption)
                try:
                    done.append(runner.go())
                except (OSError, SafetensorError) as exc:
                    raise ConfigError(
                        f"{job.out} cannot be written: {exc}",
                        hint="make room, then go on with --resume: the last checkpoint is whole",
                    ) from exc
                if not done[-1].finished:
                    break
        return done
    finally:
        leave_world()


def _silent(_: str) -> None:
    """The report of all processes but the first."""


class _Runner:
    """One codec, stage after stage."""

    def __init__(
        self, request: Request, job: Job, photos: Photos, squares: list[NDArray[np.uint8]], measured_on: str,
        features: FeatureNetwork | None, device: torch.device, world: World, report: Callable[[str], None],
        interruption: Interruption,
    ) -> None:  # fmt: skip
        self.request, self.job, self.photos, self.squares = request, job, photos, squares
        self.measured_on, self.features, self.device, self.world = measured_on, features, device, world
        self.report, self.interruption = report, interruption
        self.path = job.path
        self.base: PhotoWeights | None = None
        self.base_path = job.path
        self.minutes = self.megapixels = 0.0

    def go(self) -> Trained:
        """Run the stages that are not finished, and write the codec behind each."""
        finished = True
        for name in STAGES[self.request.codec]:
            if name not in self.job.stages:
                continue
            if self.interruption.asked and self.minutes > 0:  # while the stage before was written
                finished = False
                break
            stage = self._stage(name)
            finished = run_stage(stage, self._around(name, stage))
            self.minutes += stage.progress.seconds / 60
            self.megapixels += stage.progress.megapixels
            if self.world.leads and not self._exported(stage):
                self._export(stage)
            self.world.wait()
            if not finished:
                break
        identity = read_entry(self.path).model_id if self.path.exists() else b""
        return Trained(
            path=self.path, name=self.job.name, model_id=identity, minutes=self.minutes,
            megapixels=self.megapixels, finished=finished,
        )  # fmt: skip

    def _exported(self, stage: Stage) -> bool:
        """Whether the codec is that of the stage's last step: a run may have been killed before it was written."""
        if not self.path.exists():
            return False
        step: object = _notes(self.path).get(stage.name, {}).get("step")
        return step == stage.progress.step

    def _stage(self, name: str) -> Stage:
        """The stage at its start, or where its checkpoint is."""
        config = self.job.stages[name]
        torch.manual_seed(config.seed)
        checkpoint = self._checkpoint(name)
        resumes = self.request.resume and checkpoint.exists()
        if name == "realism":
            self.base = self._realism_base()
            resumes = resumes and self._same_base(checkpoint)
        stage: Stage
        if name == "fidelity":
            model = self._photo_model(config, fresh=not resumes)
            stage = FidelityStage(model, config, self.device, self.world)
        elif name == "realism":
            assert self.base is not None
            stage = RealismStage(
                photo_model(self.base), config, self.device, self.world, features=self.features,
                refined=self.base.realism,
            )  # fmt: skip
        else:
            stage = ExtremeStage(
                self._extreme_model(config, fresh=not resumes), config, self.device, self.world, features=self.features
            )
        if resumes:
            stage.progress = load_checkpoint(
                checkpoint, networks=stage.networks, optimisers=stage.optimisers, configuration=self._identity(name)
            )
            self.report(f"{name}: resumed at step {stage.progress.step}, {stage.progress.seconds / 60:.1f} minutes")
        return stage

    def _photo_model(self, config: TrainConfig, *, fresh: bool) -> PhotoModel:
        assert isinstance(self.job.model, PhotoConfig)
        if fresh and self.job.init is not None:
            weights = self._load(self.job.init)
            assert isinstance(weights, PhotoWeights)
            model = photo_model(weights)
            before = _trained_with(self.job.init)
            shift_quality(model, config.lambda_x / config.lambda_r / (before["lambda_x"] / before["lambda_r"]))
            return model
        model = PhotoModel(self.job.model)
        if fresh:
            initialise_klt(model, self._klt_pictures(config))
            self.report("fidelity: starting from scratch, at the transform codec")
        return model

    def _extreme_model(self, config: TrainConfig, *, fresh: bool) -> ExtremeModel:
        assert isinstance(self.job.model, ExtremeConfig)
        if fresh and self.job.init is not None:
            weights = self._load(self.job.init)
            assert isinstance(weights, ExtremeWeights)
            return extreme_model(weights)
        model = ExtremeModel(self.job.model)
        if fresh:
            initialise_shortcuts(model.encoder.shortcut, model.generator.shortcut, self._klt_pictures(config))
            self.report("joint: starting from scratch, at the transform codec")
        return model

    def _realism_base(self) -> PhotoWeights:
        """The codec whose generator is refined: that of stage fidelity, or the one to start from."""
        path = self.path if "fidelity" in self.job.stages or self.path.exists() else self.job.init
        if path is None:
            raise MissingModelError("stage realism needs a codec to start from", hint="give one with --init")
        self.base_path = path
        weights = load_weights(read_entry(path), torch.device("cpu"))
        if not isinstance(weights, PhotoWeights):
            raise ConfigError(f"{path} is not a codec of photo", hint="give one with --init")
        return weights

    def _load(self, path: Path) -> Weights:
        self.report(f"starting from {path}")
        return load_weights(read_entry(path), torch.device("cpu"))

    def _same_base(self, checkpoint: Path) -> bool:
        """Whether the realism generator was trained for the codec as it is now; else it starts anew from it."""
        _, stored = read_progress(checkpoint)
        same: bool = stored.get("base") == self._base_digest()
        if not same:
            self.report("realism: stage fidelity has gone on since, so the generator is refined anew")
        return same

    def _base_digest(self) -> str | None:
        """Names all of the codec that stage realism takes as given."""
        if self.base is None:
            return None
        return tensors_digest(replace(self.base, realism=None).tensors(), "").hex()

    def _klt_pictures(self, config: TrainConfig) -> torch.Tensor:
        plan = CropPlan(
            [p.size for p in self.photos.pictures], side=config.crop_px, batch=KLT_CROPS, seed=config.seed + 1
        )
        pixels = torch.from_numpy(make_batch(self.photos, plan, 0))
        return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def _checkpoint(self, name: str) -> Path:
        return self.job.out / f"checkpoint-{name}{SUFFIX}"

    def _identity(self, name: str) -> dict[str, Any]:
        """What must be the same on resuming."""
        return self.job.stages[name].identity() | {
            "model": asdict(self.job.model), "features": self.request.features, "processes": self.world.size,
            "photos": self._photos_digest(), "base": self._base_digest() if name == "realism" else None,
        }  # fmt: skip

    def _photos_digest(self) -> str:
        """Crops are chosen by a photo's number and size: other photos would be another run."""
        sizes = [picture.size for picture in self.photos.pictures]
        return f"{len(sizes)} photos, {zlib.crc32(repr(sizes).encode()):08x}"

    def _around(self, name: str, stage: Stage) -> Surroundings:
        if self.world.leads:
            self.job.out.mkdir(parents=True, exist_ok=True)
            self._write_configuration()
        return Surroundings(
            photos=self.photos, squares=self.squares, measured_on=self.measured_on, folder=self.job.out,
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
        path = self.job.out / "configuration.json"
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(self._configuration(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)

    def _export(self, stage: Stage) -> None:
        """The averaged model as a codec; every file but the last state's is replaced."""
        weights: Weights
        if isinstance(stage, RealismStage):
            self.report(f"{stage.name}: writing {self.path}")
            assert self.base is not None
            weights = export_realism(self.base, stage.average)
        else:
            self.report(f"{stage.name}: fitting the tables and writing {self.path}")
            weights = self._fitted(stage)
        licence = self.request.licence
        notes: dict[str, Any] = {}
        if isinstance(stage, RealismStage):
            # The fidelity half is what it was: so are its notes, and its licence unless another one is stated.
            base = read_metadata(self.base_path)
            notes = _notes(self.base_path)
            licence = base.get("licence", licence) if licence == NOT_STATED else licence
        else:
            notes = {"lambda_x": stage.config.lambda_x, "lambda_r": stage.config.lambda_r}
        notes[stage.name] = {
            "step": stage.progress.step,
            "minutes": round(stage.progress.seconds / 60, 2),
            "megapixels": round(stage.progress.megapixels, 1),
        }
        save_weights(self.path, weights, name=self.job.name, licence=licence, notes={NOTES: json.dumps(notes)})

    def _fitted(self, stage: Stage) -> Weights:
        """The averaged model with tables fitted to training photos."""
        pictures = sample(self.photos, megapixels=FITTED_MEGAPIXELS, side=FITTED_PX, seed=stage.config.seed)
        if isinstance(stage, FidelityStage):
            stage.average.index.rounding = True  # as it will be stored
            weights = export_photo(stage.average, pictures)
            self._compare(stage, weights)
            return weights
        assert isinstance(stage, ExtremeStage)
        extreme = assemble_extreme(stage.average)
        fit_extreme_tables(extreme, pictures)
        return extreme

    def _compare(self, stage: FidelityStage, weights: PhotoWeights) -> None:
        watch = Watch(stage.config.adversarial, stage.progress.warned)
        file_bits, estimated = file_against_estimate(
            weights, stage.average, list(np.concatenate(self.squares)[:COMPARED])
        )
        self.report(f"files against the rate that training estimated: {100 * (file_bits / estimated - 1):+.2f} %")
        for message in watch.compare_file(file_bits, estimated):
            self.report(f"warning: {message}")


def _trained_with(path: Path) -> dict[str, float]:
    """lambda_X and lambda_R of a codec; those of the notes where its file does not say."""
    notes = _notes(path)
    return {"lambda_x": float(notes.get("lambda_x", LAMBDA_X)), "lambda_r": float(notes.get("lambda_r", 1.0))}


def _notes(path: Path) -> dict[str, Any]:
    """What a codec's file says about its training; empty if it says nothing."""
    try:
        values: dict[str, Any] = json.loads(read_metadata(path).get(NOTES, "{}"))
    except ValueError:
        return {}
    return values
