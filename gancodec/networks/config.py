"""What a model is made of: sizes, not weights.  Imports no torch, so that cards and tests may read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from gancodec.errors import ConfigError

LATENT_STRIDE: Final = 16
"""Pixels per latent position, each way."""
PIXEL_ALIGN: Final = 64
"""Pictures are padded to a multiple of this many pixels: the stride of the hyper-latent z."""
HYPER_CHANNELS_MAX: Final = 256
"""A channel's number is its table's, and that is a byte."""
CONTEXT_STEPS: Final = 4
"""Steps in which the latent is coded: a quarter of it each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Sizes of the ``photo`` networks (DESIGN §3).  Unknown keys and sizes that do not fit raise ConfigError."""

    codec: str = "photo"
    """Family of the architecture; ``photo`` is the only one so far."""
    channels_8: int = 128
    """Channels at 1/8 of the picture's size, encoder and generator."""
    channels_16: int = 224
    """Channels at 1/16 of the picture's size, encoder and generator."""
    latent_channels: int = 256
    """Channels M of the latent y; a multiple of 4, for the four groups of the context."""
    hyper_channels: int = 64
    """Channels of the hyper-latent z."""
    hyper_width: int = 128
    """Width of the hyper-encoder."""
    means_width: int = 192
    """Width of the float network that predicts means."""
    index_width: int = 128
    """Width of the integer network that chooses tables."""
    blocks_8: int = 3
    """Residual blocks at 1/8, a side."""
    blocks_16: int = 3
    """Residual blocks at 1/16, a side."""
    anchors: int = 8
    """Qualities, evenly spaced over 0..100, for which gains and biases are learned."""

    def __post_init__(self) -> None:
        if self.codec != "photo":
            raise ConfigError(f"codec {self.codec!r} is unknown", hint="this version knows 'photo'")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "codec" and (not isinstance(value, int) or not 1 <= value <= 4096):
                raise ConfigError(f"{field.name} is {value!r}", hint="use a whole number from 1 to 4096")
        if self.latent_channels % CONTEXT_STEPS or self.latent_channels > 3 * LATENT_STRIDE**2:
            raise ConfigError(f"latent_channels is {self.latent_channels}", hint="use a multiple of 4, at most 768")
        if self.hyper_channels > HYPER_CHANNELS_MAX:
            raise ConfigError(f"hyper_channels is {self.hyper_channels}", hint=f"use at most {HYPER_CHANNELS_MAX}")
        if self.anchors < 2:
            raise ConfigError(f"anchors is {self.anchors}", hint="interpolation needs at least two")

    def to_json(self) -> str:
        """The configuration as JSON, keys sorted: what a weights file carries."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """The inverse of ``to_json``.  Raises ConfigError for anything but a known set of keys."""
        try:
            values: Any = json.loads(text)
        except ValueError as exc:
            raise ConfigError("the model's configuration is not JSON") from exc
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict):
            raise ConfigError("the model's configuration is not an object of JSON")
        if not values.keys() <= known:
            raise ConfigError(
                f"the model's configuration has unknown keys: {sorted(set(values) - known)[:5]}",
                hint="it may come from a later gancodec",
            )
        return cls(**values)

    @property
    def receptive_px(self) -> int:
        """Pixels that reach into a tile's core from each side: the halo that makes tiled equal untiled."""
        return 8 * self.blocks_8 + LATENT_STRIDE * self.blocks_16
