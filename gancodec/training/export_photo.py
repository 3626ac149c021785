"""A trained model to a codec: weights rounded to fp16, the index network to integers, tables fitted to real symbols.

Fitting the tables after training removes the model's mismatch for nothing (DESIGN §4.5): each of the 64 holds the
distribution of the symbols that were really coded with its number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancodec.effort.curvature import measure_curvature
from gancodec.entropy import FrequencyTables
from gancodec.networks.config import CONTEXT_STEPS, PhotoConfig
from gancodec.networks.factorised import FactorisedPrior
from gancodec.networks.integer import FRACTION, TABLES, table_scale
from gancodec.networks.photo import PhotoModel
from gancodec.networks.prior import Prior
from gancodec.pipeline import PhotoPipeline
from gancodec.training.stage import to_patches
from gancodec.training.warm_start import carry_over
from gancodec.weights import Analysis, PhotoWeights, Synthesis

RANGE_SIGMAS = 5
HYPER_RANGE = 24
SMOOTHING = 64.0
"""Symbols' worth of the model's own distribution, added to what was counted."""
SILENT_SHARE = 2e-4
"""Tables with a smaller share of symbols other than 0 are not coded: one costs more bits than it is worth."""


CURVATURE_SQUARE_PX = 256
CURVATURE_SQUARES = 8
COMPARED_QUALITIES = (10.0, 50.0, 90.0)


def export_photo(model: PhotoModel, pictures: Sequence[NDArray[np.uint8]]) -> PhotoWeights:
    """A codec of ``model``, its tables fitted to ``pictures`` (uint8 [H, W, 3]) at qualities spread over 0..100."""
    weights = assemble(model)
    with torch.inference_mode():
        fit_tables(weights, pictures, [100 * (place + 0.5) / len(pictures) for place in range(len(pictures))])
    weights.curvature_AM = _curvature(weights, pictures)
    return weights


def _curvature(weights: PhotoWeights, pictures: Sequence[NDArray[np.uint8]]) -> Tensor | None:
    """What encoders need that take their time; None where no picture is large enough: they will find it themselves."""
    side = CURVATURE_SQUARE_PX
    squares = [picture_HWC[:side, :side] for picture_HWC in pictures if min(picture_HWC.shape[:2]) >= side]
    if not squares:
        return None
    pipeline = PhotoPipeline(weights, next(weights.analysis.parameters()).device)
    with torch.no_grad():
        return measure_curvature(pipeline, squares[:CURVATURE_SQUARES])


def export_realism(base: PhotoWeights, realism: Synthesis) -> PhotoWeights:
    """``base`` with a realism generator: the same files, the same model id."""
    return replace(base, realism=_rounded(realism, base.config))


def export_synthesis(base: PhotoWeights, fidelity: Synthesis) -> PhotoWeights:
    """``base`` with another fidelity generator, and what realism had learnt on top of it: the same model id.

    Encoders keep the generator that they went by, to whose choices the new one was fitted.
    """
    realism = None
    if base.realism is not None:
        realism = _rounded(carry_over(fidelity, base.fidelity, base.realism, 1.0), base.config)
    return replace(base, fidelity=_rounded(fidelity, base.config), realism=realism, guide=base.guiding)


@torch.inference_mode()
def file_against_estimate(
    weights: PhotoWeights, model: PhotoModel, pictures: Sequence[NDArray[np.uint8]]
) -> tuple[float, float]:
    """Bits of real payloads, and the rate that training goes by, summed over ``pictures`` and COMPARED_QUALITIES.

    pictures: uint8 [H, W, 3], sides multiples of 64.
    """
    pipeline = PhotoPipeline(weights, torch.device("cpu"))
    device = next(model.parameters()).device
    file_bits = estimated = 0.0
    for picture in pictures:
        for quality in COMPARED_QUALITIES:
            file_bits += 8 * len(pipeline.encode(picture, round(quality * FRACTION)).payload)
            output = model(to_patches(picture[None], device), torch.tensor([quality], device=device))
            estimated += float(output.bits_y_B + output.bits_z_B)
    return file_bits, estimated


def assemble(model: PhotoModel) -> PhotoWeights:
    """The networks of ``model``, rounded as they will be stored, with the tables of logistic distributions."""
    config = model.config
    analysis, prior, fidelity = Analysis(config), Prior(config), Synthesis(config)
    _copy_half(analysis.encoder, model.encoder)
    _copy_half(analysis.hyper_encoder, model.hyper_encoder)
    _copy_half(fidelity.generator, model.generator)
    fidelity.gains.load_state_dict(model.generator_gains.state_dict())
    _copy_half(prior.means, model.means)
    log_gain = model.gains.log_gain_AM.detach().float().cpu()
    prior.log_gain.copy_(log_gain)
    prior.medians.copy_(model.factorised.medians().cpu())
    prior.index.load_float(deepcopy(model.index).cpu(), log_gain)
    for module in (analysis, prior, fidelity):
        module.requires_grad_(False).eval()
    return PhotoWeights(
        config=config,
        analysis=analysis,
        prior=prior,
        fidelity=fidelity,
        realism=None,
        latent_tables=FrequencyTables.from_weights([logistic_weights(table_scale(table)) for table in range(TABLES)]),
        hyper_tables=FrequencyTables.from_weights(list(hyper_weights(model.factorised, prior.medians))),
    )


def _rounded(synthesis: Synthesis, config: PhotoConfig) -> Synthesis:
    """As it will be stored, on the device that it was on."""
    rounded = Synthesis(config).requires_grad_(False).eval()
    _copy_half(rounded.generator, synthesis.generator)
    rounded.gains.load_state_dict({name: value.float().cpu() for name, value in synthesis.gains.state_dict().items()})
    return rounded.to(next(synthesis.parameters()).device)


def _copy_half(target: nn.Module, source: nn.Module) -> None:
    target.load_state_dict({name: value.half().float().cpu() for name, value in source.state_dict().items()})


def logistic_weights(scale: float) -> NDArray[np.float64]:
    """A zero-mean logistic of standard deviation σ on −R … R, R = ⌈5σ⌉, and its two tails as the escape."""
    limit = max(1, math.ceil(RANGE_SIGMAS * scale))
    slope = math.pi / (math.sqrt(3) * scale)
    half = np.arange(-limit, 1, dtype=np.float64)
    # S(a) − S(b) on the negative side only, where it does not cancel; the other side is its mirror.
    upper, lower = np.exp(-np.logaddexp(0, -(half + 0.5) * slope)), np.exp(-np.logaddexp(0, -(half - 0.5) * slope))
    left = upper - lower
    return np.concatenate([left, left[-2::-1], [max(2 * lower[0], 1e-12)]])


@torch.no_grad()
def hyper_weights(factorised: FactorisedPrior, medians_C: Tensor) -> NDArray[np.float64]:
    """[C, 2·R + 2] probabilities of z's symbols around its medians."""
    symbols = torch.arange(-HYPER_RANGE, HYPER_RANGE + 1, dtype=torch.float32)
    values = symbols + medians_C[:, None]
    p = torch.exp2(-deepcopy(factorised).cpu().bits(values[None, :, :, None]))[0, :, :, 0].double().numpy()
    return np.concatenate([p, np.full((len(p), 1), 1e-6)], 1)


