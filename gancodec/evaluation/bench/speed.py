"""From a request to rows of figures, by children."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gancodec import __version__
from gancodec.evaluation.bench.children import ChildDiedError, run_child
from gancodec.evaluation.bench.plan import Request
from gancodec.evaluation.bench.results import FAILED, SKIPPED, Comparison, MemoryRow, Setting, TimeRow, Timing

BUSY_LOAD = 0.5
"""Other processes that want to run: from here on seconds say little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A picture as contenders get it."""

    name: str
    path: str
    width: int
    height: int


class Bench:
    """One request, worked off in a folder for pictures and files that its owner deletes.

    say: is given progress, one line at a time.
    """

    def __init__(self, request: Request, folder: Path, say: Callable[[str], None]) -> None:
        self.request, self.folder, self.say = request, folder, say
        self.skipped = () if find_spec("compressai") else request.peers
        self.contenders = [request.label, *(peer for peer in request.peers if peer not in self.skipped)]
        self._imports: dict[str, Any] = {}
        self._device = request.device

    def prepare(self) -> tuple[Setting, list[Prepared]]:
        """What all depends on, and the pictures.

        Raises ModelError for the codec, ConfigError for the device, PictureError and LimitError for pictures.
        """
        machine = _machine()
        if machine["load"] > BUSY_LOAD:
            self.say(f"warning: this machine is busy (load {machine['load']:.1f}): trust ratios of CPU time at most")
        sizes = () if self.request.pictures else self.request.sizes
        found = self._run("prepare", sizes=sizes, pictures=self.request.pictures, folder=str(self.folder))
        self._device = found["device"]
        names = self.request.pictures or tuple(f"{width}x{height}" for width, height in sizes)
        pictures = [Prepared(name=name, **made) for name, made in zip(names, found["pictures"], strict=True)]
        setting = Setting(
            gancodec=__version__,
            torch=found["torch"],
            device=found["device"],
            device_name=found["device_name"] or machine["cpu"],
            threads=found["threads"],
            **machine,
        )
        return setting, pictures

    def compare(self, pictures: list[Prepared]) -> Iterator[Comparison]:
        """Every picture in every batch, as soon as it is done.  Raises nothing for a contender that fails."""
        for number, picture in enumerate(pictures):
            for batch in self.request.batches:
                files = {who: str(self.folder / f"coded-{number}-{index}") for index, who in enumerate(self.contenders)}
                times = self._times(picture, batch, files)
                measured = [row.contender for row in times if row.problem is None]
                memory = [self._memory(who, picture, batch, files[who]) for who in measured if self.request.memory]
                yield Comparison(
                    picture=picture.name,
                    width=picture.width,
                    height=picture.height,
                    batch=batch,
                    times=tuple(times),
                    memory=tuple(memory),
                )

    def _run(self, job: str, **values: Any) -> Any:
        request = self.request
        base = {
            "job": job,
            "codec": request.codec,
            "quality": request.quality,
            "effort": request.effort,
            "device": self._device,
            "threads": request.threads,
        }
        return run_child({**base, **values}, say=self.say, show_tracebacks=request.show_tracebacks)

    def _times(self, picture: Prepared, batch: int, files: dict[str, str]) -> list[TimeRow]:
        problems: dict[str, str] = dict.fromkeys(self.skipped, SKIPPED)
        found: dict[str, Any] = {"seconds": {}, "size_bytes": {}, "failed": {}}
        left = list(self.contenders)
        while left:
            try:
                found = self._run(
                    "time",
                    title=_title(picture, batch),
                    contenders=left,
                    picture=picture.path,
                    files=files,
                    batch=batch,
                    runs=self.request.runs,
                )
                break
            except ChildDiedError as exc:
                # One that takes its process with it does not take the others' figures: they start again.
                dead = [exc.contender] if exc.contender in left else left
                problems.update(dict.fromkeys(dead, FAILED + exc.reason))
                left = [who for who in left if who not in dead]
                if left:
                    self.say(f"{_title(picture, batch)}: {dead[0]} failed ({exc.reason}), once more without it")
        problems.update({who: FAILED + reason for who, reason in found["failed"].items()})
        rows = []
        for who in (self.request.label, *self.request.peers):
            if who in problems:
                rows.append(TimeRow(contender=who, problem=problems[who]))
                continue
            runs = found["seconds"][who]
            encode = _timing(runs["encode"], batch) if "encode" in runs else None
            decode = _timing(runs["decode"], batch)
            rows.append(
                TimeRow(
                    contender=who,
                    size_bytes=found["size_bytes"][who],
                    load_seconds=found["load_seconds"][who],
                    encode=encode,
                    decode=decode,
                )
            )
        return rows

    def _memory(self, who: str, picture: Prepared, batch: int, file: str) -> MemoryRow:
        """Peaks, each in a child of its own, above those of one that only imports."""
        self.say(f"{_title(picture, batch)}: memory of {who}")
        values = {"contender": who, "picture": picture.path, "file": file, "batch": batch}
        try:
            if who not in self._imports:
                self._imports[who] = self._run("import", **values)["peak_bytes"]
            encode = self._run("encode", **values) if batch == 1 else None
            decode = self._run("decode", **values)
        except ChildDiedError as exc:
            return MemoryRow(contender=who, problem=FAILED + exc.reason)
        alone = self._imports[who]
        return MemoryRow(
            contender=who,
            import_bytes=alone,
            encode_bytes=encode["peak_bytes"] - alone if encode else None,
            decode_bytes=decode["peak_bytes"] - alone,
            cuda_encode_bytes=encode["cuda_bytes"] if encode else None,
            cuda_decode_bytes=decode["cuda_bytes"],
        )


def _title(picture: Prepared, batch: int) -> str:
    return picture.name if batch == 1 else f"{picture.name}, {batch} together"


def _timing(runs: list[tuple[float, float, dict[str, float]]], batch: int) -> Timing:
    """Seconds of a batch -> of a picture."""
    pictures = batch * len(runs)
    return Timing(
        seconds=tuple(wall / batch for wall, _, _ in runs),
        cpu_seconds=tuple(cpu / batch for _, cpu, _ in runs),
        parts={part: sum(parts[part] for *_, parts in runs) / pictures for part in runs[0][2]},
    )


def _machine() -> dict[str, Any]:
    """What seconds depend on, as far as Python knows it without torch."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or not x86: the architecture's name is all there is
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {"cpu": cpu, "cores": os.cpu_count() or 1, "load": load, "python": platform.python_version()}
