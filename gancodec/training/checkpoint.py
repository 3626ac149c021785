"""The whole state of a run in one safetensors file: nothing is pickled, a killed run loses minutes at most."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gancodec.errors import ConfigError, WrongModelError

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a run stands; ``seconds`` of training so far, over all its interruptions."""

    step: int = 0
    seconds: float = 0.0
    megapixels: float = 0.0


def save_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    configuration: dict[str, Any],
) -> None:
    """Write model, its moving average, the optimiser's moments and the progress; atomically."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            for key, value in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{key}.{names[id(parameter)]}"] = torch.as_tensor(value)
    state = {"step": progress.step, "seconds": progress.seconds, "megapixels": progress.megapixels}
    metadata = {"progress": json.dumps(state), "configuration": json.dumps(configuration, sort_keys=True)}
    partial = path.with_suffix(".partial")
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, partial, metadata)
    partial.replace(path)


def load_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    configuration: dict[str, Any],
) -> Progress:
    """Restore what ``save_checkpoint`` wrote.

    Raises WrongModelError for a file that is not a checkpoint, ConfigError when the configuration differs.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as exc:
        raise WrongModelError(f"{path} is not a checkpoint: {exc}") from exc
    if "progress" not in metadata:
        raise WrongModelError(f"{path} is not a checkpoint", hint="codecs cannot be resumed, only checkpoints")
    stored = json.loads(metadata["configuration"])
    changed = sorted(key for key in stored.keys() | configuration.keys() if stored.get(key) != configuration.get(key))
    if changed:
        raise ConfigError(f"{path} was made with another {', '.join(changed)}", hint="resume with the same options")
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    average.load_state_dict({k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")})
    for name, parameter in model.named_parameters():
        moments = {key: tensors.get(f"optimiser.{key}.{name}") for key in MOMENTS}
        # A parameter without any was never stepped; the fused optimiser wants even the step count on the device.
        if any(value is not None for value in moments.values()):
            if any(value is None for value in moments.values()):
                raise WrongModelError(f"{path} lacks moments of {name}", hint="start anew, the file is damaged")
            optimiser.state[parameter] = {
                key: value.to(parameter.device) for key, value in moments.items() if value is not None
            }
    return Progress(**json.loads(metadata["progress"]))
