"""The tables of README.md, docs/kodak.md and the weights' cards, as benchmarks/figures.py writes them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from gancodec.errors import ConfigError
from gancodec.evaluation.columns import MS_SSIM, PSNR, Metric
from gancodec.evaluation.matched import at_rates
from gancodec.evaluation.results import Curve, Point, Row, SweepResult, compare

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "figures.py"
if not SCRIPT.is_file():
    pytest.skip("benchmarks/figures.py is not beside the tests", allow_module_level=True)

LPIPS = Metric(key="lpips", label="LPIPS (alex)", digits=4, lower_is_better=True)
METRICS = (PSNR, MS_SSIM, LPIPS)
RATES = [0.1, 0.2, 0.5, 1.0]


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def curve(codec: str, rates: Sequence[float], psnr: float, lpips: float, **options: str) -> Curve:
    """psnr, lpips: at 0.1 bpp; every doubling of the rate gives 2 dB, and a tenth less distance."""
    points = [
        Point(
            quality=None if len(rates) == 1 else 10.0 * place,
            bpp=rate,
            values={
                "psnr": psnr + 2 * math.log2(rate / 0.1),
                "ms-ssim": 1 - 0.1 * 0.5 ** math.log2(rate / 0.1),
                "lpips": lpips * 0.9 ** math.log2(rate / 0.1),
            },
        )
        for place, rate in enumerate(rates)
    ]
    return Curve(codec=codec, settings=f"settings of {codec}", points=tuple(points), **options)


@pytest.fixture
def result() -> SweepResult:
    """`photo` at realism 0 and 1, `extreme` of one rate, JPEG at twice the bits, WebP, and a published curve above all.

    `photo r=1` has 1 dB less and half the distance; AV1 is published without LPIPS.
    """
    curves = (
        curve("photo", RATES, 28.0, 0.4),
        curve("photo r=1", RATES, 27.0, 0.2),
        curve("extreme", [0.06], 22.0, 0.3),
        curve("JPEG", [2 * rate for rate in RATES], 26.0, 0.5),
        curve("WebP", [0.4, 0.5, 1.0], 27.5, 0.45),
    )
    published = (curve("VTM (published)", RATES, 30.0, 0.01, source="a paper"),)
    comparisons = [
        compare(curves[0], anchor, metric)
        for metric in METRICS
        for anchor in (*curves[1:], *published)
        if len(anchor.points) > 1
    ]
    rows = [
        Row(codec=codec, quality=None, picture=picture, width=8, height=8, size_bytes=8, bpp=rate, values={},
            encode_s={}, decode_s={})
        for codec, picture, rate in [
            ("extreme", "a.png", 0.0512), ("extreme", "b.png", 0.0688), ("photo", "a.png", 3.0)
        ]
    ]  # fmt: skip
    return SweepResult(
        metrics=METRICS,
        pictures=("a.png", "b.png"),
        rows=tuple(rows),
        curves=curves,
        references=published,
        comparisons=tuple(comparisons),
        skipped=(),
        at_rates=at_rates([*curves, *published], METRICS, [0.1, 0.2, 0.5]),
    )


def cells(text: str) -> list[list[str]]:
    """Of a table in Markdown, header first."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| -")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def column(text: str, title: str) -> list[str]:
    header, *rows = cells(text)
    return [row[header.index(title)] for row in rows]


# The other codecs' points, kept


