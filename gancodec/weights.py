"""Weights files: safetensors with the configuration inside, to networks and tables and back.  Nothing is unpickled.

Tensors whose names begin with ``prior.`` turn a payload into ŷ; the model id is the start of a SHA-256 over them, and
over nothing else, so that a better encoder or generator opens old files (DESIGN §4.8).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gancodec.entropy import FrequencyTables
from gancodec.errors import ConfigError, CorruptError, WrongModelError
from gancodec.networks.config import ModelConfig
from gancodec.networks.encoder import Encoder, HyperEncoder
from gancodec.networks.generator import Generator
from gancodec.networks.integer import TABLES
from gancodec.networks.photo import Gains
from gancodec.networks.prior import Prior
from gancodec.registry import ModelEntry

PRIOR = "prior."
TABLES_PREFIX = f"{PRIOR}tables."
STORED_TYPES = (torch.float16, torch.float32, torch.int8, torch.int32, torch.bool)


class Analysis(nn.Module):
    """Encoder and hyper-encoder: pictures to y₀ and z."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.hyper_encoder = HyperEncoder(config)


class Synthesis(nn.Module):
    """Inverse gains and generator: ŷ to pictures."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gains = Gains(config.anchors, config.latent_channels)
        self.generator = Generator(config)


@dataclass(kw_only=True, slots=True, eq=False)
class PhotoWeights:
    """All that a codec consists of."""

    config: ModelConfig
    analysis: Analysis
    prior: Prior
    fidelity: Synthesis
    realism: Synthesis | None
    latent_tables: FrequencyTables
    hyper_tables: FrequencyTables

    def modules(self) -> dict[str, nn.Module]:
        """Networks by the prefix of their tensors' names."""
        named: dict[str, nn.Module] = {
            "analysis.": self.analysis,
            PRIOR: self.prior,
            "synthesis.fidelity.": self.fidelity,
        }
        if self.realism is not None:
            named["synthesis.realism."] = self.realism
        return named

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor as it is stored: floats in fp16, but gains and medians in float32; integers as they are."""
        stored = {}
        for prefix, module in self.modules().items():
            for name, value in module.state_dict().items():
                # Half precision of a log gain of 5 would be 0.2 % of a grey level's amplitude.
                keep = not value.is_floating_point() or name.endswith(("log_gain", "log_gain_AM", "medians"))
                stored[prefix + name] = (value if keep else value.half()).detach().cpu().contiguous()
        for kind, tables in (("latent", self.latent_tables), ("hyper", self.hyper_tables)):
            stored[f"{TABLES_PREFIX}{kind}.range"] = torch.from_numpy(tables.range_T.copy())
            stored[f"{TABLES_PREFIX}{kind}.frequency"] = torch.from_numpy(tables.frequency_TN.copy())
            stored[f"{TABLES_PREFIX}{kind}.silent"] = torch.from_numpy(tables.silent_T.copy())
        return stored


def model_id(tensors: dict[str, Tensor]) -> bytes:
    """Four bytes: the start of SHA-256 over name, type, shape and little-endian data of each ``prior.`` tensor."""
    return tensors_digest(tensors, PRIOR)[:4]


def tensors_digest(tensors: dict[str, Tensor], prefix: str) -> bytes:
    """SHA-256 over name, type, shape and little-endian data of each tensor whose name begins with ``prefix``."""
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(prefix)):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.digest()


def save_weights(path: Path, weights: PhotoWeights, *, name: str, licence: str, notes: dict[str, str]) -> bytes:
    """Write a codec, atomically; ``notes`` go into the metadata.  Returns the model id."""
    tensors = weights.tensors()
    identity = model_id(tensors)
    metadata = notes | {
        "name": name,
        "licence": licence,
        "configuration": weights.config.to_json(),
        "model_id": identity.hex(),
        "has_realism": "true" if weights.realism is not None else "false",
        "tensors_sha256": tensors_digest(tensors, "").hex(),
    }
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(save(tensors, metadata))
    partial.replace(path)
    return identity


def load_weights(entry: ModelEntry, device: torch.device) -> PhotoWeights:
    """Read and check a codec.  Raises WrongModelError if tensors are missing, damaged, or not those of its model id."""
    try:
        with safe_open(entry.path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as exc:
        raise WrongModelError(f"{entry.path} cannot be read as weights: {exc}", hint="get the file again") from exc
    _check_types(entry, tensors)
    if model_id(tensors) != entry.model_id:
        raise WrongModelError(
            f"{entry.path} says model {entry.model_id.hex()}, its tensors are {model_id(tensors).hex()}",
            hint="the file is damaged; get it again",
        )
    if tensors_digest(tensors, "").hex() != metadata.get("tensors_sha256"):
        raise WrongModelError(f"{entry.path}: its tensors are not those that were written", hint="get the file again")
    try:
        config = ModelConfig.from_json(metadata["configuration"])
        weights = PhotoWeights(
            config=config,
            analysis=Analysis(config),
            prior=Prior(config),
            fidelity=Synthesis(config),
            realism=Synthesis(config) if any(name.startswith("synthesis.realism.") for name in tensors) else None,
            latent_tables=_tables(tensors, "latent", TABLES),
            hyper_tables=_tables(tensors, "hyper", config.hyper_channels),
        )
        for prefix, module in weights.modules().items():
            mine = {
                name.removeprefix(prefix): value
                for name, value in tensors.items()
                if name.startswith(prefix) and not name.startswith(TABLES_PREFIX)
            }
            module.load_state_dict(mine, strict=True)
            module.requires_grad_(False).eval()
            module.to(device)
            for parameter in module.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        weights.prior.index.check()
        if weights.hyper_tables.silent_T.any():
            raise CorruptError("a table of the hyper-latent is silent")
    except (KeyError, IndexError, TypeError, RuntimeError, ConfigError, CorruptError) as exc:
        raise WrongModelError(f"{entry.path} does not fit this gancodec: {exc}", hint="update gancodec") from exc
    return weights


def _check_types(entry: ModelEntry, tensors: dict[str, Tensor]) -> None:
    """load_state_dict would cast without a word; and a weight that is not a number gives a picture of none."""
    for name, value in tensors.items():
        if value.dtype not in STORED_TYPES or (name.startswith(TABLES_PREFIX) and value.is_floating_point()):
            raise WrongModelError(f"{entry.path}: {name} is {value.dtype}", hint="the file is not a codec of gancodec")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WrongModelError(f"{entry.path}: {name} holds values that are no numbers", hint="train it again")


def _tables(tensors: dict[str, Tensor], kind: str, count: int) -> FrequencyTables:
    prefix = f"{TABLES_PREFIX}{kind}."
    if len(tensors[prefix + "range"]) != count:
        raise CorruptError(f"{len(tensors[prefix + 'range'])} {kind} tables, not {count}")
    return FrequencyTables(
        tensors[prefix + "range"].numpy().astype(np.int32),
        tensors[prefix + "frequency"].numpy().astype(np.int32),
        tensors[prefix + "silent"].numpy().astype(np.bool_),
    )
