"""The loop around every stage: when to log, validate, save and stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import FrameType, TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gancodec.errors import ConfigError
from gancodec.training.checkpoint import save_checkpoint
from gancodec.training.data import CropStream, DeviceCrops, Photos
from gancodec.training.diagnostics import Watch
from gancodec.training.journal import Journal
from gancodec.training.stage import Pixels, Stage

LOG_SECONDS = 10.0
SAVE_MINUTES = 3.0
VALIDATIONS = 8
"""In a run, evenly spaced, besides the one at its end; fewer in short runs."""
VALIDATION_SECONDS = 60.0
"""Of training between two of them, at least."""
PANEL_PICTURES = 4
HOPELESS_STEPS = 200
"""So many skipped steps in a row, and no later one will be taken either."""
VALID_LOSS = "valid_loss"
"""What stages that have one number to go by call it."""


class Interruption:
    """SIGINT and SIGTERM as a flag while a run goes on; a second signal does what it always does."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self._before[number])


class Crops(Protocol):
    """Batches without end."""

    waited: float

    def __iter__(self) -> Iterator[Pixels]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a stage runs in."""

    photos: Photos
    squares: list[NDArray[np.uint8]]
    """Batches of fixed squares to measure on."""
    measured_on: str
    """What the squares are, for the log."""
    folder: Path
    """Gets log, panel and TensorBoard."""
    checkpoint: Path
    configuration: dict[str, Any]
    """What must not change on resuming."""
    report: Callable[[str], None]
    interruption: Interruption = field(default_factory=Interruption)
    log_seconds: float = LOG_SECONDS
    save_minutes: float = SAVE_MINUTES


def open_crops(stage: Stage, photos: Photos) -> Crops:
    """The crops of a stage from its present step on: in the device's memory on a GPU, else made by a thread."""
    config, world = stage.config, stage.world
    if stage.device.type == "cuda":
        return DeviceCrops(
            photos, stage.device, side=config.crop_px, batch=config.batch, seed=config.seed,
            start=stage.progress.step, rank=world.rank,
        )  # fmt: skip
    return CropStream(
        photos, side=config.crop_px, batch=config.batch, seed=config.seed,
        start=stage.progress.step, rank=world.rank,
    )  # fmt: skip


def run_stage(stage: Stage, around: Surroundings) -> bool:
    """Run to ``max_minutes`` of training time (True), or until interrupted (False); a checkpoint is left either way.

    Neither validating nor saving is training time, nor is a GPU's first step, which compiles the networks: the schedule
    and the resumed run do not see it.  Raises ConfigError when no step can be taken any more.
    """
    return _Run(stage, around).go()


