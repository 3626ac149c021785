"""Seconds and peak memory of gancodec on the CPU, beside CompressAI's hyperprior models.  See README.md.

    python benchmarks/speed.py [--threads 2] [--runs 5] [--skip-large] [--json F]

This process starts children and prints tables; it imports the standard library only, and must.  On Linux a child's
ru_maxrss begins at the resident size of the process that started it, so a parent with torch in it would hide every
child below its own size.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SIZES = {"768x512": (768, 512), "4000x3000": (4000, 3000)}
LARGE = "4000x3000"
PEERS = ("bmshj2018-hyperprior", "mbt2018-mean")
MIB = 1 << 20
RATIOS = {
    "encode": ("seconds", "encode"),
    "decode": ("seconds", "decode"),
    "CPU encode": ("cpu_seconds", "encode"),
    "CPU decode": ("cpu_seconds", "decode"),
}
"""Column -> clock and direction.  CPU time of all threads is what still holds on a machine with other work."""


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults in the help."""
    options = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    options.add_argument("--codec", default="photo", help="name of a codec, or path of its weights")
    # lambda_R of 56 is that of the published lambda 0.013, with which CompressAI trains its quality 4.
    options.add_argument("--quality", type=float, default=56, help="of ours; the peers are at their quality 4")
    options.add_argument("--threads", type=int, default=2, help="of torch, for all alike")
    options.add_argument("--runs", type=int, default=5, help="timed runs after one warm-up, 768x512 and --file")
    options.add_argument("--large-runs", type=int, default=2, help=f"the same for {LARGE}")
    options.add_argument("--skip-large", action="store_true", help=f"leave {LARGE} out")
    options.add_argument("--skip-memory", action="store_true", help="times only")
    options.add_argument("--file", type=Path, help="this picture in place of generated ones")
    options.add_argument("--json", type=Path, metavar="F", help="write all numbers")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print tables; return 0, or a failed child's exit code."""
    options = parser().parse_args(argv)
    if min(options.threads, options.runs, options.large_runs) < 1:
        print("error: --threads, --runs and --large-runs are 1 or more", file=sys.stderr)
        return 2
    contenders = [options.codec, *PEERS]
    base = {"codec": options.codec, "quality": options.quality, "threads": options.threads}
    found: dict[str, Any] = {"machine": machine(), **base, "times": {}, "memory": {}}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, picture in pictures(options, Path(folder)).items():
                runs = options.large_runs if name == LARGE else options.runs
                say(f"{name}: {runs} timed runs of {', '.join(contenders)}")
                job = {**base, "job": "time", "contenders": contenders, "picture": str(picture), "runs": runs}
                found["times"][name] = child(job)
                print(time_table(name, found["times"][name], contenders), flush=True)
                if not options.skip_memory:
                    found["memory"][name] = {who: memory(base, who, picture, Path(folder)) for who in contenders}
                    print(memory_table(name, found["memory"][name]), flush=True)
    except subprocess.CalledProcessError as exc:
        print(f"error: the job {exc.cmd[-1]} failed, see above", file=sys.stderr)
        return exc.returncode if exc.returncode > 0 else 1
    print(f"{found['machine']['cpu']}, torch {found['times'][name]['torch']}, {options.threads} threads")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def pictures(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Pictures to measure on, by what the tables call them."""
    if options.file is not None:
        return {options.file.name: options.file.resolve()}
    made = {}
    for name, (width, height) in SIZES.items():
        if name == LARGE and options.skip_large:
            continue
        made[name] = folder / f"{name}.png"
        child({"job": "picture", "width": width, "height": height, "out": str(made[name]), "threads": options.threads})
    return made


def memory(base: dict[str, Any], contender: str, picture: Path, folder: Path) -> dict[str, int]:
    """Peak bytes of encoding and of decoding, each in a child of its own, above those of one that only imports."""
    say(f"memory of {contender}")
    file = folder / "coded"
    job = {**base, "contender": contender, "picture": str(picture), "file": str(file)}
    peaks: dict[str, int] = {kind: child({**job, "job": kind})["peak_bytes"] for kind in ("import", "encode", "decode")}
    return {"import": peaks["import"], **{kind: peaks[kind] - peaks["import"] for kind in ("encode", "decode")}}


def child(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job of measure.py in its own process; what it prints is its result."""
    threads = str(job["threads"])
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(HERE / "measure.py"), json.dumps(job)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def time_table(name: str, result: dict[str, Any], contenders: Sequence[str]) -> str:
    """Best and median seconds; and peer / ours, how many times as long each takes, by the best runs."""
    header = ("codec", "bpp", "encode s", "(median)", "decode s", "(median)", *(f"{kind} ratio" for kind in RATIOS))
    rows: list[tuple[str, ...]] = [header]
    for who in contenders:
        cells = [who, f"{8 * result['size_bytes'][who] / result['pixels']:.3f}"]
        for kind in ("encode", "decode"):
            runs = result["seconds"][who][kind]
            cells += [f"{min(runs):.3f}", f"({statistics.median(runs):.3f})"]
        for clock, kind in RATIOS.values():
            cells.append(f"{min(result[clock][who][kind]) / min(result[clock][contenders[0]][kind]):.2f}")
        rows.append(tuple(cells))
    count = len(result["seconds"][contenders[0]]["encode"])
    return f"\n{name}: best of {count} runs; ratios are peer / {contenders[0]}\n" + aligned(rows)


def memory_table(name: str, peaks: dict[str, dict[str, int]]) -> str:
    """Peak memory in MiB."""
    rows: list[tuple[str, ...]] = [("codec", "encode MiB", "decode MiB", "(import alone MiB)")]
    for who, peak in peaks.items():
        cells = [f"{peak[kind] / MIB:.0f}" for kind in ("encode", "decode")]
        rows.append((who, *cells, f"({peak['import'] / MIB:.0f})"))
    return f"\n{name}: peak memory above that of a process that only imports\n" + aligned(rows)


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of text; the first one flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        for cells in rows
    )
    return "\n".join("  ".join(line) for line in lines)


def machine() -> dict[str, Any]:
    """What the seconds depend on."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or not x86: the architecture's name is all there is
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        say(f"note: other work keeps this machine busy (load {load:.1f}): trust the ratios of CPU time at most")
    return {"cpu": cpu, "cores": os.cpu_count(), "load": load, "python": platform.python_version()}


def say(line: str) -> None:
    """Progress, beside the tables."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
