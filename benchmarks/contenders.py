"""What is timed: pictures to the bytes of a file and back, by gancodec and by CompressAI's models.

Imports of torch and of the codecs are inside functions: a child that measures gancodec's memory must not carry
CompressAI's modules as well.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 64
"""Of the peers' hyper-latent: their input is padded to multiples of it."""
PEER_QUALITY = 4
_SIZES = struct.Struct(">HHHH")
"""Width and height of the picture, rows and columns of the hyper-latent."""


class Contender(Protocol):
    """One codec, loaded."""

    def encode(self, picture: Image.Image) -> bytes:
        """RGB picture to the bytes of a file, entropy coding included."""

    def decode(self, data: bytes) -> Image.Image:
        """Such bytes to an 8-bit RGB picture."""


def is_peer(name: str) -> bool:
    """Whether the contender is one of CompressAI's."""
    return name in ("bmshj2018-hyperprior", "mbt2018-mean")


def import_only(name: str, job: dict[str, Any]) -> None:
    """Import all that the contender needs, load nothing."""
    if is_peer(name):
        _zoo()
    else:
        import gancodec.codec  # noqa: F401


def load(name: str, job: dict[str, Any]) -> Contender:
    """The contender by its name: a model of CompressAI's, else a codec of gancodec."""
    return Peer(name) if is_peer(name) else Ours(name, quality=job["quality"])


class Ours:
    """gancodec at one quality."""

    def __init__(self, name: str, *, quality: float) -> None:
        from gancodec.codec import Codec

        self.codec = Codec.load(name, device="cpu")
        self.quality = quality

    def encode(self, picture: Image.Image) -> bytes:
        """The .gnc file."""
        return self.codec.compress(picture, quality=self.quality)

    def decode(self, data: bytes) -> Image.Image:
        """The faithful picture; realism costs the same."""
        return self.codec.decompress(data, realism=0)


class Peer:
    """A model of CompressAI's zoo with random weights, the same in every process."""

    def __init__(self, name: str) -> None:
        import torch

        torch.manual_seed(0)
        self.model = _zoo()[name](quality=PEER_QUALITY, metric="mse", pretrained=False).eval()
        self.model.update(force=True)

    def encode(self, picture: Image.Image) -> bytes:
        """Sizes, then both strings with their lengths: CompressAI itself defines no file."""
        import torch
        from torch.nn.functional import pad

        with torch.inference_mode():
            picture_BCHW = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
            right, bottom = -picture.width % STRIDE, -picture.height % STRIDE
            coded = self.model.compress(pad(picture_BCHW, (0, right, 0, bottom), mode="replicate"))
        strings = [string[0] for string in coded["strings"]]
        header = _SIZES.pack(picture.width, picture.height, *coded["shape"])
        return header + b"".join(struct.pack(">I", len(string)) + string for string in strings)

    def decode(self, data: bytes) -> Image.Image:
        """The picture, cropped and rounded to 8 bits."""
        import torch

        stream = io.BytesIO(data)
        width, height, *shape = _SIZES.unpack(stream.read(_SIZES.size))
        strings = [[stream.read(struct.unpack(">I", stream.read(4))[0])] for _ in range(2)]
        with torch.inference_mode():
            decoded_BCHW: Tensor = self.model.decompress(strings, shape)["x_hat"]
            cropped_HWC = decoded_BCHW[0, :, :height, :width].permute(1, 2, 0)
            return Image.fromarray((cropped_HWC * 255).round().clamp(0, 255).to(torch.uint8).numpy())


def _zoo() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # compressai 1.2.8 uses torch.jit.script
        from compressai.zoo import bmshj2018_hyperprior, mbt2018_mean
    return {"bmshj2018-hyperprior": bmshj2018_hyperprior, "mbt2018-mean": mbt2018_mean}
