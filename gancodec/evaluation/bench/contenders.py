"""What is timed: pictures to the bytes of a file and back, by gancodec and by CompressAI's models.

Imports of torch and of the codecs are inside functions: a child that measures gancodec's memory must not carry
CompressAI's modules as well.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from gancodec.defaults import DEFAULT_EFFORT
from gancodec.evaluation.bench.plan import PEER_QUALITY, PEERS

if TYPE_CHECKING:
    from torch import Tensor

    from gancodec.errors import FormatError
    from gancodec.picture import Picture

STRIDE = 64
"""Of the peers' hyper-latent: their input is padded to multiples of it."""
_HEADER = struct.Struct(">HHHHB")
"""Width and height of the picture, rows and columns of what is coded first, number of strings."""


class Contender(Protocol):
    """One codec, loaded."""

    def encode(self, picture: Image.Image) -> bytes:
        """RGB picture to the bytes of a file, entropy coding included."""

    def decode(self, files: Sequence[bytes]) -> list[Image.Image]:
        """Such bytes, of pictures of one size, to 8-bit RGB pictures."""

    def parts_taken(self) -> dict[str, float]:
        """Seconds of each part since this was last asked; empty where the parts are not known."""


def is_peer(name: str) -> bool:
    """Whether the contender is one of CompressAI's."""
    return name in PEERS


def import_only(name: str) -> None:
    """Import all that the contender needs, load nothing."""
    if is_peer(name):
        _zoo()
    else:
        import gancodec.codec  # noqa: F401


def load(name: str, job: dict[str, Any]) -> Contender:
    """The contender by its name: a model of CompressAI's, else ours."""
    if is_peer(name):
        return Peer(name, device=job["device"])
    return Ours(job["codec"], quality=job["quality"], effort=job["effort"], device=job["device"])


class Ours:
    """gancodec at one quality and effort; both None for a codec of one rate."""

    def __init__(self, name: str, *, quality: float | None, effort: int | None, device: str) -> None:
        from gancodec.codec import Codec

        self.codec = Codec.load(name, device=device)
        self.quality = quality
        self.effort = DEFAULT_EFFORT if effort is None else effort

    def encode(self, picture: Image.Image) -> bytes:
        """The .gnc file."""
        return self.codec.compress(picture, quality=self.quality, effort=self.effort)

    def decode(self, files: Sequence[bytes]) -> list[Image.Image]:
        """The faithful pictures; realism costs the same."""
        decoded = self.codec.decode([self.codec.open(data) for data in files])
        return [_image(each) for each in decoded]

    def parts_taken(self) -> dict[str, float]:
        """Network and entropy coding."""
        return self.codec.pipeline.clock.take()


class Peer:
    """A model of CompressAI's zoo with random weights, the same in every process."""

    def __init__(self, name: str, *, device: str) -> None:
        import torch

        torch.manual_seed(0)
        self.device = device
        self.model = _zoo()[name](quality=PEER_QUALITY, metric="mse", pretrained=False).eval()
        self.model.update(force=True)
        self.model.to(device)

    def encode(self, picture: Image.Image) -> bytes:
        """Sizes, then the strings with their lengths: CompressAI itself defines no file."""
        import torch
        from torch.nn.functional import pad

        with torch.inference_mode():
            samples_HWC = torch.from_numpy(np.array(picture)).to(self.device)
            picture_BCHW = samples_HWC.permute(2, 0, 1)[None].float() / 255
            right, bottom = -picture.width % STRIDE, -picture.height % STRIDE
            coded = self.model.compress(pad(picture_BCHW, (0, right, 0, bottom), mode="replicate"))
        strings = [string[0] for string in coded["strings"]]
        header = _HEADER.pack(picture.width, picture.height, *coded["shape"], len(strings))
        return header + b"".join(struct.pack(">I", len(string)) + string for string in strings)

    def decode(self, files: Sequence[bytes]) -> list[Image.Image]:
        """The pictures, cropped and rounded to 8 bits."""
        import torch

        parts = []
        for data in files:
            stream = io.BytesIO(data)
            width, height, *shape, count = _HEADER.unpack(stream.read(_HEADER.size))
            parts.append([stream.read(struct.unpack(">I", stream.read(4))[0]) for _ in range(count)])
        with torch.inference_mode():
            together = [list(strings) for strings in zip(*parts, strict=True)]
            decoded_BCHW: Tensor = self.model.decompress(together, shape)["x_hat"]
            cropped_BHWC = decoded_BCHW[:, :, :height, :width].permute(0, 2, 3, 1)
            levels_BHWC = (cropped_BHWC * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        return [Image.fromarray(picture_HWC) for picture_HWC in levels_BHWC]

    def parts_taken(self) -> dict[str, float]:
        """Not known."""
        return {}


def _image(decoded: Picture | FormatError) -> Image.Image:
    from gancodec.picture import Picture, to_pillow

    if not isinstance(decoded, Picture):
        raise decoded
    return to_pillow(decoded)


def _zoo() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # compressai 1.2.8 uses torch.jit.script
        from compressai.zoo import image_models
    models: dict[str, Any] = image_models
    return models
