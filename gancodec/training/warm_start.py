"""A codec's weights back to a model that can be trained: what a run may start from.

The weights of ``photo`` hold the index network in integers and z's density as tables; both are turned back, the first
to the very weights that the integers stand for.
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor

from gancodec.entropy import TOTAL
from gancodec.networks.blocks import QualityBias
from gancodec.networks.extreme import ExtremeModel
from gancodec.networks.factorised import FactorisedPrior
from gancodec.networks.index_twin import restore_index
from gancodec.networks.klt import log_gain_step
from gancodec.networks.photo import Gains, PhotoModel
from gancodec.networks.quality import LAMBDA_R_RATIO
from gancodec.training.growth import padded
from gancodec.weights import ExtremeWeights, PhotoWeights, Synthesis

DENSITY_STEPS = 300


@torch.no_grad()
def photo_model(weights: PhotoWeights) -> PhotoModel:
    """The trainable model of a ``photo`` codec: its fidelity half, as stage fidelity left it."""
    model = PhotoModel(weights.config)
    model.encoder.load_state_dict(weights.analysis.encoder.state_dict())
    model.hyper_encoder.load_state_dict(weights.analysis.hyper_encoder.state_dict())
    model.means.load_state_dict(weights.prior.means.state_dict())
    model.generator.load_state_dict(weights.guiding.generator.state_dict())
    model.generator_gains.load_state_dict(weights.guiding.gains.state_dict())
    model.gains.log_gain_AM.copy_(weights.prior.log_gain)
    restore_index(model.index, weights.prior.index)
    with torch.enable_grad():
        _fit_density(model.factorised, weights)
    return model


def extreme_model(weights: ExtremeWeights) -> ExtremeModel:
    """The trainable model of an ``extreme`` codec."""
    model = ExtremeModel(weights.config)
    model.encoder.load_state_dict(weights.analysis.state_dict())
    model.generator.load_state_dict(weights.generator.state_dict())
    return model


@torch.no_grad()
def carry_over(fidelity: Synthesis, start: Synthesis, start_realism: Synthesis, ratio: float) -> Synthesis:
    """fidelity + (start_realism − start): what a realism generator had learnt, on top of a generator trained further.

    All of one configuration, but that ``fidelity`` may have more latent channels, of which realism knows nothing yet.
    ``ratio`` as in ``shift_quality``, by which ``start`` was shifted before that training.
    """
    before, realism = deepcopy(start), deepcopy(start_realism)
    for generator in (before, realism):
        shift_quality(generator, ratio)
    carried = deepcopy(fidelity)
    for name, value in carried.state_dict().items():
        value.add_(padded(realism.state_dict()[name] - before.state_dict()[name], value.shape))
    return carried


@torch.no_grad()
def shift_quality(model: PhotoModel | Synthesis, ratio: float) -> None:
    """Make quality q mean what q + 100·log_400(ratio) meant: bits became cheaper by ``ratio``.

    A codec trained with lambda_X = 12 then starts at lambda_X = 12·ratio where training would take it anyway.  Beyond
    the last anchor biases go on in a straight line.  Gains go on as they begin in training, g ∝ sqrt(lambda), and the
    generator's against them, so that their product, a picture's contrast, stays: their own slopes there are those of
    channels that are muted at one anchor and not at the next.
    """
    for module in model.modules():
        if isinstance(module, QualityBias | Gains):
            [table] = module.parameters()
            anchors = len(table)
            shift = math.log(ratio) / math.log(LAMBDA_R_RATIO) * (anchors - 1)
            position = torch.arange(anchors, dtype=torch.float64, device=table.device) + shift
            inside = position.clamp(0, anchors - 1)
            low = inside.floor().clamp(0, anchors - 2).long()
            fraction = (inside - low)[:, None]
            slope = table.double()[low + 1] - table.double()[low]
            moved = table.double()[low] + slope * fraction
            if isinstance(module, Gains):
                is_encoders = isinstance(model, PhotoModel) and module is model.gains
                slope = torch.full_like(slope, log_gain_step(anchors) * (1 if is_encoders else -1))
            table.copy_(moved + slope * (position - inside)[:, None])


def _fit_density(density: FactorisedPrior, weights: PhotoWeights) -> None:
    """The mixture whose cross-entropy with z's tables is least; its medians become exactly those of the codec."""
    tables = weights.hyper_tables
    limit = int(tables.range_T.max())
    frequency = torch.zeros(len(tables.range_T), 2 * limit + 1)
    for channel, reach in enumerate(tables.range_T):
        entries = torch.from_numpy(tables.frequencies(channel)[:-1].copy()).float()
        frequency[channel, limit - int(reach) : limit + int(reach) + 1] = entries / TOTAL
    values = torch.arange(-limit, limit + 1) + weights.prior.medians.cpu()[:, None]
    optimiser = torch.optim.Adam(density.parameters(), lr=0.03)
    for _ in range(DENSITY_STEPS):
        bits: Tensor = (density.bits(values[None, :, :, None])[0, :, :, 0] * frequency).sum()
        optimiser.zero_grad()
        bits.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        density.centre_CK.add_((weights.prior.medians.cpu() - density.medians())[:, None])
