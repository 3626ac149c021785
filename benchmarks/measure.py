"""One job of speed.py, in a process of its own: `python measure.py JOB`, both JOB and the result in JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from contenders import Contender, import_only, load
from PIL import Image


def time_all(job: dict[str, Any]) -> dict[str, Any]:
    """Wall-clock and CPU seconds of every run, contenders in turn so that a slow moment meets them alike."""
    import torch

    torch.set_num_threads(job["threads"])
    picture = open_rgb(job["picture"])
    contenders = {name: load(name, job) for name in job["contenders"]}
    files = {name: warm_up(contender, picture) for name, contender in contenders.items()}
    seconds: dict[str, dict[str, list[float]]] = {name: {"encode": [], "decode": []} for name in contenders}
    cpu_seconds: dict[str, dict[str, list[float]]] = {name: {"encode": [], "decode": []} for name in contenders}
    for _ in range(job["runs"]):
        for kind in ("encode", "decode"):
            for name, contender in contenders.items():
                wall, cpu = time.perf_counter(), time.process_time()
                if kind == "encode":
                    contender.encode(picture)
                else:
                    contender.decode(files[name])
                cpu_seconds[name][kind].append(time.process_time() - cpu)
                seconds[name][kind].append(time.perf_counter() - wall)
    return {
        "pixels": picture.width * picture.height,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "size_bytes": {name: len(data) for name, data in files.items()},
        "torch": torch.__version__,
    }


def warm_up(contender: Contender, picture: Image.Image) -> bytes:
    """The file, after one untimed encoding and decoding."""
    data = contender.encode(picture)
    size = contender.decode(data).size
    if size != picture.size:
        raise RuntimeError(f"a picture of {picture.size} came back as {size}")
    return data


def peak_bytes() -> int:
    """Largest resident size of this process so far; the kernel counts KiB, macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory(job: dict[str, Any]) -> dict[str, Any]:
    """Peak of loading the contender and using it once, in one direction; or of the imports alone."""
    import_only(job["contender"], job)
    import torch

    torch.set_num_threads(job["threads"])
    if job["job"] == "encode":
        data = load(job["contender"], job).encode(open_rgb(job["picture"]))
        Path(job["file"]).write_bytes(data)
    elif job["job"] == "decode":
        load(job["contender"], job).decode(Path(job["file"]).read_bytes())
    return {"peak_bytes": peak_bytes()}


def make_picture(job: dict[str, Any]) -> dict[str, Any]:
    """A generated picture as PNG; in its own process, since making it takes memory too."""
    from content import photo_like

    Image.fromarray(photo_like(job["width"], job["height"])).save(job["out"], compress_level=1)
    return {}


def open_rgb(path: str) -> Image.Image:
    """The picture's pixels alone."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.info.clear()  # a profile or EXIF would be stored by us and dropped by the peers
    return picture


def main() -> None:
    """Do the job and print its result."""
    job = json.loads(sys.argv[1])
    jobs = {"time": time_all, "picture": make_picture, "import": memory, "encode": memory, "decode": memory}
    print(json.dumps(jobs[job["job"]](job)))


if __name__ == "__main__":
    main()
