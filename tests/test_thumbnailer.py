"""Thumbnails, and the files that tell a desktop about .gnc."""

from __future__ import annotations

import configparser
import io
import os
import struct
import tomllib
from pathlib import Path
from urllib.parse import quote_from_bytes
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageCms

import gancodec.pillow_plugin  # noqa: F401  Registers
from gancodec.codec import Codec
from gancodec.container import MAGIC
from gancodec.defaults import GNC_MEDIA_TYPE
from gancodec.errors import ConfigError
from gancodec.picture import Metadata, Picture
from gancodec.registry import CODECS_VARIABLE
from gancodec.thumbnailer import local_path, main, make_thumbnail

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ROOT / "extras"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny codec is found by its model id."""
    monkeypatch.setenv(CODECS_VARIABLE, str(Path(__file__).parent / "golden"))


def picture(
    *, width: int = 96, height: int = 64, grey: bool = False, alpha: bool = False, metadata: Metadata | None = None
) -> Picture:
    """Left half dark, right half bright; transparent at the top."""
    colour_HWC = np.full((height, width, 1 if grey else 3), 40, np.uint8)
    colour_HWC[:, width // 2 :] = 210
    alpha_HW = np.full((height, width), 255, np.uint8) if alpha else None
    if alpha_HW is not None:
        alpha_HW[: height // 2] = 0
    return Picture(colour_HWC=colour_HWC, alpha_HW=alpha_HW, metadata=metadata or Metadata())


def orientation(value: int) -> bytes:
    """EXIF with nothing else in it."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)


def dark_profile(*, channels: int) -> bytes:
    """An ICC profile with a gamma of 5: what is neither black nor white is much darker than in sRGB."""
    if channels == 1:
        white = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
        curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, 0x0500)  # gamma 5
        tags = {b"wtpt": white, b"kTRC": curve}
    else:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        count = struct.unpack(">I", srgb[128:132])[0]
        rows = [struct.unpack(">4sII", srgb[132 + 12 * i : 144 + 12 * i]) for i in range(count)]
        tags = {name: srgb[at : at + size] for name, at, size in rows}
        for name in (b"rTRC", b"gTRC", b"bTRC"):
            tags[name] = b"curv" + bytes(4) + struct.pack(">IHxx", 1, 0x0500)
    head = bytearray(128)
    head[8:24] = b"\x02\x40\0\0mntr" + {1: b"GRAY", 3: b"RGB "}[channels] + b"XYZ "
    head[36:40] = b"acsp"
    head[68:80] = struct.pack(">3i", 63_190, 65_536, 54_061)
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data
    profile = bytes(head) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


@pytest.mark.parametrize(
    ("width", "height", "size_px", "expected"),
    [(96, 64, 48, (48, 32)), (96, 64, 256, (96, 64)), (64, 96, 48, (32, 48)), (200, 1, 64, (64, 1))],
)
def test_it_fits_and_is_never_enlarged(
    width: int, height: int, size_px: int, expected: tuple[int, int], tiny_codec: Codec
) -> None:
    data = tiny_codec.compress(picture(width=width, height=height))
    assert make_thumbnail(data, size_px).size == expected


def test_it_stands_upright(tiny_codec: Codec) -> None:
    data = tiny_codec.compress(picture(metadata=Metadata(exif=orientation(6))), quality=100)  # left becomes top
    thumbnail = make_thumbnail(data, 48)
    assert thumbnail.size == (32, 48)
    samples_HWC = np.asarray(thumbnail)
    assert samples_HWC[:12].mean() < samples_HWC[-12:].mean()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_it_is_in_srgb_and_keeps_alpha(grey: bool, alpha: bool, tiny_codec: Codec) -> None:
    icc = dark_profile(channels=1 if grey else 3)
    plain, profiled = (
        make_thumbnail(tiny_codec.compress(picture(grey=grey, alpha=alpha, metadata=metadata), quality=100), 48)
        for metadata in (Metadata(), Metadata(icc=icc))
    )
    assert profiled.mode == ("RGBA" if alpha else "RGB")
    as_they_are, converted = (np.asarray(image.convert("RGB"), np.float64) for image in (plain, profiled))
    assert converted.mean() < as_they_are.mean() - 10
    if alpha:
        assert np.array_equal(np.asarray(plain.getchannel("A")), np.asarray(profiled.getchannel("A")))


def test_a_useless_profile_changes_nothing(tiny_codec: Codec) -> None:
    broken = bytearray(dark_profile(channels=3)[:132])
    broken[128:132] = bytes(4)
    data = [tiny_codec.compress(picture(metadata=metadata)) for metadata in (Metadata(), Metadata(icc=bytes(broken)))]
    plain, profiled = (make_thumbnail(each, 48) for each in data)
    assert profiled.tobytes() == plain.tobytes()


