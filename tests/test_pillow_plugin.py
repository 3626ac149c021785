"""The Pillow plugin: .gnc files behave like those of any format that Pillow opens and saves."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from gancodec import pillow_plugin
from gancodec.codec import Codec
from gancodec.container import (
    ColourMode,
    Header,
    read_container,
    read_header,
    source_digest,
    with_source,
    write_container,
)
from gancodec.errors import (
    ChecksumError,
    ConfigError,
    CorruptError,
    DamagedMetadataWarning,
    FormatError,
    LimitError,
    MissingModelError,
    PictureError,
    TruncatedError,
    UnsupportedVersionError,
)
from gancodec.picture import Converted16BitWarning
from gancodec.pillow.codecs import ProcessCodecs
from gancodec.pillow.options import current_options
from tests.conftest import GOLDEN
from tests.tiny import made_picture

TINY = GOLDEN / "tiny.safetensors"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = bytes(16) + b"GRAY" + bytes(108)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa9</x:xmpmeta>'
STORED_AS = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "P": "RGB", "1": "L", "CMYK": "RGB"}
"""docs/format.md §3."""


@pytest.fixture(scope="module", autouse=True)
def golden_weights() -> Iterator[None]:
    """Files of the tiny codecs find their weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANCODEC_CODECS", str(GOLDEN))
        yield


def exif_with(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description"
    return exif.tobytes().removeprefix(b"Exif\0\0")


EXIF = exif_with(6)


def made_image(mode: str, width: int = 53, height: int = 37) -> Image.Image:
    image = Image.fromarray(made_picture(41, max(height, 4), max(width, 4))).crop((0, 0, width, height))
    if mode == "P":
        return image.quantize(16)
    if "A" in mode:
        image.putalpha(Image.fromarray(np.arange(height * width, dtype=np.uint8).reshape(height, width)))
    return image.convert(mode)


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "GNC", **{"codec": TINY} | options)
    return file.getvalue()


def opened(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data))


@pytest.fixture(scope="module")
def full() -> bytes:
    """A file with alpha and all metadata."""
    return saved(made_image("RGBA"), icc_profile=SRGB, exif=EXIF, xmp=XMP)


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def header_and_file(**changes: Any) -> bytes:
    """A file that no codec can decode, but that has a header."""
    fields: dict[str, Any] = {
        "mode": ColourMode.RGB, "width": 8, "height": 8, "model_id": b"none", "quality": 60.0,
        "uniform_tables": False, "payload": b"payload", "symbol_crc": 0,
    }  # fmt: skip
    return write_container(**fields | changes)


# What goes in comes out

exifs = st.one_of(st.none(), st.binary(max_size=40).map(lambda tail: b"II*\0" + tail))
packets = st.one_of(st.none(), st.binary(min_size=1, max_size=60))
sides = st.one_of(st.sampled_from([1, 2, 37, 53, 61, 127]), st.integers(1, 130))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([*STORED_AS]), sides, sides, st.booleans(), exifs, packets, st.booleans())
def test_what_is_saved_is_opened(
    mode: str, width: int, height: int, with_icc: bool, exif: bytes | None, xmp: bytes | None, by_keyword: bool
) -> None:
    image = made_image(mode, width, height)
    icc = None if not with_icc or (mode == "CMYK" and not by_keyword) else GREY if mode in ("1", "L", "LA") else SRGB
    metadata = {"icc_profile": icc, "exif": exif, "xmp": xmp}
    if not by_keyword:
        image.info.update(metadata)
    back = opened(saved(image, **metadata if by_keyword else {}))
    assert (back.format, back.mode, back.size) == ("GNC", STORED_AS[mode], (width, height))
    assert {key: back.info.get(key) for key in metadata} == metadata
    pixels = np.asarray(back)
    assert pixels.shape[:2] == (height, width)
    if "A" in mode:
        np.testing.assert_array_equal(pixels[..., -1], np.asarray(image)[..., -1])


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (37, 53)])
def test_extreme_sizes_come_back(size: tuple[int, int]) -> None:
    back = opened(saved(made_image("RGBA", *size)))
    assert back.size == size
    back.load()
    np.testing.assert_array_equal(np.asarray(back.getchannel("A")), np.asarray(made_image("RGBA", *size))[..., 3])


