"""The only place of the command line that imports the codec, and with it torch.  Tests replace what loads codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancodec.container import read_header

if TYPE_CHECKING:
    from gancodec.codec import Codec


def load_codec(name_or_path: str, device: str) -> Codec:
    """The codec of that name or path.  Raises ModelError, or ConfigError for a device that is not there."""
    from gancodec.codec import Codec

    return Codec.load(name_or_path, device)


def codec_for_file(data: bytes, device: str) -> Codec:
    """The codec that the .gnc file `data` was written with.  Raises as load_codec does, and FormatError."""
    from gancodec.codec import Codec

    return Codec.for_file(data, device)


class Decoders:
    """Codecs for reading, each loaded once: the one that the user chose, or else what each file's header asks for."""

    def __init__(self, chosen: str | None, device: str) -> None:
        self._chosen, self._device = chosen, device
        self._by_id: dict[bytes, Codec] = {}
        self._fixed: Codec | None = None

    def load(self) -> None:
        """Load the codec that the user chose, if any: what fails here fails for every file."""
        if self._chosen is not None and self._fixed is None:
            self._fixed = load_codec(self._chosen, self._device)

    def for_file(self, data: bytes) -> Codec:
        """The codec for the file `data`; call load() before."""
        if self._fixed is not None:
            return self._fixed
        model_id = read_header(data).model_id
        if model_id not in self._by_id:
            self._by_id[model_id] = codec_for_file(data, self._device)
        return self._by_id[model_id]
