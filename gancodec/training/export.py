"""The end of a stage: its averaged model becomes a codec in a file, which says of itself how it was trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gancodec.networks.photo import PhotoModel
from gancodec.networks.quality import LAMBDA_X
from gancodec.registry import read_metadata
from gancodec.training import export_extreme, export_photo
from gancodec.training.data import Photos, sample
from gancodec.training.diagnostics import Watch
from gancodec.training.fidelity import FidelityStage
from gancodec.training.generative import ExtremeStage, RealismStage
from gancodec.training.journal import described, note
from gancodec.training.muting import mute_channels
from gancodec.training.plan import NOT_STATED
from gancodec.training.stage import Stage, to_patches
from gancodec.training.synthesis import SynthesisStage
from gancodec.weights import PhotoWeights, Synthesis, Weights, save_weights

FITTED_MEGAPIXELS = 30.0
FITTED_PX = 768
"""Tables are fitted to so much of the training photos, cut to squares of that side."""
MUTING_PX = 256
MUTING_SQUARES = 40
"""Channels are muted by so many squares of that side of the same photos."""
MEASURING = 5
"""Every fifth measures what channels are worth; the others decide."""
MUTING_FROM_S = 1200.0
"""Of training: it takes minutes on a core, which a trial run would not want to wait for."""
COMPARED = 4
"""Squares whose files are compared with their estimate."""
NOTES = "training"
"""Key of a weights file's metadata under which lambdas and minutes stand, as JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exporter:
    """Writes a codec; its folder is the run's, whose log gets what is found on the way."""

    path: Path
    name: str
    licence: str
    photos: Photos
    """Tables are fitted to them."""
    squares: list[NDArray[np.uint8]]
    """Batches of squares to compare files with their estimate on."""
    carry_over: Callable[[Synthesis], Synthesis | None]
    """A realism generator for the fidelity generator of ``photo`` that was trained; None if there is none to go by."""
    report: Callable[[str], None]

    def write(self, stage: Stage, base: PhotoWeights | None, base_path: Path) -> None:
        """The codec of the stage's present state, atomically.

        ``base``: the codec whose generators stages synthesis and realism refine, at ``base_path``, whose word on its
        own training and licence is handed on.
        """
        licence = self.licence
        weights: Weights
        if isinstance(stage, SynthesisStage | RealismStage):
            assert base is not None
            self.report(f"{stage.name}: writing {self.path}")
            weights = self._refined(stage, base)
            notes = training_notes(base_path)
            if licence == NOT_STATED:
                licence = read_metadata(base_path).get("licence", licence)
        else:
            self.report(f"{stage.name}: fitting the tables and writing {self.path}")
            weights = self._fitted(stage)
            notes = {"lambda_x": stage.config.lambda_x, "lambda_r": stage.config.lambda_r}
        notes[stage.name] = {
            "step": stage.progress.step,
            "minutes": round(stage.progress.seconds / 60, 2),
            "megapixels": round(stage.progress.megapixels, 1),
        }
        save_weights(self.path, weights, name=self.name, licence=licence, notes={NOTES: json.dumps(notes)})

    def holds(self, stage: Stage) -> bool:
        """Whether the codec is that of the stage's last step: a run may have been killed before it was written."""
        if not self.path.exists():
            return False
        step: object = training_notes(self.path).get(stage.name, {}).get("step")
        return step == stage.progress.step

    def _refined(self, stage: SynthesisStage | RealismStage, base: PhotoWeights) -> Weights:
        """``base`` with another generator; files stay as they are."""
        if isinstance(stage, RealismStage):
            return export_photo.export_realism(base, stage.average)
        refined = export_photo.export_synthesis(base, stage.average)
        if self.squares and not stage.is_better(refined.fidelity, self.squares):
            self.report(f"{stage.name}: the generator is no better than before and stays as it was")
            return base
        return refined

    def _fitted(self, stage: Stage) -> Weights:
        """The averaged model with tables fitted to training photos."""
        pictures = sample(self.photos, megapixels=FITTED_MEGAPIXELS, side=FITTED_PX, seed=stage.config.seed)
        compared = list(np.concatenate(self.squares)[:COMPARED])
        if isinstance(stage, FidelityStage):
            model = deepcopy(stage.average)
            model.index.rounding = True  # as it will be stored
            self._mute(model, pictures, stage)
            photo = export_photo.export_photo(model, pictures)
            self._compare(stage, *export_photo.file_against_estimate(photo, model, compared))
            realism = self.carry_over(photo.fidelity)
            return photo if realism is None else export_photo.export_realism(photo, realism)
        assert isinstance(stage, ExtremeStage)
        extreme = export_extreme.assemble_extreme(stage.average)
        export_extreme.fit_extreme_tables(extreme, pictures)
        self._compare(stage, *export_extreme.file_against_estimate(extreme, compared))
        return extreme

    def _mute(self, model: PhotoModel, pictures: Sequence[NDArray[np.uint8]], stage: FidelityStage) -> None:
        squares = _squares(pictures, MUTING_PX)
        if stage.progress.seconds < MUTING_FROM_S or len(squares) < MUTING_SQUARES:
            self.report(
                f"channels stay as trained: to mute some takes {MUTING_FROM_S / 60:.0f} minutes of training, and "
                f"{MUTING_SQUARES} squares of {MUTING_PX} pixels"
            )
            return
        self.report("muting channels that are not worth their bits; that takes minutes")
        chosen = [squares[len(squares) * number // MUTING_SQUARES] for number in range(MUTING_SQUARES)]
        patches = torch.stack([to_patches(square[None], stage.device) for square in chosen])
        measuring = torch.arange(MUTING_SQUARES) % MEASURING == 0
        muted_AM = mute_channels(model, patches[measuring], patches[~measuring], stage.config)
        counts = [int(count) for count in muted_AM.sum(1)]
        numbers = stage.measured(model, self.squares)
        self.report(f"muted channels, from quality 0 to 100: {', '.join(map(str, counts))}; now {described(numbers)}")
        row = {"muted": counts} | {name: round(value, 5) for name, value in numbers.items()}
        note(self.path.parent, stage.name, stage.progress.step, row)

    def _compare(self, stage: Stage, file_bits: float, estimated_bits: float) -> None:
        difference = file_bits / estimated_bits - 1
        self.report(f"files against their estimated size: {100 * difference:+.2f} %")
        note(self.path.parent, stage.name, stage.progress.step, {"file_against_estimate": round(difference, 5)})
        watch = Watch(stage.config.adversarial, stage.progress.warned)
        for message in watch.compare_file(file_bits, estimated_bits):
            self.report(f"warning: {message}")
            note(self.path.parent, stage.name, stage.progress.step, {"warning": message})


def _squares(pictures: Sequence[NDArray[np.uint8]], side: int) -> list[NDArray[np.uint8]]:
    """All that the pictures can be cut into."""
    return [
        picture[top : top + side, left : left + side]
        for picture in pictures
        for top in range(0, picture.shape[0] - side + 1, side)
        for left in range(0, picture.shape[1] - side + 1, side)
    ]


def training_notes(path: Path) -> dict[str, Any]:
    """What a codec's file says about its training; empty if it says nothing."""
    try:
        values: dict[str, Any] = json.loads(read_metadata(path).get(NOTES, "{}"))
    except ValueError:
        return {}
    return values


def trained_with(path: Path) -> dict[str, float]:
    """lambda_X and lambda_R of a codec; those of the study notes where its file does not say."""
    notes = training_notes(path)
    return {"lambda_x": float(notes.get("lambda_x", LAMBDA_X)), "lambda_r": float(notes.get("lambda_r", 1.0))}
