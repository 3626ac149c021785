"""Feature networks by what the user typed: ``vgg19`` from torchvision, or ``PATH[:NET]``, a safetensors file.

A file holds one network or several, each tensor named ``NET.stages.I.J.weight``, ``NET.stages.I.J.bias`` or
``NET.heads.I`` (gancodec/networks/features.py), in any floating-point type.  Only safetensors are read by path.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Final
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gancodec.errors import ConfigError, MissingModelError, WrongModelError
from gancodec.networks.features import ARCHITECTURES, FeatureNetwork

VGG19: Final = "vgg19"
VGG19_LAYERS: Final[Mapping[int, str]] = {
    0: "0.0",
    2: "1.0", 5: "1.2",
    7: "2.0", 10: "2.2",
    12: "3.0", 14: "3.1", 16: "3.2", 19: "3.4",
    21: "4.0", 23: "4.1", 25: "4.2", 28: "4.4",
}
"""Index of a convolution in ``torchvision.models.vgg19().features`` -> its stage and place with us."""


def load_features(text: str, device: torch.device | str) -> FeatureNetwork:
    """The feature network that ``--features`` names, on a device.

    text: ``vgg19`` (torchvision's ImageNet weights, downloaded once; a file of that name is ``./vgg19``), or the path
    of a safetensors file and, where it holds several networks, a colon and the network's name.

    Raises ConfigError if the name is unknown, if it is needed and absent, or without torchvision; MissingModelError if
    there is no such file or network, or the download fails; WrongModelError if what is there does not serve.
    """
    network = _load_vgg19() if text == VGG19 else _load_file(*split_features(text))
    return network.to(device)


def split_features(text: str) -> tuple[Path, str | None]:
    """``PATH[:NET]`` as path and net.  Paths may hold colons themselves.

    What stands behind the last colon is NET if it is a known name or if the path before it is a file, but not if only
    the whole text is a file.
    """
    before, colon, net = text.rpartition(":")
    if colon and before and (Path(before).is_file() or (net in ARCHITECTURES and not Path(text).is_file())):
        return Path(before), net
    return Path(text), None


def _load_file(path: Path, net: str | None) -> FeatureNetwork:
    known = ", ".join(ARCHITECTURES)
    if net is not None and net not in ARCHITECTURES:
        near = difflib.get_close_matches(net, ARCHITECTURES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known ones: {known}"
        raise ConfigError(f"{net!r}, behind {path}, is no feature network", hint=hint)
    if not path.is_file():
        seen = "is a folder" if path.is_dir() else "does not exist"
        inside = str(path) in ARCHITECTURES and net is None
        hint = f"{path} is a network inside a file: PATH:{path}" if inside else "give vgg19 or PATH.safetensors[:NET]"
        raise MissingModelError(f"the file of features {str(path)!r} {seen}", hint=hint)
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            nets = [name for name in ARCHITECTURES if any(key.startswith(f"{name}.") for key in keys)]
            if net is None and len(nets) > 1:
                raise ConfigError(
                    f"{path} holds several feature networks: {', '.join(nets)}", hint=f"choose one: {path}:{nets[0]}"
                )
            if not nets:
                raise WrongModelError(
                    f"{path} holds no feature network", hint=f"expected tensors such as alex.heads.0; known: {known}"
                )
            if net is not None and net not in nets:
                raise MissingModelError(f"{path} has no network {net!r}", hint=f"it holds {', '.join(nets)}")
            name = net or nets[0]
            prefix = f"{name}."
            tensors = {key.removeprefix(prefix): file.get_tensor(key) for key in keys if key.startswith(prefix)}
    except (SafetensorError, OSError) as exc:
        hint = "only safetensors are read: other formats, such as .pth, can run code when they are opened"
        raise WrongModelError(f"{path} cannot be read as safetensors: {exc}", hint=hint) from exc
    return _build(name, tensors, str(path))


def _load_vgg19() -> FeatureNetwork:
    """torchvision's VGG19, IMAGENET1K_V1: its convolutions up to relu5_1, 12.9 of 143.7 million parameters."""
    try:
        from torchvision.models import VGG19_Weights
    except (ImportError, RuntimeError) as exc:  # RuntimeError: built for another torch
        raise ConfigError(
            f"--features vgg19 needs torchvision: {exc}", hint="pip install 'gancodec[train]', or give a file"
        ) from exc
    weights = VGG19_Weights.IMAGENET1K_V1
    url: str = weights.url
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    by_hand = f"put {url} into {cached.parent} by hand, or give --features PATH of a safetensors file"
    broken = f"delete {cached} and try again, or give --features PATH of a safetensors file"
    try:
        # The file is a pickle.  torchvision hands these options to torch.hub.load_state_dict_from_url: weights_only
        # admits tensors and plain containers alone, so that nothing in the file runs; check_hash compares a download
        # (not a file that already lies in the cache) with the digits in its name.  It prints to stdout, which is ours.
        with redirect_stdout(sys.stderr):
            state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True, map_location="cpu")
    except (OSError, HTTPException) as exc:  # URLError and TimeoutError are OSErrors
        raise MissingModelError(f"VGG19's weights cannot be fetched: {_one_line(exc)}", hint=by_hand) from exc
    except (RuntimeError, ValueError, LookupError, EOFError, TypeError, AttributeError, UnpicklingError) as exc:
        if not cached.exists():  # a download that does not have its hash is thrown away by torch
            raise MissingModelError(f"VGG19's download is damaged: {_one_line(exc)}", hint=by_hand) from exc
        raise WrongModelError(f"{cached} is not VGG19: {_one_line(exc)}", hint=broken) from exc
    # The classifier, nine tenths of the file, goes with `state` when this function returns.
    tensors = {}
    for index, place in VGG19_LAYERS.items():
        for kind in ("weight", "bias"):
            value = state.get(f"features.{index}.{kind}") if isinstance(state, Mapping) else None
            if not isinstance(value, Tensor):
                raise WrongModelError(f"{cached} is not VGG19: it has no features.{index}.{kind}", hint=broken)
            tensors[f"stages.{place}.{kind}"] = value
    return _build(VGG19, tensors, str(cached))


def _build(name: str, tensors: Mapping[str, Tensor], source: str) -> FeatureNetwork:
    try:
        return FeatureNetwork(name, tensors)
    except WrongModelError as exc:
        raise WrongModelError(f"{source}: {exc.message}", hint=exc.hint) from exc


def _one_line(exc: Exception) -> str:
    """The first line of a foreign message: torch's run over many, and advise to unpickle without a guard."""
    return (str(exc).splitlines() or [type(exc).__name__])[0]
