"""How much a codec computes: ``python -m gancodec.evaluation.complexity [CODEC]``.

Multiply–accumulates of matrix products and convolutions, counted by torch while a picture goes through.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gancodec.defaults import DEFAULT_CODEC
from gancodec.errors import GancodecError

SIDE_PX = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Complexity:
    """Per pixel of a 512×512 picture, whose size needs no padding and no tiles."""

    encode_kmac: float
    """At effort 0: further efforts go through the same networks again, as often as the picture needs."""
    decode_kmac: float
    parameters: int
    """Of all networks, both sides, realism's and effort's included; integers of the index network count as parameters,
    look-up tables do not."""


def complexity(codec_name: str = DEFAULT_CODEC) -> Complexity:
    """Count for a codec by name or path.  Raises ModelError if it cannot be loaded."""
    from torch.utils.flop_counter import FlopCounterMode

    from gancodec.codec import Codec
    from gancodec.picture import Metadata, Picture

    codec = Codec.load(codec_name, "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    picture = Picture(colour_HWC=pixels, alpha_HW=None, metadata=Metadata())
    with FlopCounterMode(display=False) as encoding:
        data = codec.compress(picture, effort=0)
    with FlopCounterMode(display=False) as decoding:
        codec.decompress_picture(data)
    parameters = 0
    for network in codec.pipeline.weights.modules().values():
        parameters += sum(parameter.numel() for parameter in network.parameters())
        parameters += sum(buffer.numel() for name, buffer in network.named_buffers() if name.endswith(".weight"))
    pixel_flops = 2 * SIDE_PX**2  # a multiply–accumulate is two operations
    return Complexity(
        encode_kmac=encoding.get_total_flops() / pixel_flops / 1000,
        decode_kmac=decoding.get_total_flops() / pixel_flops / 1000,
        parameters=parameters,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the counts of one codec."""
    names = list(sys.argv[1:] if argv is None else argv) or [DEFAULT_CODEC]
    try:
        for name in names:
            found = complexity(name)
            print(
                f"{name}: encode {found.encode_kmac:.1f}, decode {found.decode_kmac:.1f} kMAC/pixel, "
                f"{found.parameters / 1e6:.2f} million parameters"
            )
    except GancodecError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