def test_the_command_writes_a_png_without_metadata(tiny_codec: Codec, tmp_path: Path) -> None:
    source, output = tmp_path / "a b.gnc", tmp_path / "out.png"
    metadata = Metadata(icc=dark_profile(channels=3), exif=orientation(3))
    source.write_bytes(tiny_codec.compress(picture(metadata=metadata)))
    assert main(["--size", "32", source.as_uri(), str(output)]) == 0
    with Image.open(output) as image:
        assert (image.format, image.size, image.info) == ("PNG", (32, 21), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b.gnc", "out.png"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--size", "0", "a.gnc", "out.png"], 2),
        (["--size", "many", "a.gnc", "out.png"], 2),
        (["--sise", "9", "a.gnc", "out.png"], 2),
        (["file://elsewhere/a.gnc", "out.png"], 2),
        (["missing.gnc", "out.png"], 3),
        (["no.gnc", "out.png"], 4),
        (["cut.gnc", "out.png"], 4),
        (["whole.gnc", "nowhere/out.png"], 1),
    ],
)
def test_errors_are_a_line_and_leave_nothing(
    arguments: list[str], code: int, tiny_codec: Codec, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    whole = tiny_codec.compress(picture())
    files = {"whole.gnc": whole, "cut.gnc": whole[:-9], "no.gnc": b"GIF89a"}
    for name, data in files.items():
        Path(name).write_bytes(data)
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gancodec-thumbnailer: error: ")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


def test_weights_that_are_not_there_are_5(
    tiny_codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(CODECS_VARIABLE)
    (tmp_path / "a.gnc").write_bytes(tiny_codec.compress(picture()))
    assert main([str(tmp_path / "a.gnc"), str(tmp_path / "out.png")]) == 5
    assert "70cd449a" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["/a/b%20c.gnc", "file:///a/b%2520c.gnc", "file://localhost/a/b%2520c.gnc"])
def test_paths_and_uris_mean_the_same(text: str) -> None:
    assert local_path(text) == Path("/a/b%20c.gnc")


@pytest.mark.parametrize(
    "name", [b"gr\xfcn.gnc", "grün.gnc".encode(), b"a%41.gnc", b"\xff\xfe.gnc", "写真.gnc".encode()]
)
def test_names_that_are_not_utf_8_are_found(name: bytes, tiny_codec: Codec, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(tiny_codec.compress(picture()))
    for quoted in (quote_from_bytes(os.fsencode(path)), str(path).replace("%", "%25")):
        text = f"file://{quoted}"
        assert os.fsencode(local_path(text)) == os.fsencode(path)
        assert main([text, str(tmp_path / "out.png")]) == 0


def test_a_zero_byte_is_an_option_that_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["file:///a%00b.gnc", "out.png"]) == 2
    assert "zero byte" in capsys.readouterr().err


def test_other_machines_are_refused() -> None:
    with pytest.raises(ConfigError, match="another machine"):
        local_path("file://server/a.gnc")


# What the desktop is told


def test_mime_type_suffix_and_first_bytes_are_ours() -> None:
    name = "{http://www.freedesktop.org/standards/shared-mime-info}"
    root = ElementTree.parse(EXTRAS / "gancodec.xml").getroot()
    (mime_type,) = root.findall(f"{name}mime-type")
    assert mime_type.get("type") == GNC_MEDIA_TYPE
    (glob,) = mime_type.findall(f"{name}glob")
    assert glob.get("pattern") == "*.gnc"
    (match,) = mime_type.findall(f"{name}magic/{name}match")
    value = str(match.get("value")).encode().decode("unicode_escape").encode("latin-1")
    assert (value, match.get("type"), match.get("offset")) == (MAGIC, "string", "0")


def test_the_thumbnailer_entry_calls_a_command_that_we_install() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(EXTRAS / "gancodec.thumbnailer", encoding="utf-8")
    entry = parser["Thumbnailer Entry"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert entry["MimeType"] == f"{GNC_MEDIA_TYPE};"
    assert project["project"]["scripts"][entry["TryExec"]] == "gancodec.thumbnailer:run"
    assert entry["Exec"].split() == [entry["TryExec"], "--size", "%s", "%i", "%o"]


def test_png_has_the_pixels_that_were_made(tiny_codec: Codec, tmp_path: Path) -> None:
    data = tiny_codec.compress(picture(alpha=True))
    (tmp_path / "a.gnc").write_bytes(data)
    assert main([str(tmp_path / "a.gnc"), str(tmp_path / "a.png")]) == 0
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        assert (image.mode, image.tobytes()) == ("RGBA", make_thumbnail(data, 256).tobytes())
