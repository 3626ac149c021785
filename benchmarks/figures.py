"""Every table and picture of README.md, docs/kodak.md and the weights' cards, from scratch, with the shipped weights.

    python benchmarks/figures.py KODAK [--features PATH:alex] [--keep-others | --quick]
                                                        (make figures KODAK=… FEATURES=… ARGS=…)

Text between ``<!-- figures: NAME -->`` and ``<!-- end -->`` is replaced; pictures go to docs/images.  An hour on one
core, most of it SSIMULACRA2.  --keep-others measures our codecs alone and takes the others' points from docs/kodak.md,
to the digits that stand there: enough where only weights are new.  --quick leaves the slow metrics and codecs out, to
see whether everything runs, and prints the texts in place of writing them.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from gancodec.codec import Codec
from gancodec.errors import ConfigError, GancodecError
from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import Coder, GancodecCoder, encode_within
from gancodec.evaluation.columns import Metric
from gancodec.evaluation.matched import at_rates
from gancodec.evaluation.plot import draw
from gancodec.evaluation.request import QUALITIES, EvalRequest, evaluate
from gancodec.evaluation.results import Comparison, Curve, Point, RatePoint, SweepResult, Values, compare
from gancodec.evaluation.sweep import load_rgb
from gancodec.evaluation.tables import Table, markdown
from gancodec.registry import shipped_models
from gancodec.writing import write_file

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
FULL: Final = ROOT / "docs" / "kodak.md"
"""The page that has every point."""
OTHERS: Final = ("jpeg", "webp", "avif", "jxl")
REALISMS: Final = (0.0, 1.0)
RATES_BPP: Final = (0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
RATES_SHORT_BPP: Final = (0.2, 0.5)
ANCHORS_SHORT: Final = (
    "JPEG", "WebP", "AVIF", "JPEG XL", "VTM (published)", "mbt2018-mean (published)", "ELIC (published)",
    "MS-ILLM (published)",
)  # fmt: skip
"""In the README's table; docs/kodak.md has them all."""
STRIP_PICTURES: Final = ("coffee.png", "chelsea.png")
STRIP_BPP: Final = 0.2
STRIP_PX: Final = 300
"""Side of the squares, cut from the middle."""
STRIP_ZOOM: Final = 1.3
"""How much larger they are shown."""
STRIP_LABELS: Final = {"photo": "gancodec", "photo r=1": "… realism 1"}
SECTION: Final = re.compile("<!-- figures: (.+?) -->.*?<!-- end -->", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, then replace; returns an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kodak", type=Path, help="folder with kodim01.png to kodim24.png")
    parser.add_argument("--features", metavar="PATH[:NET]", help="LPIPS network; without, LPIPS is skipped")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--keep-others", action="store_true", help="the other codecs' points from docs/kodak.md")
    chosen.add_argument("--quick", action="store_true", help="fewer metrics, write nothing")
    options = parser.parse_args(argv)
    try:
        if options.keep_others and options.features is None:
            raise ConfigError(f"{FULL.name} has LPIPS, and --keep-others needs it too", hint="give --features")
        pages = read_pages()
        check_marks(pages)
        result = measure(options.kodak, options.features, quick=options.quick, alone=options.keep_others)
        if options.keep_others:
            result = with_others(result, pages[FULL])
        texts = {name: write(result) for name, write in SECTIONS.items()}
        if options.quick:
            print("\n\n".join(f"{name}\n\n{text}" for name, text in texts.items()))
        else:
            publish(result, texts)
    except GancodecError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


def measure(kodak: Path, features: str | None, *, quick: bool, alone: bool) -> SweepResult:
    """One sweep over all shipped codecs, the default one first, at realism 0 and 1; alone: without the others.

    Raises ConfigError unless ``kodak`` holds Kodak's 24 pictures, ModelError for features that are not there.
    """
    request = EvalRequest(
        inputs=[kodak],
        codecs=[entry.name for entry in shipped_models()],
        realisms=REALISMS,
        qualities=(15.0, 45.0) if quick else QUALITIES,
        against=() if alone else ("webp",) if quick else OTHERS,
        metrics=("psnr", "ms-ssim") if quick else ("psnr", "ms-ssim", "ssimulacra2"),
        features=features,
        reference="kodak",
        at_bpp=RATES_BPP,
    )
    return evaluate(request, lambda line: print(line, file=sys.stderr, flush=True))


def with_others(result: SweepResult, page: str) -> SweepResult:
    """``result`` as if the other codecs had been measured too: their points and settings are those on the page.

    Raises ConfigError where the page has other columns, no other codecs, or no settings of one.
    """
    texts = {match[1]: match[0] for match in SECTION.finditer(page)}
    header, *rows = table_cells(texts["curves"])
    if header != ["codec", "quality", "bpp", *labels(result)]:
        raise ConfigError(f"{FULL.name} has other columns: {', '.join(header)}", hint="leave --keep-others out")
    measured = {curve.codec for curve in result.curves}
    points: dict[str, list[Point]] = {}
    for codec, quality, bpp, *values in rows:
        if codec not in measured:
            keys = (metric.key for metric in result.metrics)
            found = dict(zip(keys, map(number, values), strict=True))
            points.setdefault(codec, []).append(Point(quality=number(quality), bpp=float(bpp), values=found))
    if not points:
        raise ConfigError(f"{FULL.name} has no points of other codecs", hint="leave --keep-others out")
    settings = {row[0]: row[-1] for row in table_cells(texts["bd-rates, all"])}
    if missing := points.keys() - settings.keys():
        names = ", ".join(sorted(missing))
        raise ConfigError(f"{FULL.name} has no settings of {names}", hint="leave --keep-others out")
    others = [Curve(codec=codec, settings=settings[codec], points=tuple(own)) for codec, own in points.items()]
    curves = (*result.curves, *others)
    own = result.curves[0]
    compared = [compare(own, other, metric) for other in others for metric in result.metrics]
    return replace(
        result,
        curves=curves,
        comparisons=(*compared, *result.comparisons),
        at_rates=at_rates([*curves, *result.references], result.metrics, RATES_BPP),
    )


def table_cells(text: str) -> list[list[str]]:
    """Of a table in Markdown, header first."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| -")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def number(cell: str) -> float | None:
    """What a cell says; None for a dash."""
    return None if cell == "–" else float(cell)


def publish(result: SweepResult, texts: Mapping[str, str]) -> None:
    """Draw the pictures, and put the texts where their marks are."""
    before = read_pages()
    after = {page: with_sections(text, texts, page.name) for page, text in before.items()}
    # Of SSIMULACRA2 there are no published curves, and a fourth panel would make the others small.
    drawn = tuple(metric for metric in result.metrics if metric.key != "ssimulacra2")
    draw(replace(result, metrics=drawn), IMAGES / "kodak.png")
    drawn_strip = io.BytesIO()
    strip(STRIP_PICTURES).save(drawn_strip, "WEBP", quality=92, method=6)
    write_file(IMAGES / "strip.webp", drawn_strip.getvalue())
    for page, text in after.items():
        write_file(page, text)
    changed = sum(before[page] != after[page] for page in before)
    print(f"{changed} pages changed; look at docs/images and `git diff` before you commit")


def read_pages() -> dict[Path, str]:
    """All pages that may have marks."""
    pages = [ROOT / "README.md", FULL, *sorted((ROOT / "weights").glob("*.md"))]
    return {page: page.read_text(encoding="utf-8") for page in pages}


def check_marks(pages: Mapping[Path, str]) -> None:
    """Raise ConfigError for a mark without a text, and for a text without a mark: before an hour of measuring."""
    for page, text in pages.items():
        with_sections(text, dict.fromkeys(SECTIONS, ""), page.name)
    marked = {name for text in pages.values() for name in SECTION.findall(text)}
    if unmarked := SECTIONS.keys() - marked:
        raise ConfigError(f"no page has a mark for {', '.join(sorted(unmarked))}", hint="add it, or drop the text")


def with_sections(page: str, texts: Mapping[str, str], name: str) -> str:
    """``page`` with the texts that it marks.  Raises ConfigError, with the page's name, for a mark without one."""

    def section(match: re.Match[str]) -> str:
        if match[1] not in texts:
            raise ConfigError(f"{name} marks figures {match[1]!r}", hint=f"known are {', '.join(texts)}")
        return f"<!-- figures: {match[1]} -->\n{texts[match[1]]}\n<!-- end -->"

    return SECTION.sub(section, page)


def bd_rates(result: SweepResult, only: Sequence[str] | None = None) -> str:
    """The first codec at realism 0 against everybody else's curve, or only those named; a row each."""
    own = result.curves[: len(REALISMS)]
    rows = []
    for anchor in (*result.curves, *result.references):
        found = {each.metric.key: each for each in result.comparisons if each.anchor is anchor}
        if anchor in own or not found or (only is not None and anchor.codec not in only):
            continue
        rows.append((anchor.codec, *(percent(found.get(metric.key)) for metric in result.metrics), shared(found)))
        if only is None:
            rows[-1] += (anchor.settings,)
    header = ("against", *(metric.label.removesuffix(" dB") for metric in result.metrics), "shared PSNR")
    return table(header if only is not None else (*header, "settings"), rows, notes=only is None)


def percent(comparison: Comparison | None) -> str:
    """A BD-rate as a cell."""
    return "–" if comparison is None or comparison.bd is None else f"{comparison.bd.percent:+.1f} %"


def shared(comparisons: Mapping[str, Comparison]) -> str:
    """The range of PSNR that both curves reach, as a cell."""
    bd = comparisons["psnr"].bd if "psnr" in comparisons else None
    return "–" if bd is None else f"{bd.low:.1f}–{bd.high:.1f} dB"


def curves(result: SweepResult, chosen: Sequence[Curve] | None = None) -> str:
    """Every point of the chosen curves, or of all that were measured."""
    rows = [
        (curve.codec, setting(point), f"{point.bpp:.4f}", *cells(result, point.values))
        for curve in (result.curves if chosen is None else chosen)
        for point in curve.points
    ]
    return table(("codec", "quality", "bpp", *labels(result)), rows)


def equal_rates(result: SweepResult, rates_bpp: Sequence[float] = RATES_BPP) -> str:
    """Every measured codec at some rates; the best value of each column and rate in bold."""
    measured = {curve.codec for curve in result.curves}
    rows = []
    for rate in rates_bpp:
        points = [each for each in result.at_rates if each.bpp == rate and each.codec in measured]
        points = [each for each in points if any(value is not None for value in each.values.values())]
        best = {metric.key: best_of(points, metric) for metric in result.metrics}
        for point in points:
            marked = (
                f"**{cell}**" if point is best[metric.key] else cell
                for metric, cell in zip(result.metrics, cells(result, point.values), strict=True)
            )
            rows.append((point.codec, f"{rate:g}", *marked))
    return table(("codec", "bpp", *labels(result)), rows)


def best_of(points: Sequence[RatePoint], metric: Metric) -> RatePoint | None:
    """The point with the best value of a metric; None where none has any."""
    rated = [(metric.rising(value), point) for point in points if (value := point.values.get(metric.key)) is not None]
    return max(rated, key=lambda pair: pair[0])[1] if rated else None


def realism(result: SweepResult) -> str:
    """The first codec's files at realism 0 and 1."""
    faithful, generated = result.curves[: len(REALISMS)]
    rows = []
    for zero, one in zip(faithful.points, generated.points, strict=True):
        pairs = zip(cells(result, zero.values), cells(result, one.values), strict=True)
        changes = (change(zero.values, one.values, metric) for metric in result.metrics)
        texts = (f"{before} → {after}{share}" for (before, after), share in zip(pairs, changes, strict=True))
        rows.append((f"{zero.quality:g}", f"{zero.bpp:.4f}", *texts))
    return table(("quality", "bpp", *labels(result)), rows)


def change(before: Values, after: Values, metric: Metric) -> str:
    """By how much a distance fell, for the end of a cell; nothing for what is no distance."""
    old, new = before.get(metric.key), after.get(metric.key)
    return f" ({100 * (new / old - 1):+.0f} %)" if metric.lower_is_better and old and new is not None else ""


def smallest_files(result: SweepResult) -> str:
    """Codecs of one rate, and the smallest files of the others."""
    points = sorted(
        ((curve, min(curve.points, key=lambda point: point.bpp)) for curve in result.curves),
        key=lambda pair: pair[1].bpp,
    )
    rows = [(curve.codec, setting(point), f"{point.bpp:.4f}", *cells(result, point.values)) for curve, point in points]
    notes = []
    for curve in result.curves:
        if len(curve.points) == 1:
            largest = max(row.bpp for row in result.rows if row.codec == curve.codec)
            notes.append(f"The largest of the {len(result.pictures)} files of {curve.codec} has {largest:.4f} bpp.")
    return table(("codec", "quality", "bpp", *labels(result)), rows, footnotes=notes)


def setting(point: Point) -> str:
    """The quality of a point, as a cell."""
    return "–" if point.quality is None else f"{point.quality:g}"


def labels(result: SweepResult) -> tuple[str, ...]:
    """Of the metrics' columns; an arrow where lower is better."""
    return tuple(f"{metric.label} ↓" if metric.lower_is_better else metric.label for metric in result.metrics)


def cells(result: SweepResult, values: Values) -> tuple[str, ...]:
    """A cell for each metric."""
    found = ((metric, values.get(metric.key)) for metric in result.metrics)
    return tuple("–" if value is None else f"{value:.{metric.digits}f}" for metric, value in found)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, notes: bool = False, footnotes: Sequence[str] = ()
) -> str:
    """A table in Markdown, without a title."""
    lines = tuple(tuple(row) for row in rows)
    return markdown(Table(title="", header=tuple(header), rows=lines, notes=notes, footnotes=tuple(footnotes)))


