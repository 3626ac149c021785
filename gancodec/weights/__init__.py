"""Weights files: safetensors with the configuration inside, to networks and tables and back.  Nothing is unpickled.

``file.py`` reads, checks and writes; ``photo.py`` and ``extreme.py`` say what a codec of that family consists of.
"""

from gancodec.weights.extreme import ExtremeWeights
from gancodec.weights.file import Weights, load_weights, save_weights
from gancodec.weights.photo import Analysis, PhotoWeights, Synthesis
from gancodec.weights.tensors import model_id

__all__ = [
    "Analysis",
    "ExtremeWeights",
    "PhotoWeights",
    "Synthesis",
    "Weights",
    "load_weights",
    "model_id",
    "save_weights",
]
