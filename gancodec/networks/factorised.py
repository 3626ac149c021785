"""The learned prior of the hyper-latent z: independent channels, no side information."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MIXTURE = 3


class FactorisedPrior(nn.Module):
    """Per channel a mixture of three logistic densities, integrated over unit bins (Ballé et al. 2018,
    arXiv:1802.01436, §6.1 uses a small network in the mixture's place; the tables are fitted afterwards either way).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight_CK = nn.Parameter(torch.zeros(channels, MIXTURE))
        self.centre_CK = nn.Parameter(torch.tensor([-1.0, 0.0, 1.0]).repeat(channels, 1))
        self.log_scale_CK = nn.Parameter(torch.zeros(channels, MIXTURE))

    def medians(self) -> Tensor:
        """[C] the values that become the symbol 0: the mixture's means, where the mass of a unimodal one is."""
        return (torch.softmax(self.weight_CK, 1) * self.centre_CK).sum(1).detach()

    def bits(self, z_BCuv: Tensor) -> Tensor:
        """−log2 p of each value, same shape: R = −log2 (F(z + ½) − F(z − ½))."""
        value = z_BCuv[..., None]
        view = (1, -1, 1, 1, MIXTURE)
        centre = self.centre_CK.view(view)
        scale = self.log_scale_CK.clamp(-4, 4).exp().view(view)
        mass = torch.sigmoid((value + 0.5 - centre) / scale) - torch.sigmoid((value - 0.5 - centre) / scale)
        p = (mass * torch.softmax(self.weight_CK, 1).view(view)).sum(-1)
        return -torch.log2(p.clamp(min=1e-9))