def test_kept_points_make_the_tables_that_they_stand_in(figures: ModuleType, result: SweepResult) -> None:
    names = ("curves", "bd-rates, all")
    page = "\n".join(f"<!-- figures: {name} -->\n{figures.SECTIONS[name](result)}\n<!-- end -->" for name in names)
    ours = {"photo", "photo r=1", "extreme"}
    alone = replace(
        result,
        curves=result.curves[:3],
        comparisons=tuple(each for each in result.comparisons if each.anchor.codec not in ("JPEG", "WebP")),
        at_rates=tuple(each for each in result.at_rates if each.codec in ours),
    )
    kept = figures.with_others(alone, page)
    assert [curve.codec for curve in kept.curves] == [curve.codec for curve in result.curves]
    for name in ("curves", "smallest files"):
        assert figures.SECTIONS[name](kept) == figures.SECTIONS[name](result), name
    rates, wanted = (figures.SECTIONS["bd-rates, all"](each) for each in (kept, result))
    for title in ("against", "settings"):
        assert column(rates, title) == column(wanted, title)
    for rate, other in zip(column(rates, "PSNR"), column(wanted, "PSNR"), strict=True):
        assert float(rate.rstrip(" %")) == pytest.approx(float(other.rstrip(" %")), abs=0.25)  # of rounded points
    with pytest.raises(ConfigError, match="other columns"):
        figures.with_others(replace(alone, metrics=METRICS[:2]), page)
    points, rates = page.split("<!-- figures: bd-rates, all -->")
    with pytest.raises(ConfigError, match="no settings of JPEG"):
        figures.with_others(alone, f"{points}<!-- figures: bd-rates, all -->{rates.replace('| JPEG', '| GIF ')}")
    with pytest.raises(ConfigError, match="no points of other codecs"):
        figures.with_others(result, page)


# Marks in the pages


def test_every_mark_in_the_pages_has_an_end_and_a_text(figures: ModuleType) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*.md")]
    marked = set()
    for page in pages:
        text = page.read_text(encoding="utf-8")
        names = figures.SECTION.findall(text)
        assert len(names) == text.count("<!-- figures:") == text.count("<!-- end -->"), page.name
        marked |= set(names)
    assert marked
    assert marked <= set(figures.SECTIONS)
    if (ROOT / "docs" / "kodak.md").exists():  # a text without a mark is an error, found after an hour of measuring
        assert marked == set(figures.SECTIONS)


def test_every_text_can_be_written(figures: ModuleType, result: SweepResult) -> None:
    for name, write in figures.SECTIONS.items():
        header, *rows = cells(write(result))
        assert rows, name
        assert {len(row) for row in rows} == {len(header)}, name


PAGE = (
    "Before <!-- end -->\n<!-- figures: a -->old\n\n| x |\n<!-- end --> between\n"
    "<!-- figures: b, all --><!-- end -->\n."
)


def test_only_what_is_between_marks_is_replaced(figures: ModuleType) -> None:
    texts = {"a": r"A \1 \g<0>", "b, all": "B", "c": "nobody's"}
    page = figures.with_sections(PAGE, texts, "page.md")
    assert page == (
        "Before <!-- end -->\n<!-- figures: a -->\nA \\1 \\g<0>\n<!-- end --> between\n"
        "<!-- figures: b, all -->\nB\n<!-- end -->\n."
    )
    assert figures.with_sections(page, texts, "page.md") == page


def test_a_page_without_marks_stays_as_it_is(figures: ModuleType) -> None:
    text = "# Title\n<!-- figure: a -->\n"
    assert figures.with_sections(text, {"a": "A"}, "page.md") == text


def test_a_mark_without_a_text_is_refused_by_name(figures: ModuleType) -> None:
    with pytest.raises(ConfigError, match=r"page\.md marks figures 'b, all'") as raised:
        figures.with_sections(PAGE, {"a": "A"}, "page.md")
    assert raised.value.hint == "known are a"


# Texts


def test_bd_rates_are_against_all_others_but_not_our_own_realism(figures: ModuleType, result: SweepResult) -> None:
    text = figures.bd_rates(result)
    assert column(text, "against") == ["JPEG", "WebP", "VTM (published)"]
    # JPEG reaches 26 dB at 0.1 bpp where photo reaches 28: one doubling.
    assert column(text, "PSNR")[0] == "-50.0 %"
    assert column(text, "shared PSNR")[0] == "28.0–34.6 dB"
    assert column(text, "settings")[0] == "settings of JPEG"


def test_bd_rates_without_shared_quality_are_a_dash(figures: ModuleType, result: SweepResult) -> None:
    assert column(figures.bd_rates(result), "LPIPS (alex)")[2] == "–"


def test_short_bd_rates_are_those_of_the_named_without_settings(figures: ModuleType, result: SweepResult) -> None:
    text = figures.bd_rates(result, ["VTM (published)", "JPEG", "photo r=1", "none of these"])
    assert column(text, "against") == ["JPEG", "VTM (published)"]
    assert "settings" not in text


