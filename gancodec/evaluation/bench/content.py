"""A picture that costs a codec about what a photo does: made, so that nobody needs to download one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COARSEST_PX = 512
SHAPES = 60
"""Overlapping flat shapes: the edges."""
CONTRAST = 14.0
"""Standard deviation of the coarsest noise, in grey levels."""
FALL = 0.2
"""Octaves get weaker by a factor of 2^-FALL: amplitudes fall as 1/f^1.2, and JPEG spends on it what Kodak costs it."""


def photo_like(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise with about a 1/f amplitude spectrum under shapes of light and shade: uint8 RGB [height, width, 3].

    The same for the same arguments.  1/f (Field 1987) comes as octaves of noise, each on a grid twice as fine as the
    last; equal contrast in all would be 1/f exactly.  It is mostly grey with a little colour, as photos are.
    """
    rng = np.random.default_rng(seed)
    total_HWC = np.full((height, width, 3), 118, np.float32)
    step_px = COARSEST_PX
    while step_px >= 1:
        shape = (height // step_px + 2, width // step_px + 2)
        deviation = CONTRAST * (step_px / COARSEST_PX) ** FALL
        grey, colour = rng.normal(0, deviation, (*shape, 1)), rng.normal(0, deviation / 4, (*shape, 3))
        octave = (grey + colour).astype(np.float32)
        for channel in range(3):
            plane = Image.fromarray(octave[..., channel])
            total_HWC[..., channel] += np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC))
        step_px //= 2
    return (total_HWC * _shade(width, height, rng)[..., None]).clip(0, 255).astype(np.uint8)


def _shade(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Factors from 0.3 to 1.6, [height, width], constant within each of some discs and quadrangles."""
    image = Image.new("L", (width, height), 128)
    draw = ImageDraw.Draw(image)
    for index in range(SHAPES):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), min(width, height) * 0.3 / (1 + 0.1 * index)
        fill = int(rng.uniform(40, 205))
        if index % 2:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        else:
            corners = np.stack([x + rng.normal(0, radius, 4), y + rng.normal(0, radius, 4)], axis=1)
            draw.polygon([(float(a), float(b)) for a, b in corners], fill=fill)
    return np.asarray(image, dtype=np.float32) / 128
