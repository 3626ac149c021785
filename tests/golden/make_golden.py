"""Make golden files anew: ``python -m tests.golden.make_golden tiny`` or ``… tiny-extreme``, the codec whose files are
to be made; only when the format changes on purpose.

Old ones must decode for ever: a change here is a change of the format and belongs in CHANGELOG.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gancodec.codec import Codec
from gancodec.picture import Metadata, Picture, from_pillow, to_pillow
from tests.tiny import made_picture, make_tiny_extreme_weights, make_tiny_weights

HERE = Path(__file__).parent
METADATA = Metadata(icc=None, exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0", xmp=b"<x:xmpmeta/>")


def pictures() -> dict[str, tuple[Picture, float]]:
    """Each golden file's picture and quality."""
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (56, 1))

    def rgb(seed: int, height: int, width: int) -> Picture:
        return from_pillow(Image.fromarray(made_picture(seed, height, width)))

    return {
        "rgb-1x1": (rgb(1, 1, 1), 50),
        "rgb-33x70-q0": (rgb(2, 70, 33), 0),
        "rgb-200x136-q35": (rgb(3, 136, 200), 35.5),
        "rgb-128x128-q100": (rgb(4, 128, 128), 100),
        "noise-96x64-q90": (
            from_pillow(Image.fromarray(np.random.default_rng(5).integers(0, 256, (64, 96, 3), np.uint8))), 90,
        ),
        "grey-64x64-q60": (from_pillow(Image.fromarray(made_picture(6, 64, 64)[..., 0])), 60),
        "rgba-40x56-q50": (
            Picture(colour_HWC=made_picture(7, 56, 40), alpha_HW=alpha, metadata=METADATA), 50,
        ),
    }  # fmt: skip


def extreme_pictures() -> dict[str, tuple[Picture, None]]:
    """Each golden file's picture: one whose learned tables are shorter, and one with uniform tables."""
    ramp = np.linspace(40, 200, 200)[:, None] + np.linspace(0, 40, 136)
    smooth = np.stack([ramp, ramp + 10, ramp - 20], 2).astype(np.uint8)
    colours = np.random.default_rng(9).integers(0, 2, (12, 10, 3)) * 255
    blocks = colours.repeat(8, 0).repeat(8, 1)[:90, :70].astype(np.uint8)
    return {
        "extreme-136x200": (from_pillow(Image.fromarray(smooth)), None),
        "extreme-70x90-uniform": (from_pillow(Image.fromarray(blocks)), None),
    }


MAKERS = {"tiny": (make_tiny_weights, pictures), "tiny-extreme": (make_tiny_extreme_weights, extreme_pictures)}


def main(names: list[str]) -> None:
    for codec_name in names:
        make_weights, make_pictures = MAKERS[codec_name]
        make_weights(HERE / f"{codec_name}.safetensors")
        codec = Codec.load(HERE / f"{codec_name}.safetensors", "cpu")
        for name, (picture, quality) in make_pictures().items():
            data = codec.compress(picture, quality=quality)
            (HERE / f"{name}.gnc").write_bytes(data)
            to_pillow(codec.decompress_picture(data)).save(HERE / f"{name}.png")
            print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
