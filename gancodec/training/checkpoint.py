"""The whole state of a stage in one safetensors file: nothing is pickled, a killed run loses minutes at most."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gancodec.errors import ConfigError, WrongModelError
from gancodec.writing import write_file

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a stage stands; ``seconds`` of training so far, over all its interruptions."""

    step: int = 0
    seconds: float = 0.0
    megapixels: float = 0.0
    skipped: int = 0
    """Updates left out because their gradients were not finite."""
    warned: tuple[str, ...] = ()
    """Names of the warnings that were given; each is given once."""
    watched: dict[str, float] = field(default_factory=dict)
    """What the diagnostics have seen of the run."""


def save_checkpoint(
    path: Path,
    *,
    networks: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Optimizer],
    progress: Progress,
    configuration: dict[str, Any],
) -> None:
    """Write all networks, the moments of their optimisers and the progress; atomically."""
    tensors: dict[str, Tensor] = {}
    for network, module in networks.items():
        tensors |= {f"{network}.{name}": value for name, value in module.state_dict().items()}
        if network not in optimisers:
            continue
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        for parameter, state in optimisers[network].state.items():
            for key in MOMENTS:
                if key in state:
                    tensors[f"optimiser.{network}.{key}.{names[id(parameter)]}"] = torch.as_tensor(state[key])
    metadata = {
        "progress": json.dumps(asdict(progress)),
        "configuration": json.dumps(configuration, sort_keys=True),
    }
    # Not save_file, which leaves a file that only its owner may read.
    write_file(path, save({name: value.detach().contiguous() for name, value in tensors.items()}, metadata))


def read_progress(path: Path) -> tuple[Progress, dict[str, Any]]:
    """Progress and configuration of a checkpoint.  Raises WrongModelError for a file that is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        values = json.loads(metadata["progress"])
        progress = Progress(**(values | {"warned": tuple(values.get("warned", ()))}))
        return progress, json.loads(metadata["configuration"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as exc:
        raise WrongModelError(
            f"{path} is not a training checkpoint: {exc}",
            hint="it is damaged, or of another version: start anew, with another --out",
        ) from exc


def load_checkpoint(
    path: Path,
    *,
    networks: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Optimizer],
    configuration: dict[str, Any],
) -> Progress:
    """Restore what ``save_checkpoint`` wrote.

    Raises WrongModelError for a file that is not a checkpoint, ConfigError when the configuration differs.
    """
    progress, stored = read_progress(path)
    configuration = json.loads(json.dumps(configuration))  # tuples become lists, as in the file
    if unknown := sorted(configuration.keys() - stored.keys()):
        raise ConfigError(
            f"{path} was made by an earlier version, which had no {', '.join(unknown)}",
            hint="start anew with another --out; what that run has exported can be given as --init",
        )
    if changed := _differences(stored, configuration):
        seen = ", ".join(f"{key} {before!r}, now {now!r}" for key, before, now in changed[:4])
        raise ConfigError(
            f"{path} was made with another configuration: {seen}",
            hint="resume with the options of before, or start anew with another --out",
        )
    with safe_open(path, framework="pt") as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}
    try:
        for network, module in networks.items():
            prefix = f"{network}."
            mine = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(mine)
    except RuntimeError as exc:
        raise WrongModelError(f"{path} does not hold this model: {exc}", hint="start anew") from exc
    for network, optimiser in optimisers.items():
        for name, parameter in networks[network].named_parameters():
            moments = {key: tensors.get(f"optimiser.{network}.{key}.{name}") for key in MOMENTS}
            # A parameter without any was never stepped; the fused optimiser wants even the step count on the device.
            if any(value is not None for value in moments.values()):
                if any(value is None for value in moments.values()):
                    raise WrongModelError(f"{path} lacks moments of {name}", hint="start anew, the file is damaged")
                optimiser.state[parameter] = {
                    key: _laid_out(value, parameter) for key, value in moments.items() if value is not None
                }
    return progress


def _differences(stored: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Key, value before and value now, None where there is none; of a table within, its keys."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted(stored.keys() | now.keys()):
        before, after = stored.get(key), now.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after)
        elif before != after:
            found.append((key, before, after))
    return found


def _laid_out(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """On the parameter's device and, for moments, in its memory format: the fused optimiser walks both in memory order,
    and would give a channels_last filter the moments of other weights."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter).copy_(value)
