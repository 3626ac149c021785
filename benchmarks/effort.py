"""What every level of effort gains, and what it takes: real files, decoded again, of pictures × qualities × levels.

    python benchmarks/effort.py KODAK --levels 3 --json effort.json --save files
    python benchmarks/effort.py --rows effort.json six.json --plot effort.png

For each level: the BD-rate (PSNR) of the mean curve against that of level 0, encoding time as a ratio to level 0 in the
same run, and how many files have a higher cost J than at the level below (docs/effort.md).  Levels are nested, so that
one run makes them all; a level's time is that from the start.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gancodec.codec import Codec
from gancodec.effort.objective import slope
from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort
from gancodec.errors import GancodecError
from gancodec.evaluation.bjontegaard import bd_rate
from gancodec.evaluation.plot import COLOURS
from gancodec.evaluation.sweep import load_rgb, named_pictures
from gancodec.networks.integer import FRACTION
from gancodec.picture import Picture, from_pillow
from gancodec.pipeline import PhotoPipeline
from gancodec.writing import write_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One file."""

    picture: str
    quality: float
    level: int
    size_bytes: int
    bpp: float
    psnr_db: float
    cost_bits: float
    """J: bits of the file and the squared error in bits."""
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="*", type=Path, help="pictures, or folders of pictures")
    parser.add_argument("--codec", default="photo")
    parser.add_argument("--device", default="cpu", help="where all is computed, times and costs")
    parser.add_argument("--qualities", default="15,30,45,60")
    parser.add_argument("--levels", type=int, default=3, help="the highest one")
    parser.add_argument("--repeat", type=int, default=1, help="time levels 0 to 3 so often; the least counts")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--save", type=Path, help="write all files to this folder")
    parser.add_argument("--rows", nargs="+", type=Path, default=[], help="what --json wrote, to be shown again")
    parser.add_argument("--plot", type=Path, help="draw gain over time: a curve for each of the rows' files")
    given = parser.parse_args()
    sets = {path.stem: [Row(**row) for row in json.loads(path.read_bytes())] for path in given.rows}
    if given.inputs:
        sets["measured now"] = measure_all(given)
    for rows in sets.values():
        for line in lines(rows):
            print(line)
    if given.plot:
        draw(sets, given.plot)


def measure_all(given: argparse.Namespace) -> list[Row]:
    """Every picture at every quality and level."""
    codec = Codec.load(given.codec, given.device)
    if given.save:
        given.save.mkdir(parents=True, exist_ok=True)
    qualities = [float(text) for text in given.qualities.split(",")]
    rows: list[Row] = []
    for name, path in named_pictures(given.inputs).items():
        picture = from_pillow(load_rgb(path))
        for quality in qualities:
            for row, data in measured(codec, name, picture, quality, levels=given.levels, repeat=given.repeat):
                rows.append(row)
                if given.save:
                    write_file(given.save / f"{Path(name).stem}-q{quality:g}-effort{row.level}.gnc", data)
            print(" ".join(f"{row.size_bytes:,}" for row in rows[-given.levels - 1 :]), name, quality, flush=True)
        if given.json:
            write_file(given.json, json.dumps([asdict(row) for row in rows], indent=1).encode())
    return rows


def measured(
    codec: Codec, name: str, picture: Picture, quality: float, *, levels: int, repeat: int
) -> Iterator[tuple[Row, bytes]]:
    """Level 0 and all others."""
    assert isinstance(codec.pipeline, PhotoPipeline)
    refiner = Refiner(codec.pipeline)
    quality_256 = round(quality * FRACTION)
    seconds: dict[int, float] = {}
    found: dict[int, Any] = {}
    for run in range(repeat):
        highest = levels if run == repeat - 1 else min(levels, 3)
        started = time.perf_counter()
        (found[0],) = codec.quantise([picture], [quality_256])
        codec.write(picture, None, found[0], quality_256)
        seconds[0] = min(seconds.get(0, 1e9), time.perf_counter() - started)
        started = time.perf_counter()
        writing = 0.0
        for level, (symbols,) in refiner.by_level([picture.rgb_HWC], [quality_256], Effort(level=max(1, highest))):
            since = time.perf_counter()
            found[level] = symbols
            codec.write(picture, None, symbols, quality_256)
            seconds[level] = min(seconds.get(level, 1e9), time.perf_counter() - started - writing)
            writing += time.perf_counter() - since
    for level, symbols in found.items():
        if level <= levels:
            data = codec.write(picture, None, symbols, quality_256)
            yield row_of(codec, name, picture, quality, level, data, seconds[level]), data