SECTIONS: Final[Mapping[str, Callable[[SweepResult], str]]] = {
    "bd-rates": lambda result: bd_rates(result, ANCHORS_SHORT),
    "bd-rates, all": bd_rates,
    "photo curve": lambda result: curves(result, result.curves[:1]),
    "curves": curves,
    "equal rates": lambda result: equal_rates(result, RATES_SHORT_BPP),
    "equal rates, all": equal_rates,
    "realism": realism,
    "smallest files": smallest_files,
}
"""What writes the text behind each mark."""


def strip(names: Sequence[str]) -> Image.Image:
    """Squares of pictures at equal size: original, ours at realism 0 and 1, JPEG, WebP, AVIF."""
    ours = GancodecCoder(Codec.load("photo"), qualities=range(101), realisms=REALISMS)
    coders: list[Coder] = [ours, *(classical(name) for name in ("jpeg", "webp", "avif"))]
    side, font = round(STRIP_PX * STRIP_ZOOM), ImageFont.load_default(28)
    columns = 1 + sum(len(coder.decoders) for coder in coders)
    canvas = Image.new("RGB", (columns * (side + 6) - 6, len(names) * (side + 78)), "white")
    pen = ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        picture = load_rgb(ROOT / "examples" / name)
        limit = round(STRIP_BPP * picture.width * picture.height / 8)
        shown = [("original", picture), *(pair for coder in coders for pair in versions(coder, picture, limit))]
        for column, (label, image) in enumerate(shown):
            left, top = column * (side + 6), row * (side + 78)
            pen.multiline_text((left + 4, top + 8), label, fill="black", font=font)
            canvas.paste(square(image).resize((side, side), Image.Resampling.LANCZOS), (left, top + 76))
    return canvas


def versions(coder: Coder, picture: Image.Image, limit: int) -> list[tuple[str, Image.Image]]:
    """What a coder makes of a picture in at most ``limit`` bytes, by its label; one picture a decoder."""
    data, _ = encode_within(coder, picture, limit)
    return [
        (f"{STRIP_LABELS.get(decoder.name, decoder.name)}\n{len(data):,} bytes", decoder.decode(data).convert("RGB"))
        for decoder in coder.decoders
    ]


def square(picture: Image.Image) -> Image.Image:
    """The middle, STRIP_PX a side."""
    left, top = (picture.width - STRIP_PX) // 2, (picture.height - STRIP_PX) // 2
    return picture.crop((left, top, left + STRIP_PX, top + STRIP_PX))


if __name__ == "__main__":
    sys.exit(main())
