"""What a codec of the family ``extreme`` consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from gancodec.entropy import FrequencyTables, table_count
from gancodec.errors import CorruptError
from gancodec.networks.config import ExtremeConfig
from gancodec.networks.extreme import SYMBOL_MAX, ExtremeEncoder, ExtremeGenerator
from gancodec.weights.tensors import (
    PRIOR,
    Tensors,
    fill_module,
    module_tensors,
    read_tables,
    table_tensors,
    tensors_digest,
)

ANALYSIS: Final = "analysis."
SYNTHESIS: Final = "synthesis."
ENCODER_DIGEST: Final = f"{PRIOR}encoder_digest"
DIGEST_BYTES: Final = 16


@dataclass(kw_only=True, slots=True, eq=False)
class ExtremeWeights:
    """All that a codec consists of."""

    config: ExtremeConfig
    analysis: ExtremeEncoder
    generator: ExtremeGenerator
    tables: FrequencyTables
    """12·C tables of the symbols −2 … 2, numbered as ``entropy.table_numbers`` does."""
    encoder_digest: bytes = b""
    """16 bytes that name the encoder with which the codec was first stored; if empty, that of ``analysis``.

    Symbols mean what an encoder made them, so this is in the model id.  Whoever replaces the generator keeps it, and
    old files open.
    """

    def __post_init__(self) -> None:
        if not self.encoder_digest:
            self.encoder_digest = tensors_digest(module_tensors(self.analysis, ANALYSIS), ANALYSIS)[:DIGEST_BYTES]

    @property
    def has_realism(self) -> bool:
        """Never: there is one generator, and it invents what it must."""
        return False

    def modules(self) -> dict[str, nn.Module]:
        """Networks by the prefix of their tensors' names."""
        return {ANALYSIS: self.analysis, SYNTHESIS: self.generator}

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor as it is stored: floats in fp16, integers as they are."""
        stored: dict[str, Tensor] = {}
        for prefix, module in self.modules().items():
            stored |= module_tensors(module, prefix)
        digest = np.frombuffer(self.encoder_digest, "<i4").astype(np.int32)
        return stored | table_tensors(self.tables, "latent") | {ENCODER_DIGEST: torch.from_numpy(digest)}

    @classmethod
    def from_tensors(cls, config: ExtremeConfig, tensors: Tensors, device: torch.device) -> ExtremeWeights:
        """The inverse of ``tensors``.  Raises KeyError, RuntimeError or CorruptError if they do not fit."""
        digest = tensors[ENCODER_DIGEST]
        if digest.dtype != torch.int32 or tuple(digest.shape) != (DIGEST_BYTES // 4,):
            raise CorruptError(f"{ENCODER_DIGEST} is {digest.dtype} {tuple(digest.shape)}")
        tables = read_tables(tensors, "latent", table_count(config.symbol_channels))
        if (tables.range_T != SYMBOL_MAX).any() or tables.silent_T.any():
            raise CorruptError(f"a table is silent, or of another range than {SYMBOL_MAX}")
        with torch.device("meta"):  # no random numbers are drawn for weights that are about to be replaced
            analysis, generator = ExtremeEncoder(config), ExtremeGenerator(config)
        fill_module(analysis, tensors, ANALYSIS, device)
        fill_module(generator, tensors, SYNTHESIS, device)
        return cls(
            config=config,
            analysis=analysis,
            generator=generator,
            tables=tables,
            encoder_digest=digest.numpy().astype("<i4").tobytes(),
        )
