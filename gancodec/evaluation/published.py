"""Published rate–distortion curves on Kodak, read from published.json; each carries its source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gancodec.errors import PictureError
from gancodec.evaluation.results import Curve, Point
from gancodec.picture import read_size

KODAK_NAMES: Final = tuple(f"kodim{number:02}.png" for number in range(1, 25))
"""The 24 pictures of Kodak, by the names under which everybody has them."""


KODAK_SIDES_PX: Final = {768, 512}
PUBLISHED_NET: Final = "alex"
"""Of the published LPIPS."""
NAMES: Final = {"psnr": "psnr", "ms-ssim": "ms_ssim", "lpips": "lpips"}
"""Key of a metric -> its name in the file."""


def is_kodak(paths: Sequence[Path]) -> bool:
    """Whether these files are the 24 of Kodak by name and size, all of them and no other, in any order."""
    if sorted(path.name for path in paths) != list(KODAK_NAMES):
        return False
    try:
        return all(set(read_size(path.read_bytes())) == KODAK_SIDES_PX for path in paths)
    except (OSError, PictureError):
        return False


def without_lpips(curve: Curve) -> Curve:
    """For those who measure with another network."""
    points = (replace(each, values={k: v for k, v in each.values.items() if k != "lpips"}) for each in curve.points)
    return replace(curve, points=tuple(points))


def kodak_curves() -> dict[str, Curve]:
    """Curves by key (`vtm`, `elic`, `ms-illm`, CompressAI's models by name), each a mean over Kodak's 24 pictures.

    Not every one has all of PSNR, MS-SSIM and LPIPS, and generative codecs were measured by their authors.
    """
    table = json.loads(files("gancodec.evaluation").joinpath("published.json").read_text(encoding="utf-8"))
    return {row["key"]: _curve(row) for row in table["curves"]}


def _curve(row: Mapping[str, Any]) -> Curve:
    """LPIPS is AlexNet's, like that of `--features PATH:alex`."""
    columns = [(key, row[name]) for key, name in NAMES.items() if name in row]
    return Curve(
        codec=f"{row['name']} (published)",
        settings=row["settings"],
        source=row["source"],
        points=tuple(
            Point(quality=None, bpp=rate, values={key: values[place] for key, values in columns})
            for place, rate in enumerate(row["bpp"])
        ),
    )
