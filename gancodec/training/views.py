"""Views: what a feature network is shown of pictures while a generator learns from it.

A network with strides looks closer at some pixels than at others, and training crops begin where the generator's own
grid begins.  A generator that is always judged from there learns where its judge looks, and pleases it at those places
alone (docs/decisions/0008-random-views.md).  So every step judges another view, the same of original and
reconstruction, as E-LPIPS does for a metric (Kettunen, Härkönen and Lehtinen 2019, arXiv:1906.03973).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gancodec.networks.config import LATENT_STRIDE


class View(NamedTuple):
    """A way to look at pictures."""

    top_px: int
    """Rows left out above, 0 … 15; as many are below as make 16 together."""
    left_px: int
    """Columns left out on the left, likewise."""
    flipped: tuple[int, ...] = ()
    """Axes, of 2 and 3."""
    transposed: bool = False
    halved: bool = False
    """Whether seen at half the size, by means of 2×2 pixels."""

    def __call__(self, pictures_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, h, w], h and w being H − 16 and W − 16, or W − 16 and H − 16, or half of that."""
        height, width = (side - LATENT_STRIDE for side in pictures_BCHW.shape[2:])
        seen = pictures_BCHW[:, :, self.top_px : self.top_px + height, self.left_px : self.left_px + width]
        if self.halved:
            seen = F.avg_pool2d(seen, 2)
        if self.flipped:
            seen = seen.flip(self.flipped)
        if self.transposed:
            seen = seen.transpose(2, 3)
        return seen.contiguous(memory_format=torch.channels_last)


OFF_GRID = View(top_px=5, left_px=11)
"""A view to measure by: fixed, and neither the generator's grid nor that of a network of stride 2."""


def random_view(random: torch.Generator, *, side_px: int, least_px: int) -> View:
    """One of 4,096 views, each as likely as the others; one of 2,048 where halves would be too small.

    side_px: of the square crops to look at.  least_px: no view is smaller.
    """
    top, left, bits = torch.randint(LATENT_STRIDE, (3,), generator=random, device=random.device).tolist()
    flipped = tuple(axis for axis, bit in ((2, 1), (3, 2)) if bits & bit)
    halved = bool(bits & 8) and (side_px - LATENT_STRIDE) // 2 >= least_px
    return View(top, left, flipped, transposed=bool(bits & 4), halved=halved)
