"""Published rate–distortion curves on Kodak, read from published.json; each carries its source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from gancodec.evaluation.results import Curve, Point

KODAK_NAMES: Final = tuple(f"kodim{number:02}.png" for number in range(1, 25))
"""The 24 pictures of Kodak, by the names under which everybody has them."""


def is_kodak(names: Sequence[str]) -> bool:
    """Whether these file names are the 24 of Kodak, all of them and no other, in any order."""
    return sorted(names) == list(KODAK_NAMES)


def kodak_curves() -> dict[str, Curve]:
    """Curves by key (`vtm`, `bpg`, `av1`, and CompressAI's models by name), each a mean over Kodak's 24 pictures."""
    table = json.loads(files("gancodec.evaluation").joinpath("published.json").read_text(encoding="utf-8"))
    return {
        row["key"]: Curve(
            codec=f"{row['name']} (published)",
            settings=row["settings"],
            source=row["source"],
            points=tuple(
                Point(quality=None, bpp=rate, psnr=psnr, ms_ssim=similarity)
                for rate, psnr, similarity in zip(row["bpp"], row["psnr"], row["ms_ssim"], strict=True)
            ),
        )
        for row in table["curves"]
    }
