"""What a codec of the family ``photo`` consists of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gancodec.entropy import FrequencyTables
from gancodec.errors import CorruptError
from gancodec.networks.config import PhotoConfig
from gancodec.networks.encoder import Encoder, HyperEncoder
from gancodec.networks.generator import Generator
from gancodec.networks.integer import TABLES
from gancodec.networks.photo import Gains
from gancodec.networks.prior import Prior
from gancodec.weights.tensors import PRIOR, Tensors, fill_module, module_tensors, read_tables, table_tensors

# Half precision of a log gain of 5 would be 0.2 % of a grey level's amplitude.
EXACT = ("log_gain", "log_gain_AM", "medians")
REALISM = "synthesis.realism."
CURVATURE = "effort.curvature"
GUIDE = "effort.synthesis."


class Analysis(nn.Module):
    """Encoder and hyper-encoder: pictures to y₀ and z."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.hyper_encoder = HyperEncoder(config)


class Synthesis(nn.Module):
    """Inverse gains and generator: ŷ to pictures."""

    def __init__(self, config: PhotoConfig) -> None:
        super().__init__()
        self.gains = Gains(config.anchors, config.latent_channels)
        self.generator = Generator(config)

    def forward(self, latent_BMhw: Tensor, anchor_weights_BA: Tensor) -> Tensor:
        """ŷ [B, M, h, w] -> patches [B, 192, H/8, W/8]."""
        patches: Tensor = self.generator(latent_BMhw * self.gains(anchor_weights_BA), anchor_weights_BA)
        return patches


@dataclass(kw_only=True, slots=True, eq=False)
class PhotoWeights:
    """All that a codec consists of."""

    config: PhotoConfig
    analysis: Analysis
    prior: Prior
    fidelity: Synthesis
    realism: Synthesis | None
    latent_tables: FrequencyTables
    hyper_tables: FrequencyTables
    curvature_AM: Tensor | None = None
    """For encoders that take their time (effort/curvature.py); outside the model id."""
    guide: Synthesis | None = None
    """The generator trained together with the encoder, where ``fidelity`` is a later one; outside the model id."""

    @property
    def has_realism(self) -> bool:
        """Whether there is a realism generator beside the fidelity one."""
        return self.realism is not None

    @property
    def guiding(self) -> Synthesis:
        """The generator that encoders go by that take their time."""
        return self.fidelity if self.guide is None else self.guide

    def modules(self) -> dict[str, nn.Module]:
        """Networks by the prefix of their tensors' names."""
        named: dict[str, nn.Module] = {
            "analysis.": self.analysis,
            PRIOR: self.prior,
            "synthesis.fidelity.": self.fidelity,
        }
        if self.realism is not None:
            named[REALISM] = self.realism
        if self.guide is not None:
            named[GUIDE] = self.guide
        return named

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor as it is stored: floats in fp16, but gains and medians in float32; integers as they are."""
        stored: dict[str, Tensor] = {}
        for prefix, module in self.modules().items():
            stored |= module_tensors(module, prefix, exact=EXACT)
        if self.curvature_AM is not None:
            stored[CURVATURE] = self.curvature_AM.cpu().contiguous()
        return stored | table_tensors(self.latent_tables, "latent") | table_tensors(self.hyper_tables, "hyper")

    @classmethod
    def from_tensors(cls, config: PhotoConfig, tensors: Tensors, device: torch.device) -> PhotoWeights:
        """The inverse of ``tensors``.

        Raises KeyError, RuntimeError, CorruptError or WrongModelError if they do not fit.
        """
        has_realism, has_guide = (any(name.startswith(prefix) for name in tensors) for prefix in (REALISM, GUIDE))
        with torch.device("meta"):  # no random numbers are drawn for weights that are about to be replaced
            analysis, prior, fidelity = Analysis(config), Prior(config), Synthesis(config)
            realism = Synthesis(config) if has_realism else None
            guide = Synthesis(config) if has_guide else None
        weights = cls(
            config=config,
            analysis=analysis,
            prior=prior,
            fidelity=fidelity,
            realism=realism,
            latent_tables=read_tables(tensors, "latent", TABLES),
            hyper_tables=read_tables(tensors, "hyper", config.hyper_channels),
            curvature_AM=_read_curvature(config, tensors, device),
            guide=guide,
        )
        for prefix, module in weights.modules().items():
            fill_module(module, tensors, prefix, device)
        prior.index.check()
        if weights.hyper_tables.silent_T.any():
            raise CorruptError("a table of the hyper-latent is silent")
        return weights


def _read_curvature(config: PhotoConfig, tensors: Tensors, device: torch.device) -> Tensor | None:
    """None for codecs of a time before there was any.  Raises CorruptError."""
    if CURVATURE not in tensors:
        return None
    curvature_AM = tensors[CURVATURE].float().to(device)
    is_sound = bool((curvature_AM > 0).all()) and bool(curvature_AM.isfinite().all())
    if curvature_AM.shape != (config.anchors, config.latent_channels) or not is_sound:
        raise CorruptError(f"{CURVATURE} does not fit, or is not above 0")
    return curvature_AM
