"""Compress one photo at several qualities and show the result beside a JPEG of the same size.

python examples/demo.py [IMAGE] [--quality N] [--output-dir demo-output]
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gancodec import Codec, GancodecError
from gancodec.container import read_header
from gancodec.defaults import DEFAULT_QUALITY
from gancodec.evaluation.metrics import bpp, ms_ssim, psnr
from gancodec.picture import from_pillow, read_picture, to_pillow, upright

QUALITIES = (20.0, 50.0, 80.0)
"""Of the table, beside the one that the comparison shows."""

PANEL_MIN_PX, PANEL_MAX_PX = 320, 800
"""Width of a panel of the comparison: small pictures are enlarged, of large ones the centre is shown pixel by pixel."""
MARGIN_PX = 12
FONT_PX = 15
INK, PAPER = (30, 30, 30), (250, 250, 250)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """One .gnc file and the picture that came out of it."""

    quality: float
    data: bytes
    shown: Image.Image
    """Decoded, as ``to_display`` returns it."""
    psnr_db: float
    ms_ssim: float | None
    encode_s: float
    decode_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return an exit code."""
    parser = argparse.ArgumentParser(description="Compress a photo with gancodec and show the result beside JPEG.")
    default_image = Path(__file__).with_name("coffee.png")
    parser.add_argument("image", nargs="?", type=Path, default=default_image, metavar="IMAGE", help="any photo")
    parser.add_argument("--quality", type=float, default=DEFAULT_QUALITY, help="of the comparison (%(default)g)")
    parser.add_argument("--output-dir", type=Path, default=Path("demo-output"), help="%(default)s")
    options = parser.parse_args(argv)
    try:
        demonstrate(options.image, quality=options.quality, folder=options.output_dir)
    except GancodecError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return exc.exit_code
    except OSError as exc:
        print(f"demo: {exc.filename}: {exc.strerror}" if exc.filename else f"demo: {exc}", file=sys.stderr)
        return 2
    return 0


def demonstrate(path: Path, *, quality: float, folder: Path) -> None:
    """Print the table and write the .gnc files and the comparison."""
    source = path.read_bytes()
    # The way of `gancodec compress`: pixels as they lie in the file, EXIF and profile beside them, odd modes converted.
    image = to_pillow(read_picture(source, name=str(path), convert_16_bit=True))
    original = to_display(image)
    folder.mkdir(parents=True, exist_ok=True)

    codec = Codec.load("photo")
    codec.decompress(codec.compress(Image.new("RGB", (64, 64))))  # torch's first call is slow: not in the times below
    results = []
    for wanted in sorted({*QUALITIES, quality}):
        result = run(codec, image, original, wanted, folder / f"{path.stem}-q{wanted:g}.gnc")
        results.append(result)
        if wanted == quality:
            chosen = result

    print(f"\n{path}: {image.width}×{image.height} pixels, {len(source):,} bytes; codec {codec.entry.name}\n")
    print_table(results, len(source), original)

    size = (original.width, original.height)
    jpeg, jpeg_quality = jpeg_of_size(original, len(chosen.data))
    jpeg_shown = Image.open(io.BytesIO(jpeg)).convert("RGB")
    panels = [
        ("original", f"{len(source):,} bytes", original),
        (f"gancodec, quality {chosen.quality:g}", figures(chosen.data, size, chosen.psnr_db), chosen.shown),
        (f"JPEG, quality {jpeg_quality}", figures(jpeg, size, psnr(array(original), array(jpeg_shown))), jpeg_shown),
    ]
    if codec.entry.has_realism:
        realistic = to_display(codec.decompress(chosen.data, realism=1.0))
        caption = figures(chosen.data, size, psnr(array(original), array(realistic)))
        panels.insert(2, ("the same file, realism 1", caption, realistic))
    comparison = folder / f"{path.stem}-comparison.png"
    side_by_side(panels).save(comparison, icc_profile=original.info.get("icc_profile"))
    print(f"\nbeside a JPEG of the same size: {comparison}")


