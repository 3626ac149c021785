"""Pictures × codecs × qualities × realisms -> rows, mean curves, BD-rates.

    gancodec eval FOLDER_OR_FILES… --codec photo --against jpeg,webp,avif --json F --plot F.png

`run_sweep` computes; request.py knows the options and writes what was found.  Rate is that of the whole file;
distortion is measured on the 8-bit picture that the file decodes to.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancodec.defaults import PICTURE_SUFFIXES
from gancodec.errors import ConfigError, GancodecError, OutputError, PictureError
from gancodec.evaluation.coders import Coder, Decoder
from gancodec.evaluation.columns import MS_SSIM, PSNR, Metric, Unavailable
from gancodec.evaluation.efforts import compare_efforts
from gancodec.evaluation.images import as_picture_file, check_image_names, image_name
from gancodec.evaluation.matched import at_rates, check_rates
from gancodec.evaluation.memory import is_out_of_memory, peak_bytes
from gancodec.evaluation.metrics import bpp
from gancodec.evaluation.results import (
    TOTAL,
    Curve,
    Row,
    Seconds,
    Skipped,
    SweepResult,
    Values,
    compare,
    mean_point,
    mean_timing,
)
from gancodec.picture import Picture, read_picture
from gancodec.timing import FILE
from gancodec.writing import write_file


def run_sweep(
    inputs: Sequence[Path],
    coders: Sequence[Coder],
    *,
    metrics: Sequence[Metric] = (PSNR, MS_SSIM),
    unavailable: Sequence[Unavailable] = (),
    references: Sequence[Curve] = (),
    at_bpp: Sequence[float] = (),
    first_efforts: Mapping[str, str] | None = None,
    images: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> SweepResult:
    """Measure every coder at each of its qualities on every picture, and the first curve against all others.

    inputs: picture files, and folders whose pictures are taken (not those of folders below).
    coders: each of their decoders makes a curve, in this order.
    references: published curves, to compare the first one with as well; whoever gives them vouches for the pictures.
    metrics: the columns of all tables; the first curve is compared by each.
    unavailable: metrics that cannot be had, to be mentioned in the result.
    at_bpp: rates at which to compare the curves, in bits per pixel.
    first_efforts: by the names of curves that are a codec's further efforts, the curve of its first one.  That is the
    only one that they are compared with.
    images: a folder that gets every decoded picture as PNG (of skipped pictures those that there were).
    progress: gets a line of text after each picture.

    A picture that cannot be read, or that one of the coders refuses, is skipped for all of them, so that all means are
    over the same pictures.  Raises ConfigError if no coder is given, names repeat, rates make no sense, or no picture
    is left; OutputError if a decoded picture cannot be written.
    """
    names = [decoder.name for coder in coders for decoder in coder.decoders]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"codecs to measure are {names}", hint="give at least one, and none twice")
    check_rates(at_bpp)
    named = named_pictures(inputs)
    if images is not None:
        check_image_names(list(named), coders)
    found = _measure_all(named, coders, metrics, images, progress)
    if found.skipped and references:
        progress("published curves are left out: they are means over all of the pictures")
        references = ()
    curves = tuple(
        _curve(coder, decoder, found.rows, found.described) for coder in coders for decoder in coder.decoders
    )
    first_efforts = first_efforts or {}
    others = [
        curve for curve in (*curves[1:], *references) if len(curve.points) > 1 and curve.codec not in first_efforts
    ]
    anchors = others if len(curves[0].points) > 1 else []
    return SweepResult(
        metrics=tuple(metrics),
        pictures=tuple(found.pictures),
        rows=tuple(found.rows),
        curves=curves,
        references=tuple(references),
        comparisons=tuple(
            compare(curves[0], anchor, metric)
            for metric in metrics
            for anchor in anchors
            if not anchor.source or any(point.value(metric) is not None for point in anchor.points)
        ),
        skipped=tuple(found.skipped),
        efforts=compare_efforts(curves, found.rows, first_efforts, metrics),
        unavailable=tuple(unavailable),
        at_rates=at_rates([*curves, *references], metrics, at_bpp),
        peak_bytes=peak_bytes(),
    )


@dataclass(slots=True)
class _Found:
    """What was measured, picture by picture."""

    described: _Descriptions
    rows: list[Row] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def _measure_all(
    named: Mapping[str, Path],
    coders: Sequence[Coder],
    metrics: Sequence[Metric],
    images: Path | None,
    progress: Callable[[str], None],
) -> _Found:
    """Every picture with every coder; as `run_sweep` says.  Raises ConfigError if no picture is left."""
    found = _Found(_Descriptions(metrics))
    started = time.monotonic()
    for index, (name, path) in enumerate(named.items(), start=1):
        try:
            described = _Descriptions(metrics)
            found.rows += measure_picture(load_rgb(path), name, coders, metrics, described=described, images=images)
            found.described.join(described)  # not before the last coder has taken the picture
            found.pictures.append(name)
            outcome = "done"
        except OutputError:
            raise
        except (GancodecError, MemoryError, RuntimeError) as exc:
            reason = _reason(exc).removeprefix(f"{path.name}: ")  # reading names the picture in its errors
            found.skipped.append(Skipped(picture=name, reason=reason))
            outcome = f"skipped: {reason}"
        elapsed_s = time.monotonic() - started
        # Those that were skipped took hardly any time.
        left_s = elapsed_s / max(1, len(found.pictures)) * (len(named) - index)
        progress(f"[{index}/{len(named)}] {name} {outcome}; {elapsed_s:.0f} s gone, about {left_s:.0f} s to go")
    if not found.pictures:
        last = found.skipped[-1].reason
        raise ConfigError(f"none of {len(named)} pictures could be measured", hint=f"the last: {last}")
    return found


def _reason(exc: Exception) -> str:
    """Why a picture is left out.  Raises what has nothing to do with the picture again."""
    if isinstance(exc, GancodecError):
        return str(exc)
    if is_out_of_memory(exc):
        return "not enough memory"
    raise exc


def find_pictures(inputs: Sequence[Path]) -> list[Path]:
    """The files among `inputs`, and the pictures in the folders among them by name, each once.

    Raises PictureError for what is not there, ConfigError for none.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            files = (file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
            found += sorted(file for file in files if file.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise PictureError(f"{path} is neither a file nor a folder", hint="give pictures or folders of pictures")
    if not found:
        looked_for = ", ".join(sorted(PICTURE_SUFFIXES))
        raise ConfigError(f"no pictures in {', '.join(map(str, inputs))}", hint=f"looked for {looked_for}")
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def named_pictures(inputs: Sequence[Path]) -> dict[str, Path]:
    """`find_pictures` by what tables call them: the file's name, with its folder's where two have one name.

    Line feeds and bytes that are no UTF-8 are escaped: names go into tables and files.
    """
    paths = find_pictures(inputs)
    names = Counter(path.name for path in paths)
    shown = (path.name if names[path.name] == 1 else f"{path.parent}/{path.name}" for path in paths)
    return {_printable(name): path for name, path in zip(shown, paths, strict=True)}


def _printable(name: str) -> str:
    escaped = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def load_rgb(path: Path) -> Image.Image:
    """The picture as mode RGB without metadata, so that every codec gets the same and no file carries a profile.

    Raises PictureError for unreadable pictures and those with alpha: PSNR has no place for what lies behind.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise PictureError(f"{path.name}: {exc.strerror}", hint="check that it may be read") from exc
    return Image.fromarray(opaque_rgb(read_picture(data, name=path.name), path.name))


def opaque_rgb(picture: Picture, name: str) -> NDArray[np.uint8]:
    """[H, W, 3] of a picture.  Raises PictureError, with its name, where something shows through."""
    if not picture.is_opaque:
        raise PictureError(f"{name}: is partly transparent", hint="flatten it onto a background first")
    return picture.rgb_HWC


class _Descriptions:
    """What the metrics of all pictures together know of the pictures so far."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics
        self._whole = {metric.key: metric.whole for metric in metrics if metric.whole}
        self._found: dict[tuple[str, ...], list[NDArray[np.float64]]] = {}

    def add(self, picture_HWC: NDArray[np.uint8], *curve: str) -> None:
        """A decoded picture of a curve's point, or without these the original."""
        for key, whole in self._whole.items():
            self._found.setdefault((key, *curve), []).extend(whole.describe(picture_HWC))

    def join(self, other: _Descriptions) -> None:
        """Take over all that ``other`` has."""
        for place, found in other._found.items():
            self._found.setdefault(place, []).extend(found)

    def values(self, *curve: str) -> Values:
        """The distances of a curve's point from the originals."""
        return {
            key: whole.distance(self._found[(key,)], self._found[(key, *curve)]) for key, whole in self._whole.items()
        }


def measure_picture(
    picture: Image.Image,
    name: str,
    coders: Sequence[Coder],
    metrics: Sequence[Metric],
    *,
    described: _Descriptions | None = None,
    images: Path | None = None,
) -> list[Row]:
    """One row for each coder, quality and decoder.  Raises GancodecError if a coder refuses the picture.

    picture: RGB without metadata.  name: of its file.  described: gets what metrics of all pictures together need.
    images: as for `run_sweep`.
    """
    original_HWC = np.asarray(picture)
    if described is not None:
        described.add(original_HWC)
    rows = []
    for coder in coders:
        for quality in coder.qualities:
            coder.parts_taken()
            started = time.perf_counter()
            data = coder.encode(picture, quality)
            encode_s = _seconds(coder, started)
            for decoder in coder.decoders:
                started = time.perf_counter()
                decoded_HWC = np.asarray(decoder.decode(data).convert("RGB"))
                decode_s = _seconds(coder, started)
                if described is not None:
                    described.add(decoded_HWC, decoder.name, str(quality))
                rows.append(
                    Row(
                        codec=decoder.name,
                        quality=quality,
                        realism=decoder.realism,
                        effort=coder.effort,
                        picture=name,
                        width=picture.width,
                        height=picture.height,
                        size_bytes=len(data),
                        bpp=bpp(len(data), picture.width, picture.height),
                        values={each.key: each.measure(original_HWC, decoded_HWC) for each in metrics if each.measure},
                        encode_s=encode_s,
                        decode_s=decode_s,
                    )
                )
                if images is not None:
                    file = images / image_name(name, coder.name, quality, decoder.realism)
                    write_file(file, as_picture_file(Image.fromarray(decoded_HWC), file))
    return rows


def _seconds(coder: Coder, started: float) -> Seconds:
    """Since ``started``, in all and by part."""
    total = time.perf_counter() - started
    parts = dict(coder.parts_taken())
    return {TOTAL: total, **parts, **({FILE: total - sum(parts.values())} if parts else {})}


def _curve(coder: Coder, decoder: Decoder, rows: Sequence[Row], described: _Descriptions) -> Curve:
    own = [row for row in rows if row.codec == decoder.name]
    points = (
        mean_point(
            [row for row in own if row.quality == quality],
            described.metrics,
            described.values(decoder.name, str(quality)),
        )
        for quality in coder.qualities
    )
    timing = mean_timing(own, coder.load_s if decoder is coder.decoders[0] else None)
    return Curve(codec=decoder.name, settings=decoder.settings, points=tuple(points), timing=timing)
