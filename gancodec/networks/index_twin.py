"""The integer index network back to the float one that it was made from: for gradients, and for training it further."""

from __future__ import annotations

import math

import torch
from torch import nn

from gancodec.networks.config import PhotoConfig
from gancodec.networks.index import STEPS_PER_UNIT, IndexNetwork, IndexStep, RoundedConv
from gancodec.networks.integer import FRACTION, LOG_SCALE_STEP, SHIFT, IntegerIndex, IntegerLayer, IntegerStep
from gancodec.networks.photo import SCALE_MIN


def float_twin(config: PhotoConfig, integers: IntegerIndex) -> IndexNetwork:
    """A float network with the very weights that the integers stand for."""
    with torch.device("meta"):  # where weights cost no random numbers of the caller's
        network = IndexNetwork(config)
    network = network.to_empty(device=integers.hyper_input.weight.device).float()
    restore_index(network, integers)
    return network


@torch.no_grad()
def restore_index(network: IndexNetwork, integers: IntegerIndex) -> None:
    """Give a float network those weights."""
    _restore_layer(network.hyper_input, integers.hyper_input, network.hyper_bias.table_AC)
    _restore_layer(network.hyper_depthwise, integers.hyper_depthwise)
    _restore_layer(network.hyper_up, integers.hyper_up)
    for step, integer in zip(network.steps, integers.steps, strict=True):
        assert isinstance(step, IndexStep) and isinstance(integer, IntegerStep)
        _restore_layer(step.input, integer.input, step.bias.table_AC)
        _restore_layer(step.depthwise, integer.depthwise)
        _restore_layer(step.expand, integer.expand)
        _restore_layer(step.output, integer.output)


def _restore_layer(layer: RoundedConv, integer: IntegerLayer, bias_AC: nn.Parameter | None = None) -> None:
    unit = FRACTION / LOG_SCALE_STEP / STEPS_PER_UNIT if integer.last else 1.0
    scale = integer.multiplier.double() / 2.0**SHIFT / unit
    layer.weight.copy_((integer.weight.double() * scale[:, None]).view(layer.weight.shape))
    bias = integer.bias.double() * scale / STEPS_PER_UNIT + (math.log(SCALE_MIN) if integer.last else 0.0)
    assert layer.bias is not None
    layer.bias.copy_(bias.mean(0))
    if bias_AC is not None:
        bias_AC.copy_(bias - bias.mean(0))
