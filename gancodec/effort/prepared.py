"""What the refinement of every picture needs of a codec: what symbols cost, and its networks in a hurry.

These compute their products in half precision where the processor can.  They are a means: what comes of them is coded
with the exact networks, and measured.  They are copies, for they must never be what a decoder goes by; their weights
are the very same tensors.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import nn

from gancodec.effort.costs import SymbolCosts
from gancodec.networks.half import halves_well, use_half_products
from gancodec.weights import PhotoWeights, Synthesis

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Prepared:
    """Of one codec on one device."""

    def __init__(self, weights: PhotoWeights, device: torch.device) -> None:
        self.latent_costs = SymbolCosts(weights.latent_tables, device)
        self.hyper_costs = SymbolCosts(weights.hyper_tables, device)
        self._half = halves_well(device)
        self.encoder = self.hurried(weights.analysis.encoder)
        self.means = self.hurried(weights.prior.means)
        self.rough_prior = self.hurried(weights.prior, everywhere=True)
        self._synthesis: tuple[Synthesis, Synthesis] | None = None

    def hurried(self, network: NetworkT, *, everywhere: bool = False) -> NetworkT:
        """everywhere: whether what stands for pixels or latents is rounded as well."""
        kept: dict[int, Any] = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
        made = deepcopy(network, kept)
        use_half_products(made, use=self._half, everywhere=everywhere)
        return made

    def synthesis(self, exact: Synthesis) -> Synthesis:
        """Pixels may be off by a quarter of an 8-bit level: noise that goes into both sides of a comparison."""
        if self._synthesis is None or self._synthesis[0] is not exact:
            self._synthesis = (exact, self.hurried(exact, everywhere=True))
        return self._synthesis[1]