def test_a_transparent_palette_becomes_alpha() -> None:
    image = made_image("P")
    image.info["transparency"] = bytes(range(0, 160, 10))
    back = opened(saved(image))
    assert back.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(back)[..., 3], np.asarray(image.convert("RGBA"))[..., 3])


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.gnc")), ids=lambda path: path.stem)
def test_stored_files_open_with_their_pixels(path: Path) -> None:
    with Image.open(path) as image, Image.open(path.with_suffix(".png")) as wanted:
        assert (image.mode, image.size, image.info["codec"]) == (wanted.mode, wanted.size, image.info["codec"])
        assert ("quality" in image.info) == ("extreme" not in path.name)
        assert np.abs(np.asarray(image, np.int16) - np.asarray(wanted, np.int16)).max() <= 1


# Opening


def test_info_says_what_the_header_says(full: bytes) -> None:
    image = opened(saved(made_image("L"), quality=37.5))
    assert image.info["codec"] == "tiny" and image.info["quality"] == 37.5
    assert image.info["model_id"] == Codec.load(TINY, "cpu").entry.model_id.hex()
    assert opened(full).info["bpp"] == 8 * len(full) / (53 * 37)
    unknown = opened(header_and_file()).info
    assert "codec" not in unknown and unknown["model_id"] == b"none".hex() and unknown["quality"] == 60
    assert image.get_format_mimetype() == "application/vnd.gancodec"


