"""Published rate–distortion curves on Kodak, read from published.json; each carries its source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from gancodec.evaluation.results import Curve, Point

KODAK_NAMES: Final = tuple(f"kodim{number:02}.png" for number in range(1, 25))
"""The 24 pictures of Kodak, by the names under which everybody has them."""


NAMES: Final = {"psnr": "psnr", "ms-ssim": "ms_ssim", "lpips": "lpips"}
"""Key of a metric -> its name in the file."""


def is_kodak(names: Sequence[str]) -> bool:
    """Whether these file names are the 24 of Kodak, all of them and no other, in any order."""
    return sorted(names) == list(KODAK_NAMES)


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
