"""The command line of `python -m gancodec.evaluation.sweep`: options in, `run_sweep`, reports out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gancodec.errors import ConfigError, GancodecError
from gancodec.evaluation.classical import CLASSICAL, classical
from gancodec.evaluation.coders import Coder, Facade, GancodecCoder
from gancodec.evaluation.matched import check_rates
from gancodec.evaluation.published import is_kodak, kodak_curves
from gancodec.evaluation.report import as_json, as_markdown, as_text
from gancodec.evaluation.results import Curve
from gancodec.evaluation.sweep import find_pictures, run_sweep

SOME_SKIPPED = 7
"""Exit code: figures were printed, but some of the pictures are not in them."""


def parser() -> argparse.ArgumentParser:
    """The options, with their defaults in the help."""
    options = argparse.ArgumentParser(
        prog="python -m gancodec.evaluation.sweep",
        description="Rate and distortion of a codec on real files, beside classical codecs, with BD-rates.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("inputs", nargs="+", type=Path, metavar="FOLDER_OR_FILE", help="pictures to measure on")
    options.add_argument("--codec", type=_names, default="photo", help="names of codecs, or paths of their weights")
    options.add_argument("--qualities", type=_numbers, default="0,15,30,45,60,75,90,100", help="of codecs, 0..100")
    options.add_argument("--realism", type=_numbers, default="0", help="0 (faithful) to 1, a curve for each")
    options.add_argument("--against", type=_names, default="jpeg,webp,avif", help=f"any of {', '.join(CLASSICAL)}")
    options.add_argument("--reference", choices=["kodak"], help="compare with published curves on these pictures too")
    options.add_argument("--features", metavar="PATH[:NET]", help="perceptual distance too, by a network or vgg19")
    options.add_argument("--at-bpp", type=_numbers, metavar="R,…", help="compare all curves at these rates")
    options.add_argument("--device", default="auto", help="where codecs run: auto, cpu, cuda")
    options.add_argument("--json", type=Path, metavar="F", help="write every row, and the summary")
    options.add_argument("--markdown", type=Path, metavar="F", help="write the tables")
    options.add_argument("--plot", type=Path, metavar="F.png", help="draw the curves")
    options.add_argument("--save-images", type=Path, metavar="DIR", help="write every decoded picture as PNG")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweep and print its tables; return the exit code (see gancodec/errors.py, and SOME_SKIPPED)."""
    options = parser().parse_args(argv)
    try:
        return _run(options)
    except GancodecError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    except OSError as exc:  # a report or a picture cannot be written
        print(f"error: {exc}", file=sys.stderr)
        return ConfigError.exit_code


def _run(options: argparse.Namespace) -> int:
    # Everything that can be wrong with the options is checked before the first of many minutes.
    at_bpp = options.at_bpp or ()
    check_rates(at_bpp)
    for output in (options.json, options.markdown, options.plot, options.save_images):
        if output is not None and not output.parent.is_dir():
            raise ConfigError(f"{output.parent} is no folder", hint="make it first")
    references = _references(options.reference, options.inputs)
    against = [classical(name) for name in options.against]

    features = None
    if options.features is not None:
        from gancodec.features import load_features

        features = load_features(options.features, "cpu")  # the figure must not depend on the device

    from gancodec.codec import Codec

    codecs = {text: Codec.load(text, device=options.device) for text in dict.fromkeys(options.codec)}
    coders: list[Coder] = [*_coders(codecs, options.qualities, options.realism), *against]
    if options.save_images is not None:
        options.save_images.mkdir(exist_ok=True)
    result = run_sweep(
        options.inputs,
        coders,
        references=references,
        features=features,
        at_bpp=at_bpp,
        images=options.save_images,
        progress=_note,
    )
    print(as_text(result))
    if options.json is not None:
        options.json.write_text(as_json(result), encoding="utf-8")
    if options.markdown is not None:
        options.markdown.write_text(as_markdown(result), encoding="utf-8")
    if options.plot is not None:
        from gancodec.evaluation.plot import draw

        draw(result, options.plot)
    return SOME_SKIPPED if result.skipped else 0


def _coders(
    codecs: Mapping[str, Facade], qualities: Sequence[float], realisms: Sequence[float]
) -> list[GancodecCoder]:
    """A coder for each codec, which are known by what the user typed.

    Realism is measured on those that have it, and the others at 0; ConfigError if none of them has it.
    """
    names = [codec.entry.name for codec in codecs.values()]
    if any(realisms) and not any(codec.pipeline.has_realism for codec in codecs.values()):
        raise ConfigError(f"no realism generator in {', '.join(names)}", hint="use realism 0")
    coders = []
    for text, codec in codecs.items():
        name = codec.entry.name if names.count(codec.entry.name) == 1 else text  # two trainings of one codec
        own = realisms if codec.pipeline.has_realism else [0.0]
        if list(own) != list(realisms):
            _note(f"{name} has no realism generator: it is measured at realism 0")
        coders.append(GancodecCoder(codec, qualities=qualities, realisms=own, name=name))
    return coders


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _references(name: str | None, inputs: Sequence[Path]) -> list[Curve]:
    """Published curves for these pictures.  Raises ConfigError unless they are exactly those of the reference."""
    if name is None:
        return []
    names = [path.name for path in find_pictures(inputs)]
    if not is_kodak(names):
        seen = f"{len(names)} pictures from {names[0]} on"
        raise ConfigError(f"published curves are for Kodak, not for {seen}", hint="give kodim01.png to kodim24.png")
    return list(kodak_curves().values())


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