def test_opening_a_12_megapixel_file_reads_its_head_without_torch(tmp_path: Path) -> None:
    """The payload is noise: only load() would notice.  So do verify() and PNG, which need no torch either."""
    data = header_and_file(
        mode=ColourMode.RGBA, width=4000, height=3000, payload=bytes(750_000), alpha=bytes(2_000_000),
        metadata={b"ICCP": SRGB, b"EXIF": EXIF, b"XMP ": XMP * 100},
    )  # fmt: skip
    (tmp_path / "large.gnc").write_bytes(data)
    code = f"""
import sys, time
import gancodec.pillow_plugin
from PIL import Image
start = time.perf_counter()
image = Image.open({str(tmp_path / "large.gnc")!r})
seconds = time.perf_counter() - start
assert (image.size, image.mode) == ((4000, 3000), "RGBA") and len(image.info["xmp"]) == {100 * len(XMP)}
image.verify()
print(*{{"torch", "numpy"}} & sys.modules.keys())
print(f"{{1000 * seconds:.2f}} ms")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported, seconds = done.stdout.splitlines()
    assert imported == ""
    print("Image.open of 12 megapixels:", seconds)


class CountingFile(io.BytesIO):
    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_opening_skips_payload_and_alpha() -> None:
    large = {"mode": ColourMode.LA, "payload": bytes(100_000), "alpha": bytes(100_000)}
    file = CountingFile(header_and_file(**large, metadata={b"EXIF": EXIF}))
    assert Image.open(file).info["exif"] == EXIF
    assert file.taken < 10_000  # other plugins have a look before ours, if they are loaded


def test_exif_is_understood_by_pillow(full: bytes) -> None:
    image = opened(full)
    assert image.getexif()[0x0112] == 6
    upright = ImageOps.exif_transpose(image)
    assert upright.size == (37, 53)
    assert 0x0112 not in opened(saved(upright)).getexif()


def test_other_files_are_left_to_other_plugins(tmp_path: Path) -> None:
    made_image("RGB").save(tmp_path / "picture.gnc", "PNG")
    with Image.open(tmp_path / "picture.gnc") as image:
        assert image.format == "PNG"
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"something else altogether"))
    with pytest.raises(SyntaxError, match="gancodec compress"):
        pillow_plugin.GncImageFile(io.BytesIO(b"something else altogether"))


def test_a_damaged_header_cannot_be_identified(full: bytes) -> None:
    for at in range(4, read_header(full).payload_offset - 8):
        with pytest.raises(UnidentifiedImageError) as caught:
            opened(changed(full, at))
        assert isinstance(caught.value.__cause__, FormatError) and caught.value.__cause__.hint in str(caught.value)
    for length in range(4, read_header(full).payload_offset):
        with pytest.raises(UnidentifiedImageError):
            opened(full[:length])


def test_a_newer_format_says_so(full: bytes) -> None:
    with pytest.raises(UnidentifiedImageError, match="update gancodec") as caught:
        opened(full[:4] + b"\x20" + full[5:])
    assert isinstance(caught.value.__cause__, UnsupportedVersionError)


def test_pillows_limit_of_pixels_holds(full: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    with pytest.warns(Image.DecompressionBombWarning):
        opened(full)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(Image.DecompressionBombError):
        opened(full)


def test_our_limit_of_sides_holds() -> None:
    assert opened(header_and_file(width=16_384)).width == 16_384
    with pytest.raises(Image.DecompressionBombError, match="16384 a side") as caught:
        opened(header_and_file(width=16_385))
    assert isinstance(caught.value.__cause__, LimitError)


# Loading


def parts(data: bytes) -> dict[str, int]:
    """Places of a byte in each part of the file behind its header."""
    header: Header = read_header(data)
    chunks = header.payload_offset + header.payload_size
    return {
        "payload": header.payload_offset + 3, "symbols": header.payload_offset - 1, "alpha": chunks + 20,
        "metadata": data.index(b"EXIF") + 10,
    }  # fmt: skip


@pytest.mark.parametrize("part", ["payload", "symbols", "alpha"])
def test_a_damaged_picture_is_an_os_error(part: str, full: bytes) -> None:
    image = opened(changed(full, parts(full)[part]))
    for _ in range(2):
        with pytest.raises(OSError, match=r"copy or download it again|file is damaged") as caught:
            image.load()
        assert isinstance(caught.value.__cause__, ChecksumError | CorruptError)


def test_a_file_cut_short_is_an_os_error(full: bytes) -> None:
    for length in (read_header(full).payload_offset, parts(full)["payload"], parts(full)["alpha"], len(full) - 1):
        image = opened(full[:length])
        with pytest.raises(OSError) as caught:
            image.load()
        assert isinstance(caught.value.__cause__, TruncatedError)


def test_missing_weights_are_an_os_error_that_names_them() -> None:
    with pytest.raises(OSError, match=b"none".hex()) as caught:
        opened(header_and_file()).load()
    assert isinstance(caught.value.__cause__, MissingModelError)


def test_damaged_metadata_is_left_out_with_one_warning(full: bytes) -> None:
    with pytest.warns(DamagedMetadataWarning, match="EXIF: its checksum is wrong") as caught:
        image = opened(changed(full, parts(full)["metadata"]))
    assert [Path(str(warning.filename)).name for warning in caught] == [Path(__file__).name]
    assert "exif" not in image.info and image.info["xmp"] == XMP
    image.load()


def test_another_file_in_its_place_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "picture.gnc"
    path.write_bytes(saved(made_image("RGB")))
    with Image.open(path) as image:
        path.write_bytes(saved(made_image("L")))
        with pytest.raises(OSError, match="changed since"):
            image.load()


@pytest.mark.parametrize("part", ["payload", "alpha", "metadata"])
def test_verify_finds_damage(part: str, full: bytes) -> None:
    image = Image.open(io.BytesIO(full))
    image.verify()
    assert image.fp is None
    with pytest.raises(RuntimeError, match="directly after open"):
        image.verify()
    damaged = bytearray(changed(full, parts(full)[part]))
    if part != "metadata":
        with pytest.raises(OSError, match="checksum"):
            opened(bytes(damaged)).verify()
        return
    with pytest.warns(DamagedMetadataWarning):
        image = opened(bytes(damaged))
    with pytest.raises(OSError, match="EXIF: its checksum is wrong"):
        image.verify()


def test_an_opened_file_is_an_image_like_others(full: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.gnc"
    path.write_bytes(full)
    with Image.open(path) as image:
        assert isinstance(image, pillow_plugin.GncImageFile)
        assert (image.n_frames, image.is_animated, image.tell()) == (1, False, 0)
        image.seek(0)
        with pytest.raises(EOFError):
            image.seek(1)
        assert image.draft("L", (10, 10)) is None and image.size == (53, 37)
        for other in (image.copy(), copy.copy(image), copy.deepcopy(image), pickle.loads(pickle.dumps(image))):
            assert other.info == image.info and other.tobytes() == image.tobytes()
        assert image.fp is None  # closed when it was loaded
        image.thumbnail((20, 20))
        assert image.size == (20, 14)
    closed = opened(full)
    closed.close()
    with pytest.raises(ValueError, match="closed image"):
        closed.load()


def test_a_file_that_arrives_in_pieces_is_parsed(full: bytes) -> None:
    parser = ImageFile.Parser()
    for start in range(0, len(full), 100):
        parser.feed(full[start : start + 100])
    assert parser.close().tobytes() == opened(full).tobytes()


# Options


def test_options_are_those_of_the_time_of_opening(full: bytes) -> None:
    with pillow_plugin.options(realism=0.5):
        inside = opened(full)
        with pillow_plugin.options(device="cpu"):
            assert (current_options().realism, current_options().device) == (0.5, "cpu")
    with pytest.raises(ConfigError, match="no realism generator"):
        inside.load()
    opened(full).load()
    pillow_plugin.set_options(realism=0.25)
    seen: list[float] = []
    thread = threading.Thread(target=lambda: seen.append(current_options().realism))
    try:
        thread.start()
        thread.join()
    finally:
        pillow_plugin.set_options(realism=0)
    assert seen == [0.25] and current_options().realism == 0


@pytest.mark.parametrize("realism", [-0.1, 1.5, float("nan"), float("inf"), np.float32(2)])
def test_realism_out_of_range_is_refused_at_once(realism: Any) -> None:
    for refused in (ConfigError, ValueError):
        with pytest.raises(refused, match=r"realism is .*use 0 to 1"), pillow_plugin.options(realism=realism):
            pass
    with pytest.raises(ConfigError, match="realism"):
        pillow_plugin.set_options(realism=realism)
    assert current_options().realism == 0


@pytest.mark.parametrize(
    "given", [{"realism": "much"}, {"realism": True}, {"realism": [1]}, {"device": 0}, {"device": b"cpu"}]
)
def test_options_of_other_types_are_refused_at_once(given: dict[str, Any]) -> None:
    before = current_options()
    (name,) = given
    for refused in (ConfigError, TypeError, ValueError):
        with pytest.raises(refused, match=f"{name} is .*of type "):
            pillow_plugin.set_options(**given)
        with pytest.raises(refused, match=f"{name} is .*of type "), pillow_plugin.options(**given):
            pass
    assert current_options() == before


def test_numbers_of_numpy_are_numbers() -> None:
    with pillow_plugin.options(realism=np.float32(0.5)):  # type: ignore[arg-type]
        assert current_options().realism == 0.5
    quality = opened(saved(made_image("L"), quality=np.int64(30))).info["quality"]
    assert quality == opened(saved(made_image("L"), quality=np.float32(30))).info["quality"] == 30


def test_a_device_that_is_not_there_is_a_value_error(full: bytes) -> None:
    with pillow_plugin.options(device="abacus"):
        image = opened(full)
    with pytest.raises(ValueError, match="device 'abacus' is unknown"):
        image.load()


def test_realism_reaches_the_generator(photo_codec: Codec) -> None:
    data = photo_codec.compress(made_image("RGB"), quality=20)
    with pillow_plugin.options(realism=1):
        image = opened(data)
    assert image.tobytes() == photo_codec.decompress(data, realism=1).tobytes() != opened(data).tobytes()


# Saving


def test_saving_is_compressing(tiny_codec: Codec, tmp_path: Path) -> None:
    image = made_image("RGBA")
    assert saved(image, quality=30) == tiny_codec.compress(image, quality=30)
    image.save(tmp_path / "by-suffix.gnc", codec=TINY, target_size=2000, device="cpu")
    assert (tmp_path / "by-suffix.gnc").read_bytes() == tiny_codec.compress(image, target_size=2000)
    assert saved(image, target_bpp=9.0) == tiny_codec.compress(image, target_bpp=9.0)


def test_effort_reaches_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    compress = Codec.compress

    def noting(self: Codec, image: Any, *, effort: int, **options: Any) -> bytes:
        seen.append(effort)
        return compress(self, image, effort=effort, **options)

    monkeypatch.setattr(Codec, "compress", noting)
    for options in ({}, {"effort": None}, {"effort": 0}, {"effort": 2}, {"effort": np.int64(1)}):
        saved(made_image("RGB"), **options)
    assert seen == [1, 1, 0, 2, 1] and {type(effort) for effort in seen} == {int}
    extreme = GOLDEN / "tiny-extreme.safetensors"
    one_rate = [saved(made_image("RGB"), codec=extreme, effort=effort) for effort in (0, 9)]
    assert one_rate[0] == one_rate[1]


def test_without_a_codec_it_is_photo(photo_codec: Codec) -> None:
    assert saved(made_image("L"), codec=None) == photo_codec.compress(made_image("L"))


def test_metadata_is_kept_unless_told_otherwise(full: bytes) -> None:
    image = opened(full)

    def kept(**options: Any) -> dict[str, Any]:
        info = opened(saved(image, **options)).info
        return {key: info[key] for key in ("icc_profile", "exif", "xmp") if key in info}

    assert kept() == {"icc_profile": SRGB, "exif": EXIF, "xmp": XMP}
    assert kept(icc_profile=None) == {"exif": EXIF, "xmp": XMP}
    assert kept(exif=b"") == kept(exif=None) == kept(exif=Image.Exif()) == {"icc_profile": SRGB, "xmp": XMP}
    assert kept(xmp=None) == {"icc_profile": SRGB, "exif": EXIF}
    assert kept(xmp="<x>é</x>", exif=b"Exif\0\0" + exif_with(3), icc_profile=b"") == {
        "exif": exif_with(3), "xmp": "<x>é</x>".encode(),
    }  # fmt: skip
    exif = image.getexif()
    exif[0x0112] = 8
    assert opened(saved(image, exif=exif)).getexif()[0x0112] == 8
    with pytest.raises(ConfigError, match="exif is dict"):
        kept(exif={0x0112: 8})


def test_exif_of_a_tiff_file_is_built_of_its_tags(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x013B], tags[0x0112], tags[0x8825] = "A. Painter", 6, {1: "N"}
    read = Image.Exif()
    read.load(tags.tobytes())
    made_image("RGB").save(tmp_path / "a.tiff", exif=read)
    for load in (False, True):
        with Image.open(tmp_path / "a.tiff") as image:
            if load:
                image.load()
            found = opened(saved(image)).getexif()
        assert (found[0x013B], found[0x0112], found.get_ifd(0x8825)) == ("A. Painter", 1, {1: "N"})
    with Image.open(tmp_path / "a.tiff") as image:
        assert "exif" not in opened(saved(image, exif=None)).info


@pytest.mark.parametrize("name", ["rgba-40x56-q50", "grey-64x64-q60"])
def test_the_source_chunk_is_passed_over(name: str) -> None:
    plain = (GOLDEN / f"{name}.gnc").read_bytes()
    marked = with_source(plain, source_digest(b"a file"))
    assert opened(marked).info.keys() == opened(plain).info.keys()
    np.testing.assert_array_equal(np.asarray(opened(marked)), np.asarray(opened(plain)))
    opened(marked).verify()


def test_metadata_of_a_png_is_dropped_as_a_whole() -> None:
    image = made_image("RGB")
    image.info["XML:com.adobe.xmp"] = "<x/>"
    assert opened(saved(image)).info["xmp"] == b"<x/>"
    assert "xmp" not in opened(saved(image, xmp=None)).info


@pytest.mark.parametrize(
    ("mode", "options", "error"),
    [
        ("I;16", {}, PictureError), ("RGB", {"quality": 101}, ConfigError), ("RGB", {"target_size": 10}, LimitError),
        ("RGB", {"quality": 5, "target_bpp": 1.0}, ConfigError), ("RGB", {"codec": "nonsense"}, MissingModelError),
    ],
)  # fmt: skip
def test_a_save_that_fails_leaves_nothing(
    mode: str, options: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    image = Image.fromarray(np.full((9, 9), 40_000, np.uint16)) if mode == "I;16" else made_image(mode)
    with pytest.raises(error):
        image.save(tmp_path / "picture.gnc", **{"codec": TINY} | options)
    assert not any(tmp_path.iterdir())
    file = io.BytesIO()
    with pytest.raises(error):
        image.save(file, "GNC", **{"codec": TINY} | options)
    assert file.tell() == 0


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"quality": "keep"}, TypeError, "quality is 'keep', of type str; give 0 to 100"),
        ({"quality": "80"}, TypeError, "quality is '80'"),
        ({"quality": True}, TypeError, "quality is True"),
        ({"quality": [80]}, TypeError, "quality is"),
        ({"quality": 101}, ValueError, "quality is 101"),
        ({"quality": float("nan")}, ValueError, "quality is nan"),
        ({"target_bpp": "0.2"}, TypeError, "target_bpp is '0.2'"),
        ({"target_bpp": 0}, ValueError, "target_bpp is 0"),
        ({"target_bpp": float("inf")}, ValueError, "target_bpp is inf"),
        ({"target_size": "50k"}, TypeError, "target_size is '50k', of type str; give whole bytes"),
        ({"target_size": 1000.5}, TypeError, "target_size is 1000.5"),
        ({"target_size": -1}, ValueError, "target_size is -1"),
        ({"quality": 5, "target_size": 1000}, ValueError, "exclude each other"),
        ({"effort": "3"}, TypeError, "effort is '3', of type str; give a whole number from 0 to 9"),
        ({"effort": 1.0}, TypeError, "effort is 1.0, of type float"),
        ({"effort": True}, TypeError, "effort is True, of type bool"),
        ({"effort": 10}, ValueError, "effort is 10; give a whole number from 0 to 9"),
        ({"effort": -1}, ValueError, "effort is -1; give"),
        ({"codec": 5}, TypeError, "codec is 5, of type int"),
        ({"codec": 0}, TypeError, "codec is 0, of type int"),
        ({"codec": b"photo"}, TypeError, "codec is b'photo'"),
        ({"codec": ""}, ValueError, "codec is ''"),
        ({"codec": GOLDEN / "tiny-extreme.safetensors", "quality": 5}, ValueError, "one rate only"),
        ({"device": 0}, TypeError, "device is 0"),
        ({"device": "abacus"}, ValueError, "device 'abacus' is unknown"),
        ({"convert_16_bit": "no"}, TypeError, "convert_16_bit is 'no'"),
        ({"exif": {1: 2}}, TypeError, "exif is dict"),
        ({"exif": "text"}, TypeError, "exif is str"),
        ({"icc_profile": "sRGB"}, TypeError, "icc_profile is str"),
        ({"xmp": 5}, TypeError, "xmp is int"),
        ({"save_all": True}, ValueError, "a .gnc file holds one; save every frame"),
        ({"save_all": True, "append_images": []}, ValueError, "a .gnc file holds one"),
        ({"append_images": [Image.new("L", (1, 1))]}, ValueError, "a .gnc file holds one"),
        ({"save_all": False, "append_images": [Image.new("L", (1, 1))]}, ValueError, "append_images is for"),
    ],
)
def test_options_that_do_not_serve_end_as_with_pillows_formats(
    options: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    for refused in (error, ConfigError, ValueError):
        with pytest.raises(refused) as caught:
            made_image("RGB").save(tmp_path / "picture.gnc", **{"codec": TINY} | options)
        assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_options_that_are_none_or_of_other_formats_change_nothing() -> None:
    names = ("quality", "target_bpp", "target_size", "effort", "device", "convert_16_bit", "save_all", "append_images")
    plain = saved(made_image("RGB"))
    assert saved(made_image("RGB"), **dict.fromkeys(names)) == plain
    assert saved(made_image("RGB"), optimize=True, progressive=True, subsampling=0, append_images=[]) == plain
    assert saved(made_image("RGB"), codec=str(TINY)) == plain


def test_16_bit_is_reduced_if_asked_for() -> None:
    image = Image.fromarray(np.full((9, 9), 40_000, np.uint16))
    with pytest.raises(PictureError, match="convert_16_bit"):
        saved(image)
    with pytest.warns(Converted16BitWarning):
        assert opened(saved(image, convert_16_bit=True)).mode == "L"


def test_a_file_can_be_saved_over_itself(full: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.gnc"
    path.write_bytes(full)
    with Image.open(path) as image:
        image.save(path, codec=TINY, quality=5)
    assert read_container(path.read_bytes()).header.quality == 5


def test_weights_that_changed_are_loaded_again(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(TINY.read_bytes())
    tiny_id = opened(saved(made_image("L"), codec=weights)).info["model_id"]
    weights.write_bytes((GOLDEN / "tiny-extreme.safetensors").read_bytes())
    assert opened(saved(made_image("L"), codec=weights)).info["model_id"] != tiny_id


# Threads and processes


def test_threads_get_their_own_pictures(tiny_codec: Codec) -> None:
    images = [made_image(mode, 40 + 10 * number, 30) for number, mode in enumerate(["L", "LA", "RGB", "RGBA"] * 2)]
    files = [saved(image) for image in images]
    wanted = [tiny_codec.decompress(data).tobytes() for data in files]
    start, wrong = threading.Barrier(len(files)), list(range(len(files)))

    def work(number: int) -> None:
        start.wait()
        if all(opened(files[number]).tobytes() == wanted[number] for _ in range(2)):
            wrong.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FORKING = """
