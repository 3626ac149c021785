"""Whole files against the ideal length of their symbols: ``python -m gancodec.evaluation.coding FOLDER_OR_FILES…``.

The ideal is −Σ log2 p under the codec's tables; what a file has above it is the range coder's and the container's.
Both are of plain rounding: that is what ``encode_pixels`` tells the ideal of, and overheads hardly depend on effort.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gancodec.defaults import DEFAULT_CODEC
from gancodec.errors import GancodecError
from gancodec.evaluation.sweep import find_pictures
from gancodec.picture import read_picture

QUALITIES = (0, 20, 40, 60, 80, 100)


def main(argv: Sequence[str] | None = None) -> int:
    """Print, for each quality that the codec has, the mean overhead, a file's worst excess and the share of z."""
    parser = argparse.ArgumentParser(prog="python -m gancodec.evaluation.coding", description=__doc__)
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--codec", default=DEFAULT_CODEC)
    options = parser.parse_args(argv)
    try:
        from gancodec.codec import Codec

        codec = Codec.load(options.codec, "cpu")
        pictures = [read_picture(path.read_bytes(), name=path.name) for path in find_pictures(options.inputs)]
        print("quality  file above payload  worst file above ideal + container  z in the payload")
        for quality in QUALITIES if codec.pipeline.has_quality else (None,):
            container_bytes = hyper = total = 0.0
            worst = 0.0
            for picture in pictures:
                coded = codec.encode_pixels(picture.colour_HWC, (quality or 0) * 256, measure=True)
                assert coded.ideal_bits is not None and coded.hyper_bits is not None
                above = len(codec.compress(picture, quality=quality, effort=0)) - len(coded.payload)
                container_bytes += above
                worst = max(worst, (len(coded.payload) + above) / (coded.ideal_bits / 8 + above) - 1)
                hyper += coded.hyper_bits
                total += coded.ideal_bits
            mean = container_bytes / len(pictures)
            label = "–" if quality is None else str(quality)
            print(f"{label:>7}  {mean:12.1f} bytes  {100 * worst:+32.2f} %  {100 * hyper / total:14.1f} %")
    except (GancodecError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code if isinstance(exc, GancodecError) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
