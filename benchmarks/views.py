"""How far a generator learnt where its judge looks, and how far what it invents repeats as a grid.

    python benchmarks/views.py PHOTOS --codec photo,other --features FILE:squeeze,FILE:alex

The middle of every picture, at most 640 pixels a side, is encoded at a quality and decoded at realism 0 and 1.
Columns: PSNR in dB; for each feature network the mean distance as the pictures lie on the generator's grid, and beside
it, 5 rows and 11 columns off; and the grid error (gancodec/training/losses.py), about 0 where nothing repeats.  A
network that the generator was not trained on sees the same gain from realism 0 to 1 in both places.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gancodec.codec import Codec
from gancodec.errors import ConfigError, GancodecError
from gancodec.evaluation.metrics import psnr
from gancodec.evaluation.sweep import load_rgb, named_pictures
from gancodec.features import load_features
from gancodec.networks.features import FeatureNetwork
from gancodec.training.losses import grid_error
from gancodec.training.stage import to_patches, to_pictures
from gancodec.training.views import OFF_GRID, View

SIDE_PX, WINDOW_PX = 640, 64
ON_GRID = View(top_px=0, left_px=0)


def main() -> None:
    """Print a row for each codec and realism."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path, help="pictures, or folders of pictures")
    parser.add_argument("--codec", default="photo", help="names or paths, with commas between")
    parser.add_argument("--features", required=True, help="feature networks, with commas between")
    parser.add_argument("--quality", type=float, help="of codecs with more than one rate; else their default")
    given = parser.parse_args()
    networks = [load_features(text, "cpu") for text in given.features.split(",")]
    paths = list(named_pictures(given.inputs).values())
    pictures = [middle(load_rgb(path)) for path in paths]
    for path, picture in zip(paths, pictures, strict=True):
        if not min(picture.size):
            raise ConfigError(f"{path.name} is too small", hint=f"every side must have {WINDOW_PX} pixels at least")
    print("codec, realism".ljust(32), "PSNR", *(f"{network.name:>8} {'beside':>8}" for network in networks), "    grid")
    for name in given.codec.split(","):
        codec = Codec.load(name)
        quality = given.quality if codec.entry.has_quality else None
        files = [codec.compress(picture, quality=quality) for picture in pictures]
        for realism in (0.0, 1.0) if codec.entry.has_realism else (None,):
            made = [codec.decompress(data, realism=realism) for data in files]
            rows = [measured(x, x_hat, networks) for x, x_hat in zip(pictures, made, strict=True)]
            psnr_db, *distances, grid = np.mean(rows, axis=0)
            label = name[-26:] if realism is None else f"{name[-26:]}, {realism:g}"
            numbers = [f"{psnr_db:5.2f}", *(f"{each:8.4f}" for each in (*distances, grid))]
            print(label.ljust(31), *numbers, flush=True)


def middle(picture: Image.Image) -> Image.Image:
    """At most 640 pixels a side, multiples of 64."""
    width, height = (min(side, SIDE_PX) // WINDOW_PX * WINDOW_PX for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


@torch.inference_mode()
def measured(x: Image.Image, x_hat: Image.Image, networks: list[FeatureNetwork]) -> list[float]:
    """PSNR; distance on and beside the grid for each network; grid error."""
    pixels_BHWC = np.stack([np.asarray(x), np.asarray(x_hat)])
    pictures = to_pictures(to_patches(pixels_BHWC, torch.device("cpu")))
    real, fake = pictures[:1], pictures[1:]
    row = [psnr(*pixels_BHWC)]
    for network in networks:
        row += [network.distance(view(fake), view(real)).item() for view in (ON_GRID, OFF_GRID)]
    return [*row, grid_error(fake, real).item()]


if __name__ == "__main__":
    try:
        main()
    except GancodecError as exc:
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(exc.exit_code)