import multiprocessing, sys, threading
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
import gancodec.pillow_plugin

class Files(Dataset):
    def __init__(self, paths): self.paths = paths
    def __len__(self): return len(self.paths)
    def __getitem__(self, number):
        with Image.open(self.paths[number]) as image:
            return torch.from_numpy(np.array(image.convert("RGB")))

def same(got, wanted):  # but for the order of sums, which depends on the number of threads
    assert got.shape == wanted.shape and np.abs(got.astype(int) - wanted).max() <= 1

if __name__ == "__main__":
    files = Files(sys.argv[1:])
    torch.set_num_threads(2)  # so that the parent has OpenMP's threads, which a child would wait for
    wanted = [files[number].numpy() for number in range(len(files))]

    loader = DataLoader(files, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for got, right in zip(loader, wanted, strict=True):
        same(got.numpy(), right)
    print("DataLoader", flush=True)

    # DataLoader sets one thread itself; a plain fork does not, and here another thread is at work at that moment
    def child(queue):
        queue.put((files[0].numpy(), torch.get_num_threads()))

    done = threading.Event()
    def work():
        while not done.is_set():
            files[1]
    thread = threading.Thread(target=work)
    thread.start()
    context = multiprocessing.get_context("fork")
    for _ in range(2):
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,), daemon=True)
        process.start()
        got, count = queue.get(timeout=40)
        same(got, wanted[0])
        assert count == 1
        process.join()
    done.set()
    thread.join()
    assert torch.get_num_threads() == 2
    print("fork", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_forked_children_decode_also_when_the_parent_has(tmp_path: Path) -> None:
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.gnc")
        paths[-1].write_bytes(saved(made_image("RGB", 200 + number, 150)))
    (tmp_path / "forking.py").write_text(FORKING)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(tmp_path / "forking.py"), *map(str, paths)]
    passive = os.environ | {"OMP_WAIT_POLICY": "passive"}  # threads that wait for each other leave the core to others
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=passive)
    assert (done.stdout.split(), done.returncode) == (["DataLoader", "fork"], 0), done.stderr


def test_a_fork_that_was_interrupted_while_it_waited_keeps_nobody_waiting() -> None:
    codecs = ProcessCodecs()
    entry = types.SimpleNamespace(path=Path("nowhere"))
    codecs._codecs[entry.path, "cpu"] = (0, "a codec")  # type: ignore[assignment, index]

    class Interrupted:
        def acquire(self) -> None:
            raise KeyboardInterrupt

    lock, codecs._lock = codecs._lock, Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        codecs.before_fork()
    codecs._lock = lock
    codecs.after_fork_in_parent()
    with codecs.use(entry, "cpu") as codec:  # type: ignore[arg-type]
        assert codec == "a codec"
    codecs.before_fork()
    codecs.after_fork_in_parent()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: codecs._lock.acquire(timeout=10)).result()