class _Run:
    def __init__(self, stage: Stage, around: Surroundings) -> None:
        self.stage, self.around = stage, around
        self.leads = stage.world.leads
        self.total = 60 * stage.config.max_minutes
        self.journal: Journal | None = None
        self.watch = Watch(stage.config.adversarial, stage.progress.warned, stage.progress.watched)
        self.sums: dict[str, tuple[float, int]] = {}
        self.logged_at = (stage.progress.seconds, stage.progress.step)
        self.waited_before = 0.0
        self.saved_at = stage.progress.seconds
        self.validated_at = stage.progress.seconds
        self.skipped_in_a_row = 0
        self.loss_before: float | None = None
        """Of validation, before the first step."""

    def go(self) -> bool:
        stage, world = self.stage, self.stage.world
        if stage.progress.seconds >= self.total:
            return True
        if self.leads:
            self.journal = Journal(
                self.around.folder, stage.name, from_step=stage.progress.step, report=self.around.report
            )
            if stage.progress.step == 0:
                self.loss_before = self._validate().get(VALID_LOSS)
        stream = open_crops(stage, self.around.photos)
        finished = stopped = False
        compiles = stage.device.type == "cuda"
        before = perf_counter()
        try:
            for pixels in stream:
                numbers = stage.advance(pixels, stage.progress.seconds / self.total)
                self._give_up(numbers["skipped"])
                now = before if compiles else perf_counter()
                compiles = False
                [stage.progress.seconds] = world.agree([stage.progress.seconds + now - before], stage.device)
                stopped = world.any(self.around.interruption.asked, stage.device)
                finished = not stopped and stage.progress.seconds >= self.total
                if self.leads:
                    self._lead(numbers, stream, finished=finished, stopped=stopped)
                if finished or stopped:
                    break
                before = perf_counter()
        finally:
            stream.close()
            if self.journal is not None:
                self.journal.close()
        world.wait()
        return finished

    def _give_up(self, skipped: float) -> None:
        """After too many skipped steps: in all processes at once, whose gradients are the same."""
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if self.skipped_in_a_row >= HOPELESS_STEPS:
            raise ConfigError(
                f"{self.stage.name}: gradients have not been finite for {HOPELESS_STEPS} steps",
                hint="lower the learning rate or the lambdas, and begin again with another --out",
            )

    def _lead(self, numbers: dict[str, float], stream: Crops, *, finished: bool, stopped: bool) -> None:
        """What only the first process does after a step."""
        progress = self.stage.progress
        warnings = self.watch.look(numbers)
        if stopped:
            self._save()  # before anything is written: whoever stops us may not wait
        for message in warnings:
            self._warn(message)
        for name, value in numbers.items():
            # A step that was skipped says nothing but that it was.
            if name == "skipped" or not numbers["skipped"]:
                total, count = self.sums.get(name, (0.0, 0))
                self.sums[name] = (total + value, count + 1)
        if finished or stopped or progress.seconds - self.logged_at[0] >= self.around.log_seconds:
            self._log(stream)
        interval = max(VALIDATION_SECONDS, self.total / (VALIDATIONS + 1))
        due = progress.seconds - self.validated_at >= interval
        if finished or (due and not stopped):
            loss = self._validate().get(VALID_LOSS)
            if finished and loss is not None and self.loss_before is not None and loss > self.loss_before:
                self._warn(
                    f"the run ended at loss {loss:.4f}, it began at {self.loss_before:.4f}: train for longer, on more "
                    "photos, or with lower learning rates"
                )
        if finished or (not stopped and progress.seconds - self.saved_at >= 60 * self.around.save_minutes):
            self._save()

    def _log(self, stream: Crops) -> None:
        assert self.journal is not None
        stage, progress = self.stage, self.stage.progress
        seconds = max(progress.seconds - self.logged_at[0], 1e-9)
        steps = progress.step - self.logged_at[1]
        pixels = steps * stage.config.batch * stage.config.crop_px**2 * stage.world.size
        row: dict[str, Any] = {name: round(total / count, 5) for name, (total, count) in self.sums.items()}
        row |= {
            "step": progress.step,
            "minutes": round(progress.seconds / 60, 3),
            "megapixels": round(progress.megapixels, 1),
            "megapixels_per_second": round(pixels / 1e6 / seconds, 3),
            "waiting_share": round((stream.waited - self.waited_before) / seconds, 3),
        }
        self.journal.write(row, minutes_left=max(0.0, self.total - progress.seconds) / 60)
        self.sums, self.logged_at, self.waited_before = {}, (progress.seconds, progress.step), stream.waited

    def _validate(self) -> dict[str, float]:
        assert self.journal is not None
        if not self.around.squares:
            return {}
        step = self.stage.progress.step
        numbers = self.stage.validate(self.around.squares)
        self.journal.validated(numbers, self.around.measured_on, step)
        panel = np.concatenate(self.around.squares)[:PANEL_PICTURES]
        self.journal.panel(panel, self.stage.reconstruct(panel), step)
        self.validated_at = self.stage.progress.seconds
        return numbers

    def _warn(self, message: str) -> None:
        assert self.journal is not None
        self.journal.warn(message, self.stage.progress.step)

    def _save(self) -> None:
        self.stage.progress.warned = tuple(sorted(self.watch.warned))
        self.stage.progress.watched = self.watch.remembered
        save_checkpoint(
            self.around.checkpoint, networks=self.stage.networks, optimisers=self.stage.optimisers,
            progress=self.stage.progress, configuration=self.around.configuration,
        )  # fmt: skip
        self.saved_at = self.stage.progress.seconds
