"""What `gancodec eval` was asked for: options in, `run_sweep`, reports out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Final

from gancodec.defaults import DEFAULT_EFFORT
from gancodec.errors import ConfigError, GancodecError, OutputError
from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import Coder, Facade, GancodecCoder
from gancodec.evaluation.columns import DEFAULT, chosen_metrics
from gancodec.evaluation.matched import check_rates
from gancodec.evaluation.metrics import Features
from gancodec.evaluation.published import PUBLISHED_NET, is_kodak, kodak_curves, without_lpips
from gancodec.evaluation.records import as_csv, as_curve_json, as_json
from gancodec.evaluation.results import Curve, SweepResult
from gancodec.evaluation.sweep import find_pictures, run_sweep
from gancodec.evaluation.tables import as_markdown
from gancodec.writing import write_file

QUALITIES: Final = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 100.0)
AGAINST: Final = ("jpeg", "webp", "avif")
HTML: Final = (".html", ".htm")
PLOTS: Final = (".png", ".svg", ".pdf")
REPORT_PICTURES: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalRequest:
    """Everything that may be asked for; what is None or empty was not."""

    inputs: Sequence[Path]
    codecs: Sequence[str] = ("photo",)
    """Names, or paths of weights; the first one is compared with all others."""
    qualities: Sequence[float] = QUALITIES
    realisms: Sequence[float] = (0.0,)
    efforts: Sequence[int] = (DEFAULT_EFFORT,)
    """0 to 9; all of a codec are compared with its first one."""
    against: Sequence[str] = AGAINST
    metrics: Sequence[str] = DEFAULT
    features: str | None = None
    """``vgg19`` or PATH[:NET]."""
    reference: str | None = None
    """``kodak``."""
    at_bpp: Sequence[float] = ()
    device: str = "auto"
    json: Path | None = None
    curves: Path | None = None
    """Folder that gets a file for each curve, as CompressAI writes them."""
    csv: Path | None = None
    markdown: Path | None = None
    plots: Sequence[Path] = ()
    """.png, .svg, .pdf, or .html for a report with pictures."""
    save_images: Path | None = None
    report_pictures: int = REPORT_PICTURES
    """How many pictures a .html report shows."""

    def check(self) -> None:
        """Raise ConfigError for what can be seen to be wrong before the first of many minutes."""
        check_rates(self.at_bpp)
        if find_spec("scipy") is None:
            raise ConfigError("comparing curves needs scipy", hint="pip install 'gancodec[eval]'")
        given = (self.json, self.csv, self.markdown, *self.plots)
        files = [output for output in given if output is not None]
        for output in (*files, self.curves, self.save_images):
            if output is not None and not output.parent.is_dir():
                raise ConfigError(f"{output.parent} is no folder", hint="make it first")
        for output in files:
            if output.is_dir():
                raise ConfigError(f"{output} is a folder", hint="give the name of a file")
            if not os.access(output.parent, os.W_OK):
                raise OutputError(f"{output.parent} cannot be written to", hint="check its rights")
        real = [output.resolve() for output in files]
        for place, output in enumerate(real):
            if output in real[:place]:
                raise ConfigError(f"two reports would be called {files[place]}", hint="give each a name of its own")
        for plot in self.plots:
            if plot.suffix.lower() not in (*HTML, *PLOTS):
                raise ConfigError(f"{plot} is no kind of plot", hint=f"use {', '.join((*PLOTS, *HTML))}")
            if plot.suffix.lower() in PLOTS and find_spec("matplotlib") is None:
                raise ConfigError("drawing needs matplotlib", hint="pip install 'gancodec[eval]'")
        for output in (self.curves, self.save_images):
            if output is not None and output.exists() and not output.is_dir():
                raise ConfigError(f"{output} is a file", hint="give a folder")


def evaluate(
    request: EvalRequest, note: Callable[[str], None], show: Callable[[SweepResult], None] = lambda result: None
) -> SweepResult:
    """Measure, and write all that was asked for.

    note: gets a line after each picture.  show: gets the result before anything is written, and whatever becomes of
    that.  Raises ConfigError for options that do not fit, OutputError for outputs that cannot be written, ModelError
    for codecs or features that do not serve.
    """
    request.check()
    against = [classical(name) for name in request.against]
    for each in against:
        each.check()
    features = _features(request.features)
    references = _references(request.reference, request.inputs, features)
    metrics, unavailable = chosen_metrics(request.metrics, features)
    ours = _coders(request, note)
    coders: list[Coder] = [*chain.from_iterable(ours), *against]
    for folder in (request.save_images, request.curves):
        if folder is not None:
            _make_folder(folder)
    result = run_sweep(
        request.inputs,
        coders,
        metrics=metrics,
        unavailable=unavailable,
        references=references,
        at_bpp=request.at_bpp,
        first_efforts=_first_efforts(ours),
        images=request.save_images,
        progress=note,
    )
    show(result)
    _write(request, result, coders, note)
    return result


def _write(request: EvalRequest, result: SweepResult, coders: Sequence[Coder], note: Callable[[str], None]) -> None:
    """Every report; one that cannot be written does not keep the others from it, and is raised at the end."""
    writers: list[Callable[[], None]] = []
    for path, text in ((request.json, as_json), (request.csv, as_csv), (request.markdown, as_markdown)):
        if path is not None:
            writers.append(partial(_write_text, path, text, result))
    if request.curves is not None:
        for curve in result.curves:
            file = request.curves / f"{curve.codec.replace('/', '_')}.json"
            writers.append(partial(_write_text, file, partial(as_curve_json, curve=curve), result))
    writers += [partial(_draw, plot, request, result, coders, note) for plot in request.plots]
    errors = []
    for write in writers:
        try:
            write()
        except GancodecError as exc:
            errors.append(exc)
    for error in errors[1:]:
        note(f"error: {error}")
    if errors:
        raise errors[0]


def _write_text(path: Path, text: Callable[[SweepResult], str], result: SweepResult) -> None:
    write_file(path, text(result))


def _draw(
    plot: Path, request: EvalRequest, result: SweepResult, coders: Sequence[Coder], note: Callable[[str], None]
) -> None:
    if plot.suffix.lower() in HTML:
        from gancodec.evaluation.html import as_html
        from gancodec.evaluation.strips import make_strips

        strips = make_strips(request.inputs, result, coders, count=request.report_pictures, progress=note)
        write_file(plot, as_html(result, strips))
    else:
        from gancodec.evaluation.plot import draw

        draw(result, plot)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as exc:
        raise OutputError(f"cannot make {folder}: {exc.strerror}", hint="check the folder above it") from exc


def _features(text: str | None) -> Features | None:
    if text is None:
        return None
    from gancodec.features import load_features

    return load_features(text, "cpu")  # the figure must not depend on the device


def _coders(request: EvalRequest, note: Callable[[str], None]) -> list[list[GancodecCoder]]:
    """For each codec, which are known by what the user typed, a coder for each effort.

    Realism is measured on those that have it, and the others at 0; ConfigError if none of them has it.  A codec of one
    rate has nothing to spend effort on, and one coder.
    """
    from gancodec.codec import Codec

    codecs: dict[str, tuple[Facade, float]] = {}
    for text in dict.fromkeys(request.codecs):
        started = perf_counter()
        codecs[text] = Codec.load(text, device=request.device), perf_counter() - started
    names = [codec.entry.name for codec, _ in codecs.values()]
    if any(request.realisms) and not any(codec.pipeline.has_realism for codec, _ in codecs.values()):
        raise ConfigError(f"no realism generator in {', '.join(names)}", hint="use realism 0")
    coders = []
    for text, (codec, load_s) in codecs.items():
        name = codec.entry.name if names.count(codec.entry.name) == 1 else text  # two trainings of one codec
        own = request.realisms if codec.pipeline.has_realism else [0.0]
        if list(own) != list(request.realisms):
            note(f"{name} has no realism generator: it is measured at realism 0")
        efforts = list(dict.fromkeys(request.efforts)) or [DEFAULT_EFFORT]
        are_named = efforts != [DEFAULT_EFFORT]
        if are_named and not codec.pipeline.has_quality:
            note(f"{name} has one rate: effort changes nothing, and it is measured once")
            efforts, are_named = [DEFAULT_EFFORT], False
        coders.append(
            [
                GancodecCoder(
                    codec,
                    qualities=request.qualities,
                    realisms=own,
                    effort=effort,
                    name=f"{name} effort {effort}" if are_named else name,
                    load_s=None if number else load_s,
                )
                for number, effort in enumerate(efforts)
            ]
        )
    return coders


def _first_efforts(ours: Sequence[Sequence[GancodecCoder]]) -> dict[str, str]:
    """Name of each curve of a further effort -> of the first one at the same realism."""
    return {
        decoder.name: anchor.name
        for first, *others in ours
        for other in others
        for decoder, anchor in zip(other.decoders, first.decoders, strict=True)
    }


def _references(name: str | None, inputs: Sequence[Path], features: Features | None) -> list[Curve]:
    """Published curves for these pictures, whose LPIPS is AlexNet's and means nothing beside another network's.

    Raises ConfigError unless they are exactly those of the reference.
    """
    if name is None:
        return []
    paths = find_pictures(inputs)
    if not is_kodak(paths):
        seen = f"{len(paths)} pictures from {paths[0].name} on"
        hint = "give kodim01.png to kodim24.png, as they are: 768x512 and 512x768 pixels"
        raise ConfigError(f"published curves are for Kodak, not for {seen}", hint=hint)
    curves = list(kodak_curves().values())
    return curves if features is None or features.name == PUBLISHED_NET else [without_lpips(each) for each in curves]
