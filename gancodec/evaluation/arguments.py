"""The command line of `python -m gancodec.evaluation.sweep`: options in, `run_sweep`, reports out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gancodec.errors import ConfigError, GancodecError
from gancodec.evaluation.classical import CLASSICAL, classical
from gancodec.evaluation.coders import Coder, GancodecCoder
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
    options.add_argument("--codec", default="photo", help="name of a codec, or path of its weights")
    options.add_argument("--qualities", type=_numbers, default="0,15,30,45,60,75,90,100", help="of the codec, 0..100")
    options.add_argument("--realism", type=float, default=0.0, help="0 (faithful) to 1 (realistic), when decoding")
    options.add_argument("--against", type=_names, default="jpeg,webp,avif", help=f"any of {', '.join(CLASSICAL)}")
    options.add_argument("--reference", choices=["kodak"], help="compare with published curves on these pictures too")
    options.add_argument("--device", default="auto", help="where the codec runs: auto, cpu, cuda")
    options.add_argument("--json", type=Path, metavar="F", help="write every row, and the summary")
    options.add_argument("--markdown", type=Path, metavar="F", help="write the tables")
    options.add_argument("--plot", type=Path, metavar="F.png", help="draw the curves")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweep and print its tables; return the exit code (see gancodec/errors.py, and SOME_SKIPPED)."""
    options = parser().parse_args(argv)
    try:
        return _run(options)
    except GancodecError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code


def _run(options: argparse.Namespace) -> int:
    # Everything that can be wrong with the options is checked before the first of many minutes.
    for output in (options.json, options.markdown, options.plot):
        if output is not None and not output.parent.is_dir():
            raise ConfigError(f"{output.parent} is no folder", hint="make it first")
    references = _references(options.reference, options.inputs)
    against = [classical(name) for name in options.against]

    from gancodec.codec import Codec

    codec = Codec.load(options.codec, device=options.device)
    coders: list[Coder] = [GancodecCoder(codec, qualities=options.qualities, realism=options.realism), *against]
    result = run_sweep(
        options.inputs, coders, references=references, progress=lambda line: print(line, file=sys.stderr, flush=True)
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
