"""A fake codec, small pictures, and a way to run the command line in this process."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.cli import compressing, loading
from gancodec.cli.main import main
from gancodec.container import ColourMode, Header, read_container, read_header, write_container
from gancodec.effort.request import Effort
from gancodec.errors import ChecksumError, GancodecError, MissingModelError, WrongModelError
from gancodec.picture import Metadata, Picture

MODEL_ID = bytes.fromhex("fa6ec0de")
OTHER_ID = bytes.fromhex("0ddc0de5")


class FakeCodec:
    """Lossless: the payload is the colour samples, deflated.  A real container around it, so that `info` works."""

    batch_pixels = 500_000

    def __init__(self, model_id: bytes = MODEL_ID) -> None:
        self.model_id = model_id
        self.entry = SimpleNamespace(name="fake", model_id=model_id, has_quality=True, has_realism=True)
        self.calls: list[dict[str, Any]] = []
        self.efforts: list[Effort] = []
        """Of each call."""
        self.prepared: list[Effort] = []
        self.refuses: GancodecError | None = None
        """What every effort is answered with."""
        self.batches: list[int] = []
        """How many pictures went through together."""
        self.before_work: Callable[[], None] = lambda: None

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        return -(-width // 64) * 64, -(-height // 64) * 64

    def prepare(self, effort: Effort) -> None:
        self.prepared.append(effort)
        if self.refuses is not None:
            raise self.refuses

    def compress(self, picture: Picture, **options: Any) -> bytes:
        self.efforts.append(options.pop("effort"))
        self.calls.append(options)
        self.before_work()
        return self.write(picture, None, b"", 10 * 256)

    def quantise(
        self, pictures: Sequence[Picture], qualities_256: Sequence[int], effort: Effort | None = None
    ) -> list[str]:
        assert effort is not None
        self.efforts.append(effort)
        self.batches.append(len(pictures))
        self.calls += [{"quality": quality / 256} for quality in qualities_256]
        self.before_work()
        return ["symbols"] * len(pictures)

    def write(self, picture: Picture, alpha: bytes | None, symbols: Any, quality_256: int) -> bytes:
        metadata = {b"ICCP": picture.metadata.icc, b"EXIF": picture.metadata.exif, b"XMP ": picture.metadata.xmp}
        return write_container(
            mode=ColourMode[picture.mode],
            width=picture.width,
            height=picture.height,
            model_id=self.model_id,
            quality=quality_256 / 256,
            uniform_tables=False,
            payload=zlib.compress(picture.colour_HWC.tobytes()),
            symbol_crc=zlib.crc32(picture.colour_HWC.tobytes()),
            alpha=None if picture.alpha_HW is None else zlib.compress(picture.alpha_HW.tobytes()),
            metadata={name: value for name, value in metadata.items() if value},
        )

    def open(self, data: bytes, *, realism: float | None = None) -> bytes:
        self.calls.append({"realism": realism})
        self.verify(data)
        return data

    def decode(self, opened: Sequence[bytes]) -> list[Picture]:
        self.batches.append(len(opened))
        self.before_work()
        return [self._picture(data) for data in opened]

    def _picture(self, data: bytes) -> Picture:
        container = read_container(data)
        shape = (container.header.height, container.header.width)
        alpha = None
        if container.alpha is not None:
            alpha = np.frombuffer(zlib.decompress(container.alpha), np.uint8).reshape(shape)
        return Picture(
            colour_HWC=np.frombuffer(zlib.decompress(container.payload), np.uint8).reshape(*shape, -1),
            alpha_HW=alpha,
            metadata=Metadata(icc=container.metadata.get(b"ICCP"), exif=container.metadata.get(b"EXIF")),
        )

    def verify(self, data: bytes) -> Header:
        container = read_container(data)
        if container.header.model_id != self.model_id:
            raise WrongModelError("the file needs another model", hint="leave --codec out")
        if zlib.crc32(zlib.decompress(container.payload)) != container.header.symbol_crc:
            raise ChecksumError("symbol checksum is wrong", hint="damaged")
        return container.header


class FakeLoader:
    """Stands for both functions of gancodec.cli.loading, and counts."""

    def __init__(self) -> None:
        self.codec = FakeCodec()
        self.loads: list[tuple[str, str]] = []

    def load_codec(self, name_or_path: str, device: str) -> FakeCodec:
        self.loads.append((name_or_path, device))
        if name_or_path == "missing":
            raise MissingModelError("no codec is called 'missing'", hint="did you mean 'photo'?")
        return FakeCodec(OTHER_ID) if name_or_path == "other" else self.codec

    def codec_for_file(self, data: bytes, device: str) -> FakeCodec:
        model_id = read_header(data).model_id
        self.loads.append((model_id.hex(), device))
        if model_id != MODEL_ID:
            raise MissingModelError(f"the file needs the model {model_id.hex()}", hint="give it with --codec")
        return self.codec


@pytest.fixture(autouse=True)
def loader(monkeypatch: pytest.MonkeyPatch) -> FakeLoader:
    fake = FakeLoader()
    monkeypatch.setattr(compressing, "load_codec", fake.load_codec)
    monkeypatch.setattr(loading, "load_codec", fake.load_codec)
    monkeypatch.setattr(loading, "codec_for_file", fake.codec_for_file)
    return fake


@pytest.fixture
def known(loader: FakeLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry knows the fake codec by every name."""
    monkeypatch.setattr(compressing, "resolve", lambda name: loader.codec.entry)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANCODEC_TRACEBACK", raising=False)
    return tmp_path


@pytest.fixture
def settle(folder: Path) -> Callable[[], None]:
    """Wait until what is written is newer than what is there, by the file system's clock."""

    def wait() -> None:
        now, latest = folder / "now", time.time_ns() + 10_000_000
        while not now.exists() or now.stat().st_mtime_ns <= latest:
            now.unlink(missing_ok=True)
            now.touch()
            time.sleep(0.002)
        now.unlink()

    return wait


class Run:
    """What one call of main() left behind."""

    def __init__(self, code: int, out: bytes, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        """Lines of stderr."""
        return self.err.splitlines()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Lines of stdout, each a JSON object."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Run]:
    """Call main() with these arguments."""

    def call(*arguments: object) -> Run:
        code = main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in err
        return Run(code, out, err.decode())

    return call


@pytest.fixture
def picture(folder: Path) -> Callable[..., Path]:
    """Save a small picture under the name given; its suffix is the format."""

    def save(name: str, *, mode: str = "RGB", size: tuple[int, int] = (9, 6), **options: Any) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
        Image.fromarray(samples.squeeze()).save(path, **options)
        return path

    return save


@pytest.fixture
def gnc(folder: Path) -> Callable[..., Path]:
    """Write a small .gnc file under the name given."""

    def save(name: str, *, model_id: bytes = MODEL_ID, metadata: Metadata | None = None, alpha: bool = False) -> Path:
        colour = np.arange(9 * 6 * 3, dtype=np.uint8).reshape(6, 9, 3)
        made = Picture(
            colour_HWC=colour, alpha_HW=colour[..., 0] if alpha else None, metadata=metadata or Metadata()
        )
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FakeCodec(model_id).write(made, None, b"", 60 * 256))
        return path

    return save