def test_at_equal_rates_the_best_of_each_column_is_bold(figures: ModuleType, result: SweepResult) -> None:
    text = figures.equal_rates(result, (0.2, 0.5))
    assert column(text, "bpp") == ["0.2"] * 3 + ["0.5"] * 4
    assert column(text, "codec") == ["photo", "photo r=1", "JPEG", "photo", "photo r=1", "JPEG", "WebP"]
    assert column(text, "PSNR dB")[:3] == ["**30.00**", "29.00", "28.00"]
    assert column(text, "LPIPS (alex) ↓")[:3] == ["0.3600", "**0.1800**", "0.4500"]
    for title, best in (("PSNR dB", "photo"), ("LPIPS (alex) ↓", "photo r=1")):
        bold = [codec for codec, cell in zip(column(text, "codec"), column(text, title), strict=True) if "**" in cell]
        assert bold == [best, best]


def test_published_curves_are_not_among_the_measured_ones(figures: ModuleType, result: SweepResult) -> None:
    assert any(point.codec == "VTM (published)" for point in result.at_rates)
    assert "VTM" not in figures.equal_rates(result)
    assert "VTM" not in figures.curves(result) + figures.smallest_files(result)


def test_codecs_that_do_not_reach_a_rate_have_no_row(figures: ModuleType, result: SweepResult) -> None:
    assert column(figures.equal_rates(result, (0.1,)), "codec") == ["photo", "photo r=1"]


def test_realism_shows_both_values_and_falls_of_distances_only(figures: ModuleType, result: SweepResult) -> None:
    text = figures.realism(result)
    assert column(text, "quality") == ["0", "10", "20", "30"]
    assert column(text, "bpp") == ["0.1000", "0.2000", "0.5000", "1.0000"]
    assert column(text, "PSNR dB")[0] == "28.00 → 27.00"
    assert column(text, "MS-SSIM")[0] == "0.9000 → 0.9000"
    assert column(text, "LPIPS (alex) ↓")[0] == "0.4000 → 0.2000 (-50 %)"


def test_a_distance_that_rises_or_is_missing_is_said_as_it_is(figures: ModuleType) -> None:
    assert figures.change({"lpips": 0.2}, {"lpips": 0.25}, LPIPS) == " (+25 %)"
    assert figures.change({"lpips": 0.2}, {"lpips": 0.0}, LPIPS) == " (-100 %)"
    assert figures.change({"lpips": 0.0}, {"lpips": 0.2}, LPIPS) == ""
    assert figures.change({"lpips": None}, {"lpips": 0.2}, LPIPS) == ""
    assert figures.change({"psnr": 30.0}, {"psnr": 27.0}, PSNR) == ""


def test_smallest_files_begin_with_the_smallest_and_say_the_largest_of_one_rate(
    figures: ModuleType, result: SweepResult
) -> None:
    text = figures.smallest_files(result)
    assert column(text, "codec") == ["extreme", "photo", "photo r=1", "JPEG", "WebP"]
    assert column(text, "bpp") == ["0.0600", "0.1000", "0.1000", "0.2000", "0.4000"]
    assert column(text, "quality")[:2] == ["–", "0"]
    assert text.endswith("\n\nThe largest of the 2 files of extreme has 0.0688 bpp.")
    assert text.count("The largest") == 1


def test_all_points_are_listed_and_missing_values_are_a_dash(figures: ModuleType, result: SweepResult) -> None:
    first = result.curves[0]
    gaps = tuple(replace(point, values={**point.values, "lpips": None}) for point in first.points)
    text = figures.curves(replace(result, curves=(replace(first, points=gaps), result.curves[2])))
    assert column(text, "codec") == ["photo"] * 4 + ["extreme"]
    assert column(text, "LPIPS (alex) ↓")[:4] == ["–"] * 4
    assert column(text, "quality") == ["0", "10", "20", "30", "–"]


def test_what_cannot_be_kept_is_said_before_measuring(
    figures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "measure", lambda *_, **__: pytest.fail("measured"))
    assert figures.main([str(tmp_path), "--keep-others"]) != 0
    assert "give --features" in capsys.readouterr().err
