"""``python -m gancodec.training``: what only gancodec's own developers need; users train with ``gancodec train``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from gancodec.errors import ConfigError, GancodecError
from gancodec.registry import resolve
from gancodec.training.data import central_squares, load_photos
from gancodec.training.index_cost import report
from gancodec.training.manifest import write_manifest
from gancodec.training.warm_start import photo_model
from gancodec.training.world import fast_arithmetic
from gancodec.weights import PhotoWeights, load_weights


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gancodec.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    cost = commands.add_parser("index-cost", help="measure what the integer index network costs")
    cost.add_argument("codec", help="name or path of a codec of photo")
    cost.add_argument("--data", type=Path, required=True, help="training photos")
    cost.add_argument("--valid", type=Path, required=True, help="photos to measure on")
    cost.add_argument("--minutes", type=float, default=3.0, help="for each of the two networks trained on")
    cost.add_argument("--threads", type=int, help="CPU threads; all by default")
    listing = commands.add_parser("manifest", help="write manifest.json of a folder of codecs")
    listing.add_argument("folder", type=Path)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "manifest":
            write_manifest(options.folder)
            return 0
        device = torch.device("cpu")
        weights = load_weights(resolve(options.codec), device)
        if not isinstance(weights, PhotoWeights):
            raise ConfigError(f"{options.codec} is not a codec of photo", hint="only photo has an index network")
        squares = central_squares(load_photos(options.valid, 384).pictures, count=40, side=384)
        pictures = [square for batch in squares for square in batch]
        with fast_arithmetic(device, options.threads):
            print(report(photo_model(weights), load_photos(options.data, 256), pictures, minutes=options.minutes))
        return 0
    except GancodecError as exc:
        print(f"gancodec.training: error: {exc}", file=sys.stderr)
        return exc.exit_code


if __name__ == "__main__":
    sys.exit(main())
