"""Tensors of a weights file by name: rounding, digests, and the way into networks and tables.

Tensors whose names begin with ``prior.`` turn a payload into what the generator sees; the model id is the start of a
SHA-256 over them, and over nothing else, so that a better generator opens old files (DESIGN §4.8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from gancodec.entropy import FrequencyTables
from gancodec.errors import CorruptError

PRIOR: Final = "prior."
TABLES_PREFIX: Final = f"{PRIOR}tables."

Tensors = Mapping[str, Tensor]


def model_id(tensors: Tensors) -> bytes:
    """Four bytes: the start of SHA-256 over name, type, shape and little-endian data of each ``prior.`` tensor."""
    return tensors_digest(tensors, PRIOR)[:4]


def tensors_digest(tensors: Tensors, prefix: str) -> bytes:
    """SHA-256 over name, type, shape and little-endian data of each tensor whose name begins with ``prefix``."""
    digest = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(prefix)):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.digest()


def module_tensors(module: nn.Module, prefix: str, *, exact: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors of a network as they are stored: floats in fp16, but for names that end with one of ``exact``."""
    stored = {}
    for name, value in module.state_dict().items():
        keep = not value.is_floating_point() or name.endswith(exact)
        stored[prefix + name] = (value if keep else value.half()).detach().cpu().contiguous()
    return stored


def fill_module(module: nn.Module, tensors: Tensors, prefix: str, device: torch.device) -> None:
    """Give a network, made on the meta device, its tensors: float32 in memory, integers as they are stored.

    Raises RuntimeError for names or shapes and CorruptError for types that are not the network's.
    """
    expected = module.state_dict()
    mine = {}
    for name, value in tensors.items():
        if not name.startswith(prefix) or name.startswith(TABLES_PREFIX):
            continue
        name = name.removeprefix(prefix)
        wanted = expected[name].dtype if name in expected else value.dtype
        # Types of floats are the file's business, but a load that turns floats into integers would say nothing.
        if value.dtype != wanted and not (value.is_floating_point() and wanted.is_floating_point):
            raise CorruptError(f"{prefix}{name} is {value.dtype}, not {wanted}")
        mine[name] = value.float() if value.is_floating_point() else value
    module.load_state_dict(mine, strict=True, assign=True)
    module.requires_grad_(False).eval()
    module.to(device)
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def table_tensors(tables: FrequencyTables, kind: str) -> dict[str, Tensor]:
    """Frequency tables as ``prior.tables.KIND.…``."""
    return {
        f"{TABLES_PREFIX}{kind}.range": torch.from_numpy(tables.range_T.copy()),
        f"{TABLES_PREFIX}{kind}.frequency": torch.from_numpy(tables.frequency_TN.copy()),
        f"{TABLES_PREFIX}{kind}.silent": torch.from_numpy(tables.silent_T.copy()),
    }


def read_tables(tensors: Tensors, kind: str, count: int) -> FrequencyTables:
    """The inverse of ``table_tensors``.  Raises CorruptError unless there are ``count`` whole tables."""
    prefix = f"{TABLES_PREFIX}{kind}."
    if len(tensors[prefix + "range"]) != count:
        raise CorruptError(f"{len(tensors[prefix + 'range'])} {kind} tables, not {count}")
    return FrequencyTables(
        tensors[prefix + "range"].numpy().astype(np.int32),
        tensors[prefix + "frequency"].numpy().astype(np.int32),
        tensors[prefix + "silent"].numpy().astype(np.bool_),
    )
