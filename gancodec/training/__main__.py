"""``python -m gancodec.training``: train the ``photo`` codec's stage fidelity, and make a codec of a checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from gancodec.codec import choose_device
from gancodec.errors import ConfigError, GancodecError, WrongModelError
from gancodec.networks.config import ModelConfig
from gancodec.networks.photo import PhotoModel
from gancodec.training.data import load_photos
from gancodec.training.export import assemble, fit_tables
from gancodec.training.index_cost import report
from gancodec.training.manifest import write_manifest
from gancodec.training.trainer import TrainConfig, set_threads, train, validation_batches
from gancodec.weights import save_weights


def load_average(checkpoint: Path) -> tuple[PhotoModel, dict[str, float]]:
    """The averaged model of a checkpoint, and how far its run was.  Raises WrongModelError."""
    try:
        with safe_open(checkpoint, framework="pt") as file:
            metadata = file.metadata() or {}
            names = [name for name in file.keys() if name.startswith("average.")]
            tensors = {name.removeprefix("average."): file.get_tensor(name) for name in names}
        configuration = json.loads(metadata["configuration"])
        model = PhotoModel(ModelConfig(**configuration["model"]))
        model.load_state_dict(tensors)
        return model.requires_grad_(False).eval(), json.loads(metadata["progress"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise WrongModelError(f"{checkpoint} is not a training checkpoint: {exc}") from exc


def export(*, checkpoint: Path, data: Path, out: Path, name: str, licence: str, pictures: int, seed: int) -> bytes:
    """Round, fit the tables on ``pictures`` training photos at qualities spread over 0..100, and write the codec.

    Returns the model id.
    """
    model, progress = load_average(checkpoint)
    weights = assemble(model)
    photos = load_photos(data, 256).pictures
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(photos))[:pictures]
    qualities = [100 * (place + 0.5) / len(chosen) for place in range(len(chosen))]
    with torch.inference_mode():
        fit_tables(weights, [np.asarray(photos[number]) for number in chosen], qualities)
    out.parent.mkdir(parents=True, exist_ok=True)
    notes = {"training": json.dumps(progress)}
    return save_weights(out, weights, name=name, licence=licence, notes=notes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gancodec.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("train", help="train, or go on with --resume; Ctrl-C leaves a checkpoint")
    run.add_argument("--data", type=Path, required=True, help="folder of photos, searched at any depth")
    run.add_argument("--valid", type=Path, help="folder of photos to report an RD point on")
    run.add_argument("--out", type=Path, required=True, help="gets checkpoint.safetensors and log.jsonl")
    run.add_argument("--lambda-x", type=float, default=12.0, help="weight of the MSE; larger: better, larger files")
    run.add_argument("--lambda-r", type=float, default=1.0, help="factor on the price of bits")
    run.add_argument("--max-minutes", type=float, default=60.0)
    run.add_argument("--batch", type=int, default=4)
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--device", default="cpu")
    run.add_argument("--threads", type=int, help="CPU threads; all by default")
    run.add_argument("--resume", action="store_true")
    make = commands.add_parser("export", help="make a codec of a checkpoint's averaged weights")
    make.add_argument("checkpoint", type=Path)
    make.add_argument("--data", type=Path, required=True, help="training photos, to fit the tables to")
    make.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    make.add_argument("--name", default="photo")
    make.add_argument("--licence", default="Apache-2.0")
    make.add_argument("--pictures", type=int, default=160)
    make.add_argument("--seed", type=int, default=1)
    make.add_argument("--threads", type=int)
    cost = commands.add_parser("index-cost", help="measure what the integer index network costs")
    cost.add_argument("checkpoint", type=Path)
    cost.add_argument("--data", type=Path, required=True, help="training photos")
    cost.add_argument("--valid", type=Path, required=True, help="photos to measure on")
    cost.add_argument("--minutes", type=float, default=3.0, help="for each of the two networks trained on")
    cost.add_argument("--threads", type=int)
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
        set_threads(options.threads)
        if options.command == "export":
            if options.pictures < 1:
                raise ConfigError(f"--pictures is {options.pictures}", hint="use at least 1")
            identity = export(
                checkpoint=options.checkpoint, data=options.data, out=options.out, name=options.name,
                licence=options.licence, pictures=options.pictures, seed=options.seed,
            )  # fmt: skip
            print(f"{options.out}: model {identity.hex()}")
            return 0
        if options.command == "index-cost":
            model, _ = load_average(options.checkpoint)
            squares = [square for batch in validation_batches(options.valid, count=40) for square in batch]
            print(report(model, load_photos(options.data, 256), squares, minutes=options.minutes))
            return 0
        train(
            data=options.data, valid=options.valid, out=options.out, model_config=ModelConfig(),
            config=TrainConfig(
                lambda_x=options.lambda_x, lambda_r=options.lambda_r, max_minutes=options.max_minutes,
                batch=options.batch, seed=options.seed,
            ),
            device=choose_device(options.device), resume=options.resume,
        )  # fmt: skip
        return 0
    except GancodecError as exc:
        print(f"gancodec.training: error: {exc}", file=sys.stderr)
        return exc.exit_code


if __name__ == "__main__":
    sys.exit(main())
