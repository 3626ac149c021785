"""Every table and picture of README.md and the weights' cards, from scratch, with the shipped weights.

    python benchmarks/figures.py KODAK [--features PATH:alex] [--quick]      (make figures KODAK=… FEATURES=…)

Text between ``<!-- figures: NAME -->`` and ``<!-- end -->`` is replaced; pictures go to docs/images.  About an hour on
two cores; --quick leaves the slow metrics and codecs out, to see whether everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gancodec.codec import Codec
from gancodec.errors import ConfigError, GancodecError
from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import Coder, GancodecCoder, encode_within
from gancodec.evaluation.columns import Metric
from gancodec.evaluation.plot import draw
from gancodec.evaluation.request import QUALITIES, EvalRequest, evaluate
from gancodec.evaluation.results import Comparison, Curve, Point, SweepResult
from gancodec.evaluation.sweep import load_rgb
from gancodec.evaluation.tables import Table, markdown
from gancodec.registry import shipped_models

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
RATES_BPP = (0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
STRIP_PICTURES = ("coffee.png", "chelsea.png")
STRIP_BPP = 0.2
STRIP_PX = 300
"""Side of the squares, cut from the middle."""
STRIP_ZOOM = 1.6
"""How much larger they are shown."""
MARK = "<!-- figures: {} -->"
END = "<!-- end -->"
Section = str


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, then replace; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kodak", type=Path, help="folder with kodim01.png to kodim24.png")
    parser.add_argument("--features", metavar="PATH[:NET]", help="LPIPS network; without, LPIPS is skipped")
    parser.add_argument("--quick", action="store_true", help="fewer metrics, write nothing")
    options = parser.parse_args(argv)
    try:
        result = measure(options.kodak, options.features, quick=options.quick)
    except GancodecError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    sections = all_sections(result)
    if options.quick:
        for name, text in sections.items():
            print(f"{name}\n{text}\n")
        return 0
    draw(only_curves(result), IMAGES / "kodak.png")
    strip(STRIP_PICTURES).save(IMAGES / "strip.webp", quality=92, method=6)
    unused = set(sections)
    changed = 0
    for path in (ROOT / "README.md", *sorted((ROOT / "weights").glob("*.md"))):
        before = path.read_text(encoding="utf-8")
        after = replaced(before, sections, path.name)
        changed += before != after
        unused -= {name for name in sections if MARK.format(name) in before}
        path.write_text(after, encoding="utf-8")
    if unused:
        print(f"no text has a mark for {', '.join(sorted(unused))}", file=sys.stderr)
    print(f"{changed} texts changed; look at docs/images and `git diff` before you commit")
    return 0


def measure(kodak: Path, features: str | None, *, quick: bool) -> SweepResult:
    """One sweep over all shipped codecs."""
    names = [entry.name for entry in shipped_models()]
    request = EvalRequest(
        inputs=[kodak],
        codecs=names,
        realisms=(0.0, 1.0),
        qualities=(15.0, 45.0) if quick else QUALITIES,
        against=("webp",) if quick else ("jpeg", "webp", "avif", "jxl"),
        metrics=("psnr", "ms-ssim") if quick else ("psnr", "ms-ssim", "ssimulacra2"),
        features=features,
        reference="kodak",
        at_bpp=RATES_BPP,
    )
    return evaluate(request, lambda line: print(line, file=sys.stderr, flush=True))


def all_sections(result: SweepResult) -> dict[str, Section]:
    """Texts by the names of their marks."""
    photo = result.curves[0]
    return {
        "photo bd-rates": bd_rates(result),
        "photo curve": curve_table(result, photo),
        "equal rates": equal_rates(result),
        "realism": realism(result),
        "extreme": single_rates(result),
    }


def replaced(text: str, sections: dict[str, Section], name: str) -> str:
    """``text`` with the sections it marks.  Raises ConfigError for a mark that no section has."""
    pattern = re.compile(MARK.format("(.+?)") + r".*?" + END, re.DOTALL)

    def section(match: re.Match[str]) -> str:
        if match[1] not in sections:
            raise ConfigError(f"{name} marks figures {match[1]!r}", hint=f"known are {', '.join(sections)}")
        return f"{MARK.format(match[1])}\n{sections[match[1]]}\n{END}"

    return pattern.sub(section, text)


def bd_rates(result: SweepResult) -> Section:
    """photo at realism 0 against everybody, a row each."""
    rows = []
    for anchor in (*result.curves, *result.references):
        found = {each.metric.key: each for each in result.comparisons if each.anchor is anchor}
        if anchor.codec.startswith("photo") or not found:
            continue
        psnr = found.get("psnr")
        cells = [percent(found.get(metric.key)) for metric in result.metrics]
        shared = f"{psnr.bd.low:.1f}–{psnr.bd.high:.1f} dB" if psnr and psnr.bd else "–"
        rows.append((anchor.codec, *cells, shared, anchor.settings.split("; lib")[0]))
    names = [f"BD-rate, {metric.label.removesuffix(' dB')}" for metric in result.metrics]
    return table(("against", *names, "shared PSNR", "settings"), rows, notes=True)


def percent(comparison: Comparison | None) -> str:
    return "–" if comparison is None or comparison.bd is None else f"{comparison.bd.percent:+.1f} %"


def curve_table(result: SweepResult, curve: Curve) -> Section:
    rows = [(f"{point.quality:g}", f"{point.bpp:.4f}", *cells(result, point)) for point in curve.points]
    return table(("quality", "bpp", *(metric.label for metric in result.metrics)), rows)


def equal_rates(result: SweepResult) -> Section:
    """Every measured codec at RATES_BPP, best value of each column in bold."""
    rows = []
    for rate in RATES_BPP:
        points = [each for each in result.at_rates if each.bpp == rate and not each.is_own_rate]
        points = [each for each in points if "published" not in each.codec and each.values["psnr"] is not None]
        best = {metric.key: winner(metric, points) for metric in result.metrics}
        for place, point in enumerate(points):
            texts = []
            for metric, text in zip(result.metrics, cells(result, point), strict=True):
                texts.append(f"**{text}**" if point is best[metric.key] else text)
            rows.append((point.codec, f"{rate:g}" if place == 0 else "", *texts))
    return table(("codec", "bpp", *(metric.label for metric in result.metrics)), rows)


def winner(metric: Metric, points: Sequence[object]) -> object:
    known = [each for each in points if each.values.get(metric.key) is not None]  # type: ignore[attr-defined]
    return max(known, key=lambda each: metric.rising(each.values[metric.key]), default=None)  # type: ignore[attr-defined]


def realism(result: SweepResult) -> Section:
    """photo at realism 0 and 1, the same files."""
    faithful, generated = (curve for curve in result.curves if curve.codec.startswith("photo"))
    rows = []
    for zero, one in zip(faithful.points, generated.points, strict=True):
        texts: list[str] = []
        for metric, left, right in zip(result.metrics, cells(result, zero), cells(result, one), strict=True):
            change = ""
            if metric.lower_is_better and zero.value(metric) and one.value(metric):
                change = f" ({100 * ((one.value(metric) or 0) / (zero.value(metric) or 1) - 1):+.0f} %)"
            texts.append(f"{left} → {right}{change}")
        rows.append((f"{zero.quality:g}", f"{zero.bpp:.4f}", *texts))
    return table(("quality", "bpp", *(metric.label for metric in result.metrics)), rows)


def single_rates(result: SweepResult) -> Section:
    """Codecs of one rate, and the smallest files of the others."""
    rows = []
    for curve in result.curves:
        first = min(curve.points, key=lambda point: point.bpp)
        label = curve.codec if first.quality is None else f"{curve.codec}, quality {first.quality:g}"
        rows.append((label, f"{first.bpp:.4f}", *cells(result, first)))
    rows.sort(key=lambda row: float(row[1]))
    largest = max((row.bpp for row in result.rows if row.codec == "extreme"), default=None)
    note = () if largest is None else (f"The largest of the 24 files of extreme has {largest:.4f} bpp.",)
    return table(("codec", "bpp", *(metric.label for metric in result.metrics)), rows, footnotes=note)


def cells(result: SweepResult, point: Point | object) -> list[str]:
    values = point.values  # type: ignore[union-attr]
    found = [(metric, values.get(metric.key)) for metric in result.metrics]
    return ["–" if value is None else f"{value:.{metric.digits}f}" for metric, value in found]


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, notes: bool = False, footnotes: tuple[str, ...] = ()
) -> Section:
    made = Table(
        title="", header=tuple(header), rows=tuple(map(tuple, rows)), notes=notes, footnotes=footnotes
    )
    return markdown(made).removeprefix("****").strip("\n")


def only_curves(result: SweepResult) -> SweepResult:
    """What the plot of the README shows: without SSIMULACRA2, of which there are no published curves."""
    from dataclasses import replace

    return replace(result, metrics=tuple(metric for metric in result.metrics if metric.key != "ssimulacra2"))


def strip(names: Sequence[str]) -> Image.Image:
    """Squares of pictures at equal size: original, ours at realism 0 and 1, JPEG, WebP, AVIF."""
    codec = Codec.load("photo")
    ours = GancodecCoder(codec, qualities=range(101), realisms=(0.0, 1.0))
    others = [classical(name) for name in ("jpeg", "webp", "avif")]
    side, font = round(STRIP_PX * STRIP_ZOOM), ImageFont.load_default(18)
    columns = 2 + 1 + len(others)
    canvas = Image.new("RGB", (columns * (side + 6) - 6, len(names) * (side + 34)), "white")
    pen = ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        picture = load_rgb(ROOT / "examples" / name)
        limit = round(STRIP_BPP * picture.width * picture.height / 8)
        shown: list[tuple[str, Image.Image]] = [("original", picture)]
        coders: list[Coder] = [ours, *others]
        for coder in coders:
            shown += versions(coder, picture, limit)
        for column, (label, image) in enumerate(shown):
            left, top = column * (side + 6), row * (side + 34)
            pen.text((left + 4, top + 6), label, fill="black", font=font)
            canvas.paste(square(image).resize((side, side), Image.Resampling.LANCZOS), (left, top + 32))
    return canvas


def versions(coder: Coder, picture: Image.Image, limit: int) -> list[tuple[str, Image.Image]]:
    data, _ = encode_within(coder, picture, limit)
    labels = {"photo": "gancodec", "photo r=1": "gancodec, realism 1"}
    return [
        (f"{labels.get(decoder.name, decoder.name)}, {len(data):,} B", decoder.decode(data).convert("RGB"))
        for decoder in coder.decoders
    ]


def square(picture: Image.Image) -> Image.Image:
    left, top = (picture.width - STRIP_PX) // 2, (picture.height - STRIP_PX) // 2
    return picture.crop((left, top, left + STRIP_PX, top + STRIP_PX))


if __name__ == "__main__":
    sys.exit(main())
