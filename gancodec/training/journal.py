"""What a run says: JSON lines, TensorBoard if it is installed, a progress line, and a panel of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.writing import write_file

Row = dict[str, Any]
LOG = "log.jsonl"
SHOWN = (("loss", "loss {:.3f}"), ("bpp", "{:.3f} bpp"), ("psnr", "{:.2f} dB"), ("d_loss", "D {:.2f}"))
"""What of a row the progress line shows."""
OTHERS = {"before_": "before ", "fidelity_": "at realism 0 "}
"""By how their names begin, what numbers of other generators than the one in training are called."""


class Journal:
    """Writes ``log.jsonl``, ``tensorboard/`` and ``panel/`` into a run's folder."""

    def __init__(self, folder: Path, stage: str, *, from_step: int, report: Callable[[str], None]) -> None:
        self.folder, self.stage, self.report = folder, stage, report
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / LOG
        _drop_rows(self._path, stage, from_step)
        self._file = self._path.open("a", encoding="utf-8")
        self._board: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard" / stage), purge_step=from_step)
        self._latest = ""

    def write(self, row: Row, *, minutes_left: float) -> None:
        """One row of numbers, with ``step``; shown as a line."""
        self._file.write(json.dumps({"stage": self.stage} | row) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, row["step"])
        shown = [text.format(row[name]) for name, text in SHOWN if name in row]
        self.report(
            f"{self.stage} step {row['step']}: {', '.join(shown)}; {row['megapixels_per_second']:.2f} Mpixel/s, "
            f"{minutes_left:.1f} min left, {100 * row['waiting_share']:.0f} % waiting for data{self._latest}"
        )

    def validated(self, numbers: dict[str, float], measured_on: str, step: int) -> None:
        """A row of its own; the newest point of rate and distortion also stands in the lines to come."""
        row = {name: round(value, 5) for name, value in numbers.items()}
        self._file.write(_row(self.stage, step, {"measured_on": measured_on} | row))
        self._file.flush()
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(f"validation/{name}", value, step)
        self._latest = ""
        self.report(f"{self.stage} on {measured_on}: {described(numbers)}")
        for quality in ("_30", "_20", ""):
            psnr = numbers.get(f"psnr{quality}", numbers.get(f"valid_psnr{quality}"))
            bpp = numbers.get(f"bpp{quality}", numbers.get(f"valid_bpp{quality}"))
            if psnr is not None:
                at = f" at quality {quality[1:]}" if quality else ""
                rate = f"{bpp:.3f} bpp " if bpp is not None else ""
                self._latest = f"; last {rate}{psnr:.2f} dB{at}"
                return

    def warn(self, message: str, step: int) -> None:
        """A warning, as a row and as a line."""
        self._file.write(_row(self.stage, step, {"warning": message}))
        self._file.flush()
        self.report(f"warning: {message}")

    def panel(self, originals_BHWC: NDArray[np.uint8], rebuilt_BHWC: NDArray[np.uint8], step: int) -> None:
        """Originals above, reconstructions below: one PNG a step, the same squares each time."""
        picture = np.concatenate([np.concatenate(list(row), 1) for row in (originals_BHWC, rebuilt_BHWC)], 0)
        folder = self.folder / "panel"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{self.stage}-{step:07d}.png")
        if self._board is not None:
            self._board.add_image("panel", picture, step, dataformats="HWC")

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def note(folder: Path, stage: str, step: int, row: Row) -> None:
    """One row of ``log.jsonl`` after the stage has ended."""
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(_row(stage, step, row))


def _row(stage: str, step: int, values: Row) -> str:
    return json.dumps({"stage": stage, "step": step} | values) + "\n"


def described(numbers: dict[str, float]) -> str:
    """``bpp_30`` and ``psnr_30`` become "quality 30: 0.381 bpp, 29.14 dB"; what has no quality stands first."""
    units = {
        "psnr": "{:.2f} dB", "bpp": "{:.3f} bpp", "distance": "distance {:.3f}", "grid": "grid {:.4f}",
        "loss": "loss {:.4f}",
    }  # fmt: skip
    parts: dict[str, list[str]] = {}
    for name, value in numbers.items():
        stem, _, quality = name.rpartition("_")
        if not quality.isdigit():
            stem, quality = name, ""
        other = next((prefix for prefix in OTHERS if stem.startswith(prefix)), "")
        unit = units.get(stem.removeprefix(other).removeprefix("valid_"), f"{stem} {{:.3f}}")
        parts.setdefault(quality, []).append(OTHERS.get(other, "") + unit.format(value))
    return "; ".join((f"quality {quality}: " if quality else "") + ", ".join(texts) for quality, texts in parts.items())


def _drop_rows(path: Path, stage: str, from_step: int) -> None:
    """Rows of this stage behind the checkpoint: those steps will be made, and logged, again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # cut short by a kill
        if row.get("stage") != stage or row.get("step", 0) <= from_step:
            kept.append(line + "\n")
    write_file(path, "".join(kept))