def row_of(
    codec: Codec, name: str, picture: Picture, quality: float, level: int, data: bytes, seconds: float
) -> Row:
    """What a file comes to when it is opened."""
    back = codec.decompress_picture(data)
    error = np.square(back.rgb_HWC.astype(np.int32) - picture.rgb_HWC).sum(dtype=np.int64)
    price = float(slope(torch.tensor(quality)))
    return Row(
        picture=name,
        quality=quality,
        level=level,
        size_bytes=len(data),
        bpp=8 * len(data) / (picture.width * picture.height),
        psnr_db=float(10 * np.log10(255**2 * picture.rgb_HWC.size / error)),
        cost_bits=float(8 * len(data) + price * error / 127.5**2),
        seconds=seconds,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a level comes to."""

    level: int
    bd_rate_percent: float
    """Against level 0; below 0: fewer bits."""
    time_ratio: float
    """Median over all files."""
    worse: int
    """Files that cost more than those of a level below."""
    files: int


def outcomes(rows: list[Row]) -> list[Outcome]:
    """One a level."""
    qualities = sorted({row.quality for row in rows})
    levels = sorted({row.level for row in rows})

    def curve(level: int) -> tuple[list[float], list[float]]:
        points = [[row for row in rows if row.level == level and row.quality == quality] for quality in qualities]
        return (
            [statistics.fmean(row.bpp for row in point) for point in points],
            [statistics.fmean(row.psnr_db for row in point) for point in points],
        )

    by_place = {(row.picture, row.quality, row.level): row for row in rows}
    found = []
    for level in levels:
        own = [row for row in rows if row.level == level]
        below = [other for other in levels if other < level]
        found.append(
            Outcome(
                level=level,
                bd_rate_percent=bd_rate(*curve(level), *curve(0)).percent if level and len(qualities) > 1 else 0.0,
                time_ratio=statistics.median(
                    row.seconds / by_place[row.picture, row.quality, 0].seconds for row in own
                ),
                worse=sum(
                    any(row.cost_bits > by_place[row.picture, row.quality, other].cost_bits for other in below)
                    for row in own
                ),
                files=len(own),
            )
        )
    return found


def lines(rows: list[Row]) -> Iterator[str]:
    """A table."""
    pictures = len({row.picture for row in rows})
    yield f"{pictures} pictures, qualities {', '.join(f'{quality:g}' for quality in sorted({r.quality for r in rows}))}"
    yield "level  BD-rate   time ÷ level 0   files worse than a level below"
    for each in outcomes(rows):
        yield (
            f"{each.level:5}  {each.bd_rate_percent:+6.2f} %  {each.time_ratio:13.2f}   {each.worse} of {each.files}"
        )


def draw(sets: dict[str, list[Row]], path: Path) -> None:
    """BD-rate over time, a curve for each set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    longest = max(sets.values(), key=lambda rows: max(row.level for row in rows))
    for (name, rows), colour, marker in zip(sets.items(), COLOURS, "osD^vPX", strict=False):
        found = outcomes(rows)
        times, gains = [each.time_ratio for each in found], [each.bd_rate_percent for each in found]
        label = f"{name}: {len({row.picture for row in rows})} pictures"
        axes.plot(times, gains, marker=marker, color=colour, label=label)
        for each in found[1:]:
            place = (each.time_ratio, each.bd_rate_percent)
            if rows is longest:  # the others' levels stand close by
                axes.annotate(str(each.level), place, xytext=(5, 4), textcoords="offset points")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("encoding time, in times of effort 0")
    axes.set_ylabel("BD-rate (PSNR) against effort 0, in %")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    with io.BytesIO() as file:
        figure.savefig(file, format="png")
        write_file(path, file.getvalue())


if __name__ == "__main__":
    try:
        main()
    except GancodecError as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(exc.exit_code)
