"""Pictures × codecs × qualities × realisms -> rows, mean curves, BD-rates.

    python -m gancodec.evaluation.sweep FOLDER_OR_FILES… --codec photo --against jpeg,webp,avif --json F --plot F.png

`run_sweep` computes; arguments.py parses and writes.  Rate is that of the whole file; distortion is measured on the
8-bit picture that the file decodes to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from gancodec.errors import ConfigError, GancodecError, PictureError
from gancodec.evaluation.coders import Coder, Decoder
from gancodec.evaluation.images import check_image_names, image_name
from gancodec.evaluation.matched import at_rates, check_rates
from gancodec.evaluation.metrics import Features, bpp, ms_ssim, perceptual, perceptual_label, psnr
from gancodec.evaluation.results import Curve, MetricName, Row, Skipped, SweepResult, compare, mean_point
from gancodec.picture import read_picture

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm")
"""What is taken from a folder, which may also hold a README; files named one by one may have any suffix."""
_METRICS: Final[tuple[MetricName, ...]] = ("PSNR", "MS-SSIM")


def run_sweep(
    inputs: Sequence[Path],
    coders: Sequence[Coder],
    *,
    references: Sequence[Curve] = (),
    features: Features | None = None,
    at_bpp: Sequence[float] = (),
    images: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> SweepResult:
    """Measure every coder at each of its qualities on every picture, and the first curve against all others.

    inputs: picture files, and folders whose pictures are taken (not those of folders below).
    coders: each of their decoders makes a curve, in this order.
    references: published curves, to compare the first one with as well; whoever gives them vouches for the pictures.
    features: on the CPU; adds a perceptual distance to every row.
    at_bpp: rates at which to compare the curves, in bits per pixel.
    images: a folder that gets every decoded picture as PNG (of skipped pictures those that there were).
    progress: gets a line of text after each picture.

    A picture that cannot be read, or that one of the coders refuses, is skipped for all of them, so that all means are
    over the same pictures.  Raises ConfigError if no coder is given, names repeat, rates make no sense, or no picture
    is left; OSError if a decoded picture cannot be written.
    """
    names = [decoder.name for coder in coders for decoder in coder.decoders]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"codecs to measure are {names}", hint="give at least one, and none twice")
    check_rates(at_bpp)
    paths = find_pictures(inputs)
    if images is not None:
        check_image_names([path.name for path in paths], coders)
    rows: list[Row] = []
    pictures: list[str] = []
    skipped: list[Skipped] = []
    started = time.monotonic()
    for index, path in enumerate(paths, start=1):
        try:
            rows += measure_picture(load_rgb(path), path.name, coders, features=features, images=images)
            pictures.append(path.name)
            outcome = "done"
        except GancodecError as exc:
            reason = str(exc).removeprefix(f"{path.name}: ")  # reading names the picture in its errors, codecs do not
            skipped.append(Skipped(picture=path.name, reason=reason))
            outcome = f"skipped: {reason}"
        elapsed_s = time.monotonic() - started
        left_s = elapsed_s / index * (len(paths) - index)
        progress(f"[{index}/{len(paths)}] {path.name} {outcome}; {elapsed_s:.0f} s gone, about {left_s:.0f} s to go")
    if not pictures:
        raise ConfigError(f"none of {len(paths)} pictures could be measured", hint=f"the last: {skipped[-1].reason}")
    curves = tuple(_curve(coder, decoder, rows) for coder in coders for decoder in coder.decoders)
    anchors = [curve for curve in (*curves[1:], *references) if len(curve.points) > 1 < len(curves[0].points)]
    return SweepResult(
        pictures=tuple(pictures),
        rows=tuple(rows),
        curves=curves,
        references=tuple(references),
        comparisons=tuple(compare(curves[0], anchor, metric) for metric in _METRICS for anchor in anchors),
        skipped=tuple(skipped),
        perceptual="" if features is None else perceptual_label(features),
        at_rates=at_rates([*curves, *references], at_bpp),
    )


def find_pictures(inputs: Sequence[Path]) -> list[Path]:
    """The files among `inputs`, and the pictures in the folders among them by name.  Raises ConfigError for none."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found += sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{path} is neither a file nor a folder", hint="give pictures or folders of pictures")
    if not found:
        raise ConfigError(f"no pictures in {', '.join(map(str, inputs))}", hint=f"looked for {', '.join(SUFFIXES)}")
    return found


def load_rgb(path: Path) -> Image.Image:
    """The picture as mode RGB without metadata, so that every codec gets the same and no file carries a profile.

    Raises PictureError for unreadable pictures and those with alpha: PSNR has no place for what lies behind.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise PictureError(f"{path.name}: {exc.strerror}", hint="check that it may be read") from exc
    picture = read_picture(data, name=path.name)
    if picture.alpha_HW is not None and picture.alpha_HW.min() < 255:
        raise PictureError(f"{path.name}: is partly transparent", hint="flatten it onto a background first")
    colour_HWC = picture.colour_HWC
    return Image.fromarray(np.repeat(colour_HWC, 3, axis=2) if colour_HWC.shape[2] == 1 else colour_HWC)


def measure_picture(
    picture: Image.Image,
    name: str,
    coders: Sequence[Coder],
    *,
    features: Features | None = None,
    images: Path | None = None,
) -> list[Row]:
    """One row for each coder, quality and decoder.  Raises GancodecError if a coder refuses the picture.

    picture: RGB without metadata.  name: of its file.  features, images: as for `run_sweep`.
    """
    original_HWC = np.asarray(picture)
    rows = []
    for coder in coders:
        for quality in coder.qualities:
            data = coder.encode(picture, quality)
            for decoder in coder.decoders:
                decoded_HWC = np.asarray(decoder.decode(data).convert("RGB"))
                rows.append(
                    Row(
                        codec=decoder.name,
                        quality=quality,
                        realism=decoder.realism,
                        picture=name,
                        width=picture.width,
                        height=picture.height,
                        size_bytes=len(data),
                        bpp=bpp(len(data), picture.width, picture.height),
                        psnr=psnr(original_HWC, decoded_HWC),
                        ms_ssim=ms_ssim(original_HWC, decoded_HWC),
                        lpips=None if features is None else perceptual(original_HWC, decoded_HWC, features),
                    )
                )
                if images is not None:
                    file = images / image_name(name, coder.name, quality, decoder.realism)
                    Image.fromarray(decoded_HWC).save(file, format="PNG")
    return rows


def _curve(coder: Coder, decoder: Decoder, rows: Sequence[Row]) -> Curve:
    own = [row for row in rows if row.codec == decoder.name]
    points = (mean_point([row for row in own if row.quality == quality]) for quality in coder.qualities)
    return Curve(codec=decoder.name, settings=decoder.settings, points=tuple(points))


if __name__ == "__main__":
    import sys

    from gancodec.evaluation.arguments import main

    sys.exit(main())
