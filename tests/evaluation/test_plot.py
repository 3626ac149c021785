"""The picture of a sweep's curves: what is in which panel, and between which rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gancodec.errors import ConfigError
from gancodec.evaluation.columns import MS_SSIM, PSNR, Metric
from gancodec.evaluation.plot import draw, drawn_references, looks, rate_window
from gancodec.evaluation.published import kodak_curves
from gancodec.evaluation.results import Curve, Point, SweepResult

LPIPS = Metric(key="lpips", label="LPIPS (alex)", digits=4, lower_is_better=True)


def curve(codec: str, rates: Sequence[float], **values: Sequence[float | None]) -> Curve:
    """A measured curve; values: by metric, ms_ssim for ms-ssim."""
    named = {key.replace("_", "-"): column for key, column in values.items()}
    points = (
        Point(quality=place, bpp=rate, values={key: column[place] for key, column in named.items()})
        for place, rate in enumerate(rates)
    )
    return Curve(codec=codec, settings="its settings; and more of them", points=tuple(points))


OURS = curve("ours", [0.1, 0.4, 1.0], psnr=[27.0, 31.0, 35.0], ms_ssim=[0.9, 0.97, 0.99], lpips=[0.3, 0.2, 0.1])
JPEG = curve("JPEG", [0.02, 0.5, 4.0], psnr=[22.0, 29.0, 40.0], ms_ssim=[0.7, 0.95, 0.999], lpips=[0.6, 0.3, 0.01])


def found(*curves: Curve, metrics: Sequence[Metric] = (PSNR,), references: Sequence[Curve] = ()) -> SweepResult:
    return SweepResult(
        metrics=tuple(metrics), pictures=("a.png",), rows=(), curves=curves, references=tuple(references),
        comparisons=(), skipped=(),
    )  # fmt: skip


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Result -> the panels that would be written: rendering takes most of the time."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: figures.append(figure))

    def drawn(result: SweepResult) -> list[Axes]:
        draw(result, tmp_path / "curves.png")
        return figures[-1].axes

    return drawn


def line(axes: Axes, label: str) -> tuple[list[float], list[float]]:
    """Rates and qualities of the line whose label begins so."""
    (chosen,) = [each for each in axes.lines if str(each.get_label()).startswith(label)]
    return list(chosen.get_xdata()), list(chosen.get_ydata())


def test_a_png_is_written(tmp_path: Path) -> None:
    draw(found(OURS, JPEG), tmp_path / "curves.PNG")
    with Image.open(tmp_path / "curves.PNG") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 400


def test_every_metric_has_a_panel_and_the_legend_the_place_that_is_left(panels) -> None:
    three = panels(found(OURS, JPEG, metrics=[PSNR, MS_SSIM, LPIPS]))
    assert [axes.get_ylabel().split()[0] for axes in three[:3]] == ["PSNR", "MS-SSIM", "LPIPS"]
    texts = [text.get_text() for text in three[3].get_legend().get_texts()]
    assert texts == ["ours (its settings)", "JPEG (its settings)"]
    two = panels(found(OURS, JPEG, metrics=[PSNR, MS_SSIM]))
    assert [axes.get_ylabel().split()[0] for axes in two] == ["PSNR", "MS-SSIM"]
    assert len(two[0].figure.legends) == 1


def test_codecs_of_today_have_a_colour_of_their_own_in_every_plot() -> None:
    alone, beside = looks([OURS, JPEG]), looks([OURS, curve("more", [0.1]), curve("AVIF", [0.1]), JPEG])
    assert alone[0] == beside[0] == 0
    assert alone[1] == beside[3]
    assert len(set(beside)) == 4
    many = looks([curve(f"c{number}", [0.1]) for number in range(12)] + [JPEG])
    assert len(set(many)) == 13


def test_no_two_published_curves_look_alike(panels) -> None:
    names = ("VTM", "ELIC", "MS-ILLM", "HiFiC")
    published = [curve(name, [0.2, 0.5], psnr=[26.0, 29.0], lpips=[0.2, 0.1]) for name in names]
    drawn = panels(found(OURS, metrics=[PSNR, LPIPS], references=published))
    lines = [each for axes in drawn for each in axes.get_lines() if each.get_color() == "0.3"]
    assert len({str(each.get_label()) for each in lines}) == 4
    assert len({tuple(each._dash_pattern[1]) for each in lines}) == 4


@pytest.mark.parametrize("name", ["curves.xyz", "curves"])
def test_an_unknown_suffix_is_refused_and_leaves_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot write") as raised:
        draw(found(OURS), tmp_path / name)
    assert ".png" in raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_equal_distances_are_equal_percentages_of_the_rate(panels) -> None:
    result = found(OURS, JPEG, metrics=[PSNR, LPIPS])
    for axes in panels(result):
        assert axes.get_xscale() == "log"
        assert axes.get_xlim() == pytest.approx(rate_window(result))


def test_the_window_is_that_of_the_first_curve_with_a_margin() -> None:
    low, high = rate_window(found(OURS, JPEG))
    assert 0.02 < low < 0.1 and 1.0 < high < 4.0
    assert low * high == pytest.approx(0.1 * 1.0)  # the same factor at both ends


def test_codecs_of_one_point_are_inside_the_window() -> None:
    rough = curve("rough", [0.03], psnr=[20.0])
    low, high = rate_window(found(OURS, rough, JPEG))
    assert low < 0.03 and 1.0 < high < 4.0


def test_beside_a_first_codec_of_one_point_all_rates_are_shown() -> None:
    rough = curve("rough", [0.03], psnr=[20.0])
    low, high = rate_window(found(rough, OURS, JPEG))
    assert low < 0.02 and high > 4.0


def test_points_outside_the_window_do_not_stretch_the_quality_axis(panels) -> None:
    (axes,) = panels(found(OURS, JPEG))
    bottom, top = axes.get_ylim()
    assert 22.0 < bottom < 27.0 and 35.0 < top < 40.0
    assert line(axes, "JPEG")[0] == [0.02, 0.5, 4.0]  # the line goes on beyond it


def test_a_metric_without_values_has_no_panel(panels) -> None:
    small = curve("ours", [0.1, 0.4], psnr=[27.0, 31.0], ms_ssim=[None, None])
    (axes,) = panels(found(small, metrics=[MS_SSIM, PSNR]))
    assert axes.get_ylabel() == "PSNR dB"


def test_ms_ssim_is_drawn_in_db_and_distances_say_that_lower_is_better(panels) -> None:
    similarity, distance = panels(found(OURS, metrics=[MS_SSIM, LPIPS]))
    assert similarity.get_ylabel() == "MS-SSIM dB"
    assert line(similarity, "ours")[1] == pytest.approx([10.0, 10 * math.log10(1 / 0.03), 20.0])
    assert distance.get_ylabel() == "LPIPS (alex), lower is better"
    assert line(distance, "ours")[1] == [0.3, 0.2, 0.1]


def test_lossless_points_are_left_out_of_the_line(panels) -> None:
    lossless = curve("JPEG", [0.2, 0.5, 0.9], psnr=[26.0, 29.0, math.inf])
    (axes,) = panels(found(OURS, lossless))
    assert line(axes, "JPEG") == ([0.2, 0.5], [26.0, 29.0])
    assert all(map(math.isfinite, axes.get_ylim()))


def test_points_without_a_value_are_left_out_of_the_line(panels) -> None:
    gaps = curve("JPEG", [0.2, 0.5, 0.9], psnr=[26.0, 29.0, 33.0], ms_ssim=[None, 0.9, 0.99])
    assert line(panels(found(OURS, gaps, metrics=[PSNR, MS_SSIM]))[1], "JPEG")[0] == [0.5, 0.9]


def test_labels_have_the_settings_up_to_the_first_semicolon(panels) -> None:
    (axes,) = panels(found(OURS))
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours (its settings)"]


def test_of_published_curves_each_panel_has_its_own_few() -> None:
    result = found(OURS, references=list(kodak_curves().values()))
    names = {metric.key: [each.codec for each in drawn_references(result, metric)] for metric in (PSNR, MS_SSIM, LPIPS)}
    assert names["psnr"] == ["VTM (published)", "ELIC (published)", "bmshj2018-hyperprior (published)"]
    assert names["ms-ssim"] == names["psnr"]
    assert names["lpips"] == ["MS-ILLM (published)", "CRDR, realism 3.84 (published)", "HiFiC (published)"]
    assert drawn_references(result, replace(PSNR, key="ssimulacra2")) == []
    assert drawn_references(found(OURS), PSNR) == []


def test_published_curves_are_drawn_grey_and_dashed_and_told_apart(panels) -> None:
    result = found(OURS, metrics=[PSNR, LPIPS], references=list(kodak_curves().values()))
    for axes, metric in zip(panels(result), result.metrics, strict=True):
        ours, *published = axes.lines
        chosen = drawn_references(result, metric)
        assert [each.get_label() for each in published] == [each.codec for each in chosen]
        assert [len(each.get_xdata()) for each in published] == [len(each.points) for each in chosen]
        styles = {(each.get_color(), *each._dash_pattern[1]) for each in published}
        assert len(styles) == 3
        assert ours.get_linestyle() == "-"
        assert all(len(style) > 1 for style in styles)
