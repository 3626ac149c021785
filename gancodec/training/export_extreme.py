"""A trained ``extreme`` model to a codec: networks rounded to fp16, tables fitted to the symbols of real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray

from gancodec.entropy import FrequencyTables, table_count
from gancodec.networks.config import CENTRES
from gancodec.networks.extreme import SYMBOL_MAX, ExtremeModel
from gancodec.pipeline import ExtremePipeline
from gancodec.weights import ExtremeWeights

ESCAPE = 1e-6
"""The weight of a table's escape, which is never written: too little for more than the frequency 1."""
SMOOTHING_CHANNEL = 16.0
"""Symbols' worth of the channel's overall distribution, added to what was counted for a table."""
SMOOTHING_UNIFORM = 5.0
"""Symbols' worth of equally probable values, added to the channel's: no symbol is impossible."""


def assemble_extreme(model: ExtremeModel) -> ExtremeWeights:
    """The networks of ``model``, rounded as they will be stored, with tables of equally probable values."""
    analysis, generator = deepcopy(model.encoder).cpu().float(), deepcopy(model.generator).cpu().float()
    for module in (analysis, generator):
        module.requires_grad_(False).eval()
        module.load_state_dict({name: value.half().float() for name, value in module.state_dict().items()})
    uniform = np.append(np.ones(CENTRES), ESCAPE)
    return ExtremeWeights(
        config=model.config,
        analysis=analysis,
        generator=generator,
        tables=FrequencyTables.from_weights([uniform] * table_count(model.config.symbol_channels)),
    )


def count_symbols(pipeline: ExtremePipeline, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """How often each table codes each of −2 … 2: [12·C, 5]."""
    tables = table_count(pipeline.weights.config.symbol_channels)
    counts = np.zeros((tables, CENTRES), np.int64)
    for picture in pictures:
        (symbols,) = pipeline.quantise([picture], [0])
        for group in symbols.groups:
            entries = group.tables_N.astype(np.int64) * CENTRES + (group.symbols_N + SYMBOL_MAX)
            counts += np.bincount(entries, minlength=tables * CENTRES).reshape(tables, CENTRES)
    return counts


def file_against_estimate(weights: ExtremeWeights, pictures: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Bits of real payloads, and their ideal length under the tables, summed over ``pictures`` (uint8 [H, W, 3])."""
    pipeline = ExtremePipeline(weights, torch.device("cpu"))
    coded = [pipeline.encode(picture, 0, measure=True) for picture in pictures]
    return sum(8.0 * len(each.payload) for each in coded), sum(each.ideal_bits or 0.0 for each in coded)


def fit_extreme_tables(weights: ExtremeWeights, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Fit all tables of ``weights`` to pictures, uint8 [H, W, 3], in place.

    A table that was seen little leans on the distribution of its channel, and that one on equal probabilities.
    """
    channels = weights.config.symbol_channels
    device = next(weights.analysis.parameters()).device
    counts = count_symbols(ExtremePipeline(weights, device), pictures)
    first, second = counts[:channels], counts[channels:].reshape(channels, -1, CENTRES)
    overall = first + second.sum(1) + SMOOTHING_UNIFORM / CENTRES
    overall = overall / overall.sum(1, keepdims=True)
    fitted = np.concatenate(
        [
            first + SMOOTHING_CHANNEL * overall,
            (second + SMOOTHING_CHANNEL * overall[:, None]).reshape(-1, CENTRES),
        ]
    )
    weights.tables = FrequencyTables.from_weights([np.append(row, ESCAPE) for row in fitted])