def count_symbols(
    pipeline: PhotoPipeline, pictures: Sequence[NDArray[np.uint8]], qualities: Sequence[float]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """How often each entry of each table is really coded: for the latent's tables and the hyper-latent's."""
    weights = pipeline.weights
    counts = [
        [np.zeros(size) for size in tables.sizes_T] for tables in (weights.latent_tables, weights.hyper_tables)
    ]
    for picture, quality in zip(pictures, qualities, strict=True):
        quality_256 = round(quality * FRACTION)
        y, symbols_z = pipeline.analyse([picture], [quality_256])
        hyper = np.repeat(np.arange(symbols_z.shape[1]), symbols_z[0, 0].numel())
        _count(counts[1], weights.hyper_tables, hyper, symbols_z.cpu().numpy().ravel())
        state = weights.prior.begin(symbols_z, torch.tensor([quality_256], device=pipeline.device))
        for step in range(CONTEXT_STEPS):
            tables, mean = weights.prior.tables(state, step), weights.prior.mean(state, step)
            symbols = pipeline.round_step(y, step, mean, tables)
            _count(counts[0], weights.latent_tables, tables.cpu().numpy().ravel(), symbols.cpu().numpy().ravel())
            weights.prior.record(state, step, symbols, mean)
    return counts[0], counts[1]


def _count(
    counts: list[NDArray[np.float64]],
    tables: FrequencyTables,
    table_N: NDArray[np.int64 | np.uint8],
    symbol_N: NDArray[np.int16],
) -> None:
    for table in np.unique(table_N):
        limit = int(tables.range_T[table])
        symbols = symbol_N[table_N == table].astype(np.int64)
        entries = np.where(np.abs(symbols) > limit, 2 * limit + 1, symbols + limit)
        counts[table] += np.bincount(entries, minlength=2 * limit + 2)


def fit_tables(weights: PhotoWeights, pictures: Sequence[NDArray[np.uint8]], qualities: Sequence[float]) -> None:
    """Fit all tables of ``weights`` to pictures at given qualities, in place.

    In two rounds, since silencing tables changes what later steps see.  Latent tables stay symmetric in their
    weights: the sign of a residual is not known.
    """
    device = next(weights.analysis.parameters()).device
    hyper_model = [weights.hyper_tables.frequencies(channel) for channel in range(weights.config.hyper_channels)]
    for last in (False, True):
        latent, hyper = count_symbols(PhotoPipeline(weights, device), pictures, qualities)
        fitted = []
        silent = weights.latent_tables.silent_T.copy()
        for table, count in enumerate(latent):
            count[:-1] = (count[:-1] + count[-2::-1]) / 2
            total = count.sum()
            if not last:
                # One more symbol, from the model's distribution, judges the tables that never occur.
                middle = (len(count) - 2) // 2
                assumed = logistic_weights(table_scale(table))
                other = total - count[middle] + 1 - assumed[middle]
                silent[table] = other / (total + 1) < SILENT_SHARE
            fitted.append(count + SMOOTHING * logistic_weights(table_scale(table)))
        weights.latent_tables = FrequencyTables.from_weights(fitted, silent)
        weights.hyper_tables = FrequencyTables.from_weights(
            [count + SMOOTHING * prior / prior.sum() for count, prior in zip(hyper, hyper_model, strict=True)]
        )

