"""Reading, checking and writing weights files of either family."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from gancodec.errors import ConfigError, CorruptError, WrongModelError
from gancodec.networks.config import PhotoConfig, config_from_json, config_to_json
from gancodec.registry import ModelEntry
from gancodec.weights.extreme import ExtremeWeights
from gancodec.weights.photo import PhotoWeights
from gancodec.weights.tensors import TABLES_PREFIX, Tensors, model_id, tensors_digest
from gancodec.writing import write_file

STORED_TYPES = (torch.float16, torch.float32, torch.int8, torch.int32, torch.bool)

Weights = PhotoWeights | ExtremeWeights
"""A codec of either family."""


def save_weights(path: Path, weights: Weights, *, name: str, licence: str, notes: dict[str, str]) -> bytes:
    """Write a codec, atomically; ``notes`` go into the metadata.  Returns the model id."""
    tensors = weights.tensors()
    identity = model_id(tensors)
    metadata = notes | {
        "name": name,
        "licence": licence,
        "configuration": config_to_json(weights.config),
        "model_id": identity.hex(),
        "has_realism": "true" if weights.has_realism else "false",
        "tensors_sha256": tensors_digest(tensors, "").hex(),
    }
    write_file(path, save(tensors, metadata))
    return identity


def load_weights(entry: ModelEntry, device: torch.device) -> Weights:
    """Read and check a codec.  Raises WrongModelError if tensors are missing, damaged, or not those of its model id.

    Draws no random numbers.
    """
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
        config = config_from_json(metadata["configuration"])
        if isinstance(config, PhotoConfig):
            return PhotoWeights.from_tensors(config, tensors, device)
        return ExtremeWeights.from_tensors(config, tensors, device)
    except (KeyError, IndexError, TypeError, RuntimeError, ConfigError, CorruptError) as exc:
        raise WrongModelError(f"{entry.path} does not fit this gancodec: {exc}", hint="update gancodec") from exc


def _check_types(entry: ModelEntry, tensors: Tensors) -> None:
    """No type that nobody wrote; and a weight that is not a number would give a picture of none."""
    for name, value in tensors.items():
        if value.dtype not in STORED_TYPES or (name.startswith(TABLES_PREFIX) and value.is_floating_point()):
            raise WrongModelError(f"{entry.path}: {name} is {value.dtype}", hint="the file is not a codec of gancodec")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WrongModelError(f"{entry.path}: {name} holds values that are no numbers", hint="train it again")
