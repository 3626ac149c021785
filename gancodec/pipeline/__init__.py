"""One picture through the networks of a codec: pixels to symbols and bytes, and back.

``codec.py`` decides what to do; here is how, one module a family.  On the way tensors become numpy arrays and back in
this package only.
"""

from gancodec.pipeline.extreme import ExtremePipeline
from gancodec.pipeline.families import pipeline_for
from gancodec.pipeline.photo import Chain, PhotoPipeline
from gancodec.pipeline.stream import Coded, Decoded, Pipeline, Stream, Symbols

__all__ = [
    "Chain", "Coded", "Decoded", "ExtremePipeline", "PhotoPipeline", "Pipeline", "Stream", "Symbols", "pipeline_for",
]  # fmt: skip
