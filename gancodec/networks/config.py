"""What a model is made of: sizes, not weights.  Imports no torch, so that cards and tests may read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from gancodec.errors import ConfigError

LATENT_STRIDE: Final = 16
"""Pixels per latent position, each way."""
PIXEL_ALIGN: Final = 64
"""Pictures are padded to a multiple of this many pixels: the stride of the hyper-latent z."""
HYPER_CHANNELS_MAX: Final = 256
"""A channel's number is its table's, and that is a byte."""
CONTEXT_STEPS: Final = 4
"""Steps in which the latent of ``photo`` is coded: a quarter of it each."""
CENTRES: Final = 5
"""Values of a symbol of ``extreme``: −2 … 2."""
SYMBOL_CHANNELS: Final = (4, 8, 16)
"""Channels that ``extreme`` can have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoConfig:
    """Sizes of the ``photo`` networks (DESIGN §3).  Sizes that do not fit raise ConfigError."""

    codec: Literal["photo"] = "photo"
    channels_8: int = 128
    """Channels at 1/8 of the picture's size, encoder and generator."""
    channels_16: int = 224
    """Channels at 1/16 of the picture's size, encoder and generator."""
    latent_channels: int = 384
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
        _check_sizes(self)
        if self.latent_channels % CONTEXT_STEPS or self.latent_channels > 3 * LATENT_STRIDE**2:
            raise ConfigError(f"latent_channels is {self.latent_channels}", hint="use a multiple of 4, at most 768")
        if self.hyper_channels > HYPER_CHANNELS_MAX:
            raise ConfigError(f"hyper_channels is {self.hyper_channels}", hint=f"use at most {HYPER_CHANNELS_MAX}")
        if self.anchors < 2:
            raise ConfigError(f"anchors is {self.anchors}", hint="interpolation needs at least two")

    @property
    def receptive_px(self) -> int:
        """Pixels that reach into a tile's core from each side: the halo that makes tiled equal untiled."""
        return 8 * self.blocks_8 + LATENT_STRIDE * self.blocks_16


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtremeConfig:
    """Sizes of the ``extreme`` networks (DESIGN §2).  Sizes that do not fit raise ConfigError."""

    codec: Literal["extreme"] = "extreme"
    symbol_channels: int = 8
    """Channels C of the latent, each one of five values: at most C·log2(5) bits a latent position."""
    channels_8: int = 96
    """Channels at 1/8 of the picture's size, encoder and generator."""
    channels_16: int = 192
    """Channels at 1/16 of the picture's size, encoder and generator."""
    blocks_8: int = 3
    """Residual blocks at 1/8, a side."""
    blocks_16: int = 5
    """Residual blocks at 1/16, a side."""

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.symbol_channels not in SYMBOL_CHANNELS:
            choices = ", ".join(map(str, SYMBOL_CHANNELS))
            raise ConfigError(f"symbol_channels is {self.symbol_channels}", hint=f"use one of {choices}")

    @property
    def receptive_px(self) -> int:
        """Pixels that reach into a tile's core from each side: the halo that makes tiled equal untiled."""
        return 8 * self.blocks_8 + LATENT_STRIDE * self.blocks_16


ModelConfig = PhotoConfig | ExtremeConfig
"""The sizes of a codec of either family; ``codec`` tells which."""
FAMILIES: Final[dict[str, type[PhotoConfig] | type[ExtremeConfig]]] = {"photo": PhotoConfig, "extreme": ExtremeConfig}


def _check_sizes(config: ModelConfig) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == "codec":
            if FAMILIES.get(value) is not type(config):
                raise ConfigError(f"codec {value!r} has another configuration", hint=f"known: {', '.join(FAMILIES)}")
        elif not isinstance(value, int) or not 1 <= value <= 4096:
            raise ConfigError(f"{field.name} is {value!r}", hint="use a whole number from 1 to 4096")


def config_to_json(config: ModelConfig) -> str:
    """The configuration as JSON, keys sorted: what a weights file carries."""
    return json.dumps(asdict(config), sort_keys=True)


def config_from_json(text: str) -> ModelConfig:
    """The inverse of ``config_to_json``.  Raises ConfigError for anything but the known keys of a known codec."""
    try:
        values: Any = json.loads(text)
    except ValueError as exc:
        raise ConfigError("the model's configuration is not JSON") from exc
    if not isinstance(values, dict):
        raise ConfigError("the model's configuration is not an object of JSON")
    return config_from_values(values)


def config_from_values(values: dict[str, Any]) -> ModelConfig:
    """A configuration from its fields, ``codec`` among them.  Raises ConfigError as ``config_from_json``."""
    family = FAMILIES.get(values.get("codec", ""))
    if family is None:
        raise ConfigError(f"codec {values.get('codec')!r} is unknown", hint=f"known: {', '.join(FAMILIES)}")
    known = {field.name for field in fields(family)}
    if not values.keys() <= known:
        raise ConfigError(
            f"the model's configuration has unknown keys: {sorted(set(values) - known)[:5]}",
            hint="it may come from a later gancodec",
        )
    return family(**values)