def run(codec: Codec, image: Image.Image, original: Image.Image, quality: float, path: Path) -> Coded:
    """Compress to a file, decompress what the file holds, measure."""
    start = perf_counter()
    path.write_bytes(codec.compress(image, quality=quality))
    encoded = perf_counter()
    data = path.read_bytes()
    decoded = codec.decompress(data)
    end = perf_counter()
    shown = to_display(decoded)
    return Coded(
        quality=read_header(data).quality,
        data=data,
        shown=shown,
        psnr_db=psnr(array(original), array(shown)),
        ms_ssim=ms_ssim(array(original), array(shown)),
        encode_s=encoded - start,
        decode_s=end - encoded,
    )


def to_display(image: Image.Image) -> Image.Image:
    """As a viewer shows it: upright RGB, on white where it is transparent."""
    picture = upright(from_pillow(image))
    turned = to_pillow(picture)
    shown = Image.new("RGB", turned.size, "white")
    shown.paste(turned.convert("RGB"), mask=turned.getchannel("A") if picture.alpha_HW is not None else None)
    if picture.metadata.icc is not None and picture.colour_HWC.shape[2] == 3:
        shown.info["icc_profile"] = picture.metadata.icc
    return shown


def array(image: Image.Image) -> NDArray[np.uint8]:
    """The samples of an RGB image, uint8 [H, W, 3]."""
    return np.asarray(image, dtype=np.uint8)


def jpeg_of_size(image: Image.Image, limit_bytes: int) -> tuple[bytes, int]:
    """Pillow's best JPEG (4:2:0, progressive, no metadata) of at most so many bytes, and its quality.

    Quality 1 where even that is larger.
    """

    def jpeg(quality: int) -> bytes:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality, optimize=True, progressive=True, icc_profile=None)
        return out.getvalue()

    low, high = 1, 95
    while low < high:
        middle = (low + high + 1) // 2
        if len(jpeg(middle)) <= limit_bytes:
            low = middle
        else:
            high = middle - 1
    return jpeg(low), low


def figures(data: bytes, size: tuple[int, int], psnr_db: float) -> str:
    """Caption of a coded picture."""
    return f"{len(data):,} bytes, {bpp(len(data), *size):.3f} bpp, {psnr_db:.2f} dB"


def print_table(results: Sequence[Coded], source_bytes: int, original: Image.Image) -> None:
    """One line a quality."""
    head = ("quality", ".gnc bytes", "of source", "bpp", "PSNR dB", "MS-SSIM", "encode s", "decode s")
    rows = [
        (
            f"{result.quality:g}",
            f"{len(result.data):,}",
            f"{len(result.data) / source_bytes:.1%}",
            f"{bpp(len(result.data), original.width, original.height):.3f}",
            f"{result.psnr_db:.2f}",
            "n/a" if result.ms_ssim is None else f"{result.ms_ssim:.4f}",
            f"{result.encode_s:.2f}",
            f"{result.decode_s:.2f}",
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def side_by_side(panels: Sequence[tuple[str, str, Image.Image]]) -> Image.Image:
    """The pictures in a row, two lines of caption under each."""
    views = [(title, detail, view(image)) for title, detail, image in panels]
    font = ImageFont.load_default(size=FONT_PX)
    width, height = views[0][2].size
    column = max(width, PANEL_MIN_PX)
    line = FONT_PX + 5
    sheet = Image.new("RGB", (len(views) * (column + MARGIN_PX) + MARGIN_PX, height + 2 * line + 3 * MARGIN_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    left = MARGIN_PX
    for title, detail, image in views:
        sheet.paste(image, (left, MARGIN_PX))
        top = MARGIN_PX + height + MARGIN_PX // 2
        draw.text((left, top), title, fill=INK, font=font)
        draw.text((left, top + line), detail, fill=INK, font=font)
        left += column + MARGIN_PX
    return sheet


def view(image: Image.Image) -> Image.Image:
    """The picture itself, the centre of a large one, or a small one with each pixel a square."""
    zoom = max(1, PANEL_MIN_PX // max(image.size))
    if zoom > 1:
        return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    width, height = (min(side, PANEL_MAX_PX) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


if __name__ == "__main__":
    sys.exit(main())
