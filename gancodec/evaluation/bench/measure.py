"""One job in a process of its own: ``python -m gancodec.evaluation.bench.measure JOB``, with JOB in JSON.

It answers in lines of JSON: whose turn it is, progress, and at last a result, an error of ours, or what else ended it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np
from PIL import Image

from gancodec.errors import GancodecError, PictureError
from gancodec.evaluation.bench.contenders import Contender, import_only, load
from gancodec.evaluation.bench.content import photo_like
from gancodec.evaluation.memory import HOST, is_out_of_memory, peak_bytes

Job = dict[str, Any]
Run = tuple[float, float, dict[str, float]]
T = TypeVar("T")


class Answers:
    """The way to the parent: what was stdout.  Stdout itself becomes stderr, for whatever libraries print."""

    def __init__(self) -> None:
        self._channel: TextIO = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(self, **message: Any) -> None:
        """One line, at once."""
        self._channel.write(json.dumps(message) + "\n")
        self._channel.flush()


def prepare(job: Job, answers: Answers) -> Job:
    """Load the codec once, so that what is wrong with it shows first, and put all pictures into the folder as PNG."""
    import torch

    from gancodec.codec import Codec

    set_threads(job)
    device = torch.device(Codec.load(job["codec"], job["device"]).device)
    paths = []
    for number, (width, height) in enumerate(job["sizes"]):
        answers.tell(say=f"making a picture of {width}x{height}")
        paths.append(save(photo_like(width, height), job["folder"], number))
    for number, name in enumerate(job["pictures"]):
        paths.append(save(read_rgb(name), job["folder"], number))
    return {
        "pictures": paths,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
    }


def read_rgb(name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The samples of a picture file, [H, W, 3]: alpha and metadata would be stored by us and dropped by the peers.

    Raises PictureError, or LimitError for its size.
    """
    from gancodec.picture import read_picture

    try:
        data = Path(name).read_bytes()
    except OSError as exc:
        raise PictureError(f"{name}: cannot be read: {exc.strerror}", hint="check the name and its rights") from exc
    return read_picture(data, name=name).rgb_HWC


def save(rgb_HWC: np.ndarray[Any, np.dtype[np.uint8]], folder: str, number: int) -> Job:
    """Write a PNG; says where, and the sides in pixels."""
    path = Path(folder) / f"picture-{number}.png"
    Image.fromarray(rgb_HWC).save(path, compress_level=1)
    return {"path": str(path), "width": rgb_HWC.shape[1], "height": rgb_HWC.shape[0]}


class Contest:
    """Several contenders in turn, each until it fails."""

    def __init__(self, job: Job, answers: Answers) -> None:
        self.job, self.answers = job, answers
        self.loaded: dict[str, Contender] = {}
        self.files: dict[str, bytes] = {}
        self.load_seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def attempt(self, name: str, action: Callable[[], T]) -> T | None:
        """What the action returns; None if it fails, or the contender failed before."""
        if name in self.failed:
            return None
        self.answers.tell(contender=name)
        try:
            return action()
        except Exception as exc:
            traceback.print_exc()
            self.failed[name] = reason(exc)
            self.loaded.pop(name, None)  # others may need its memory
            return None

    def warm_up(self, name: str, picture: Image.Image) -> None:
        """Load, encode and decode once; keep the file, also for those that measure memory."""
        started = time.perf_counter()
        contender = self.loaded[name] = load(name, self.job)
        self.load_seconds[name] = time.perf_counter() - started
        data = self.files[name] = contender.encode(picture)
        Path(self.job["files"][name]).write_bytes(data)
        for decoded in contender.decode([data] * self.job["batch"]):
            if decoded.size != picture.size:
                raise RuntimeError(f"a picture of {picture.size} came back as {decoded.size}")

    def timed(self, name: str, kind: str, picture: Image.Image) -> tuple[float, float, dict[str, float]]:
        """Wall-clock and CPU seconds of one run, and those of its parts."""
        contender, files = self.loaded[name], [self.files[name]] * self.job["batch"]
        wait(self.job["device"])
        contender.parts_taken()
        wall, cpu = time.perf_counter(), time.process_time()
        if kind == "encode":
            contender.encode(picture)
        else:
            contender.decode(files)
        wait(self.job["device"])
        return time.perf_counter() - wall, time.process_time() - cpu, contender.parts_taken()


def time_all(job: Job, answers: Answers) -> Job:
    """Seconds of every run, contenders in turn so that a slow moment meets them alike."""
    set_threads(job)
    contest = Contest(job, answers)
    picture = open_rgb(job["picture"])
    for name in job["contenders"]:
        answers.tell(say=f"{job['title']}: warming up {name}")
        contest.attempt(name, partial(contest.warm_up, name, picture))
    seconds: dict[str, dict[str, list[Run]]] = {name: defaultdict(list) for name in job["contenders"]}
    for run in range(job["runs"]):
        answers.tell(say=f"{job['title']}: run {run + 1} of {job['runs']}")
        for kind in ("encode", "decode") if job["batch"] == 1 else ("decode",):
            for name in job["contenders"]:
                taken = contest.attempt(name, partial(contest.timed, name, kind, picture))
                if taken is not None:
                    seconds[name][kind].append(taken)
    return {
        "seconds": {name: found for name, found in seconds.items() if name not in contest.failed},
        "load_seconds": contest.load_seconds,
        "size_bytes": {name: len(data) for name, data in contest.files.items()},
        "failed": contest.failed,
    }


def memory(job: Job, answers: Answers) -> Job:
    """Peak of loading the contender and using it once, in one direction; or of the imports alone."""
    name = job["contender"]
    answers.tell(contender=name)
    import_only(name)
    set_threads(job)
    if job["job"] == "encode":
        load(name, job).encode(open_rgb(job["picture"]))
    elif job["job"] == "decode":
        load(name, job).decode([Path(job["file"]).read_bytes()] * job["batch"])
    return {"peak_bytes": peak_bytes()[HOST], "cuda_bytes": cuda_bytes(job["device"])}


def cuda_bytes(device: str) -> int | None:
    """The most that torch has had allocated on the GPU so far; None on the CPU."""
    if device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated()


def wait(device: str) -> None:
    """Until the GPU has done all it was asked to, so that the clock sees it."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def set_threads(job: Job) -> None:
    """Those of torch, if a number was asked for."""
    import torch

    if job["threads"] is not None:
        torch.set_num_threads(job["threads"])


def open_rgb(path: str) -> Image.Image:
    """One of the pictures that were prepared."""
    with Image.open(path) as image:
        return image.convert("RGB")


def reason(exc: Exception) -> str:
    """One line for the table."""
    text = str(exc).partition("\n")[0]
    if is_out_of_memory(exc):
        return "out of memory"
    return text if isinstance(exc, GancodecError) else f"{type(exc).__name__}: {text}"


JOBS: dict[str, Callable[[Job, Answers], Job]] = {
    "prepare": prepare,
    "time": time_all,
    "import": memory,
    "encode": memory,
    "decode": memory,
}


def main() -> int:
    """Do the job and tell its result."""
    job = json.loads(sys.argv[1])
    answers = Answers()
    try:
        answers.tell(result=JOBS[job["job"]](job, answers))
    except GancodecError as exc:
        traceback.print_exc()
        answers.tell(error={"type": type(exc).__name__, "message": exc.message, "hint": exc.hint})
        return exc.exit_code
    except Exception as exc:
        traceback.print_exc()
        answers.tell(died=reason(exc))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
