"""The facade: what goes in comes out, whatever its size and mode, at the rate that was asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gancodec.codec import Codec
from gancodec.container import read_header
from gancodec.errors import ConfigError, LimitError, MissingModelError, PictureError, WrongModelError
from gancodec.picture import Converted16BitWarning, Metadata, Picture
from tests.conftest import GOLDEN
from tests.tiny import made_picture, make_tiny_weights

CONTAINER_BYTES = 32


def made_image(mode: str, height: int, width: int) -> Image.Image:
    image = Image.fromarray(made_picture(31, max(height, 4), max(width, 4))).crop((0, 0, width, height))
    if "A" in mode:
        ramp = np.arange(height * width, dtype=np.uint8).reshape(height, width)
        image.putalpha(Image.fromarray(ramp))
    return image.convert(mode)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["L", "LA", "RGB", "RGBA"]), st.integers(1, 130), st.integers(1, 130), st.integers(0, 100))
def test_any_size_and_mode_comes_back(mode: str, height: int, width: int, quality: int) -> None:
    codec = Codec.load(GOLDEN / "tiny.safetensors", "cpu")
    image = made_image(mode, height, width)
    back = codec.decompress(codec.compress(image, quality=quality))
    assert (back.mode, back.size) == (mode, (width, height))
    if "A" in mode:
        np.testing.assert_array_equal(np.asarray(back.getchannel("A")), np.asarray(image.getchannel("A")))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 700), (700, 1), (127, 61), (64, 64), (65, 64)])
def test_odd_sizes_come_back(height: int, width: int, tiny_codec: Codec) -> None:
    back = tiny_codec.decompress(tiny_codec.compress(made_image("RGB", height, width)))
    assert back.size == (width, height)


def test_palette_becomes_rgb_and_cmyk_is_converted(tiny_codec: Codec) -> None:
    image = made_image("RGB", 40, 40)
    assert tiny_codec.decompress(tiny_codec.compress(image.quantize(16))).mode == "RGB"
    assert tiny_codec.decompress(tiny_codec.compress(image.convert("CMYK"))).mode == "RGB"
    assert tiny_codec.decompress(tiny_codec.compress(image.convert("1"))).mode == "L"


def test_metadata_comes_back_byte_for_byte(tiny_codec: Codec) -> None:
    metadata = Metadata(icc=None, exif=b"MM\0*\0\0\0\x08\0\0\0\0\0\0", xmp=b"<x:xmpmeta>\xc3\xa9</x:xmpmeta>")
    picture = Picture(colour_HWC=made_picture(32, 20, 30), alpha_HW=None, metadata=metadata)
    assert tiny_codec.decompress_picture(tiny_codec.compress(picture)).metadata == metadata


def test_higher_quality_costs_more_and_looks_better(photo_codec: Codec) -> None:
    image = Image.fromarray(made_picture(33, 192, 192))
    original = np.asarray(image, np.float64)
    sizes, errors = [], []
    for quality in (0, 25, 50, 75, 100):
        data = photo_codec.compress(image, quality=quality)
        sizes.append(len(data))
        errors.append(np.square(np.asarray(photo_codec.decompress(data), np.float64) - original).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)


def test_payload_is_within_two_percent_of_its_ideal_length(photo_codec: Codec) -> None:
    pixels = made_picture(34, 256, 384)
    for quality in (10, 60, 95):
        coded = photo_codec.encode_pixels(pixels, quality * 256, measure=True)
        assert coded.ideal_bits is not None
        assert coded.ideal_bits / 8 <= len(coded.payload) + 1 <= 1.02 * coded.ideal_bits / 8 + 8


def test_container_costs_at_most_32_bytes(tiny_codec: Codec) -> None:
    pixels = made_picture(35, 512, 768)
    whole = tiny_codec.compress(Image.fromarray(pixels), quality=50)
    assert len(whole) - len(tiny_codec.encode_pixels(pixels, 50 * 256).payload) <= CONTAINER_BYTES


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_target_size_is_met_from_below_within_one_percent(share: float, photo_codec: Codec) -> None:
    image = Image.fromarray(made_picture(36, 192, 256))
    smallest = len(photo_codec.compress(image, quality=0))
    largest = len(photo_codec.compress(image, quality=100))
    target = int(smallest + share * (largest - smallest))
    assert 0.99 * target <= len(photo_codec.compress(image, target_size=target)) <= target


def test_target_bpp_counts_the_whole_file(photo_codec: Codec) -> None:
    image = Image.fromarray(made_picture(37, 192, 256))
    data = photo_codec.compress(image, target_bpp=1.0)
    assert 0.98 <= len(data) * 8 / (192 * 256) <= 1.0


def test_target_above_the_largest_file_gives_quality_100(tiny_codec: Codec) -> None:
    image = Image.fromarray(made_picture(38, 64, 64))
    assert read_header(tiny_codec.compress(image, target_size=10**6)).quality == 100


def test_target_out_of_reach_says_so(tiny_codec: Codec) -> None:
    with pytest.raises(LimitError, match="at quality 0 it has"):
        tiny_codec.compress(Image.new("RGB", (64, 64)), target_size=10)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": -1}, {"quality": 100.1}, {"quality": float("nan")}, {"target_bpp": 0.0},
        {"target_bpp": float("inf")}, {"target_size": -5}, {"quality": 5, "target_bpp": 1.0},
    ],
)  # fmt: skip
def test_impossible_options_are_refused(options: dict[str, float], tiny_codec: Codec) -> None:
    with pytest.raises(ConfigError):
        tiny_codec.compress(Image.new("RGB", (8, 8)), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("realism", [-0.1, 1.1, float("nan"), 0.5])
def test_realism_that_cannot_be_had_is_refused(realism: float, tiny_codec: Codec) -> None:
    with pytest.raises(ConfigError, match="realism"):
        tiny_codec.decompress((GOLDEN / "rgb-1x1.gnc").read_bytes(), realism=realism)


def test_16_bit_is_refused_unless_asked_for(tiny_codec: Codec) -> None:
    image = Image.fromarray(np.full((8, 8), 40_000, np.uint16))
    with pytest.raises(PictureError, match="16"):
        tiny_codec.compress(image)
    with pytest.warns(Converted16BitWarning, match="8 bits"):
        assert tiny_codec.compress(image, convert_16_bit=True)


def test_file_of_other_weights_is_refused(tiny_codec: Codec, tmp_path: Path) -> None:
    make_tiny_weights(tmp_path / "other.safetensors", seed=77)
    data = Codec.load(tmp_path / "other.safetensors", "cpu").compress(Image.new("RGB", (8, 8)))
    with pytest.raises(WrongModelError, match="needs the model"):
        tiny_codec.decompress(data)


def test_file_finds_its_weights_by_the_folder_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = (GOLDEN / "rgb-1x1.gnc").read_bytes()
    monkeypatch.delenv("GANCODEC_CODECS", raising=False)
    with pytest.raises(MissingModelError, match=read_header(data).model_id.hex()):
        Codec.for_file(data, "cpu")
    monkeypatch.setenv("GANCODEC_CODECS", str(GOLDEN))
    assert Codec.for_file(data, "cpu").entry.name == "tiny"


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "mps"])
def test_device_that_is_not_there_is_a_clear_error(device: str) -> None:
    with pytest.raises(ConfigError, match="device"):
        Codec.load(GOLDEN / "tiny.safetensors", device)


def test_threads_share_one_codec(tiny_codec: Codec) -> None:
    image = Image.fromarray(made_picture(39, 70, 90))
    wanted = np.asarray(tiny_codec.decompress(tiny_codec.compress(image, quality=40)))
    wrong: list[int] = []

    def work(number: int) -> None:
        back = np.asarray(tiny_codec.decompress(tiny_codec.compress(image, quality=40)), np.int16)
        if np.abs(back - wanted).max() > 1:
            wrong.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_compressing_needs_only_the_core_dependencies() -> None:
    """Training, evaluation and service libraries are blocked; the whole path works."""
    code = f"""
import sys
for name in ("compressai", "torchvision", "fastapi", "scipy", "matplotlib", "tensorboard", "lpips"):
    sys.modules[name] = None
from PIL import Image
from gancodec import Codec
codec = Codec.load({str(GOLDEN / "tiny.safetensors")!r}, "cpu")
assert codec.decompress(codec.compress(Image.new("RGB", (30, 20)))).size == (30, 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wrong", ["photo.jpg", None, np.zeros((4, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused_with_a_hint(wrong: object, tiny_codec: Codec) -> None:
    with pytest.raises(ConfigError, match=r"Image\.open"):
        tiny_codec.compress(wrong)  # type: ignore[arg-type]


def test_absurd_target_is_the_largest_file(tiny_codec: Codec) -> None:
    assert read_header(tiny_codec.compress(Image.new("RGB", (8, 8)), target_bpp=1e306)).quality == 100
