"""What a sweep prints and draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gancodec.errors import ConfigError
from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import GancodecCoder
from gancodec.evaluation.columns import MS_SSIM, PSNR, Unavailable, lpips_metric
from gancodec.evaluation.plot import draw
from gancodec.evaluation.published import kodak_curves
from gancodec.evaluation.results import Skipped, SweepResult
from gancodec.evaluation.sweep import run_sweep
from gancodec.evaluation.tables import as_markdown, as_text


@pytest.fixture
def result(folder: Path, fake_codec) -> SweepResult:
    coder = GancodecCoder(fake_codec, qualities=[0, 30, 60, 100])
    return run_sweep([folder], [coder, classical("jpeg")], references=[kodak_curves()["vtm"]])


def test_the_text_has_ranges_and_the_other_codecs_settings(result: SweepResult) -> None:
    text = as_text(result)
    assert "Means over 2 pictures" in text
    assert "BD-rate of fake (realism 0)" in text
    jpeg = next(line for line in text.splitlines() if line.startswith("JPEG") and " % " in line)
    assert "4:2:0, optimised, progressive" in jpeg
    assert " dB " in jpeg
    vtm = next(line for line in text.splitlines() if line.startswith("VTM (published)"))
    assert "H.266 reference software" in vtm


def test_skipped_pictures_are_counted(result: SweepResult) -> None:
    text = as_text(replace(result, skipped=(Skipped(picture="bad.png", reason="is | empty"),)))
    assert "Skipped: 1 of 3 pictures" in text
    assert "Skipped:" not in as_text(result)


def test_markdown_tables_are_rectangular(result: SweepResult) -> None:
    spoilt = replace(result, skipped=(Skipped(picture="bad.png", reason="is | empty"),))
    for block in as_markdown(spoilt).split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_the_plot_is_a_picture(result: SweepResult, tmp_path: Path) -> None:
    draw(result, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert min(image.size) > 400
    with pytest.raises(ConfigError, match="cannot write"):
        draw(result, tmp_path / "curves.xyz")


def test_without_features_there_is_no_trace_of_them(result: SweepResult) -> None:
    for written in (as_text(result), as_markdown(result)):
        assert "lpips" not in written.lower()
        assert "lower is better" not in written


@pytest.mark.parametrize(("net", "label"), [("alex", "LPIPS (alex)"), ("vgg16hed", "distance (vgg16hed)")])
def test_the_perceptual_column_is_called_what_it_is(folder: Path, fake_codec, features, net: str, label: str) -> None:
    features.name = net
    coder = GancodecCoder(fake_codec, qualities=[0, 100])
    metrics = [PSNR, MS_SSIM, lpips_metric(features)]
    result = run_sweep([folder], [coder], references=[kodak_curves()["vtm"]], metrics=metrics, at_bpp=[1.5])
    lines = as_text(result).splitlines()
    assert [line.endswith(label) for line in lines if line.startswith("codec")] == [True, True, False]
    assert f"{result.curves[0].points[0].values['lpips']:.4f}" in lines[3]
    assert lines.count(f"{label}: lower is better.") == 2
    assert [(found.anchor.codec, found.metric.key) for found in result.comparisons] == [
        ("VTM (published)", "psnr"), ("VTM (published)", "ms-ssim"),
    ]  # fmt: skip


def test_curves_at_equal_rates_have_a_table(folder: Path, fake_codec, one_rate_codec) -> None:
    coders = [GancodecCoder(fake_codec, qualities=[0, 50, 100]), GancodecCoder(one_rate_codec, qualities=[0])]
    result = run_sweep([folder], [*coders, classical("jpeg")], at_bpp=[1.5, 0.001])
    text = as_text(result)
    lines = text[text.index("At equal rates") :].splitlines()
    cells = [line.split() for line in lines[3:8]]
    assert [row[:2] for row in cells[:4]] == [["fake", "0.001"], ["JPEG", "0.001"], ["fake", "1.5"], ["JPEG", "1.5"]]
    assert cells[0][2:] == ["–", "–", "–"]
    assert float(cells[2][2]) == pytest.approx(result.at_rates[2].values["psnr"], abs=0.005)
    assert lines[7].startswith("rough (its own rate)")
    assert f"{result.curves[1].points[0].bpp:.4f}" in lines[7]
    assert "PCHIP over log rate" in lines[8]
    low, high = result.curves[0].points[0].bpp, result.curves[0].points[-1].bpp
    assert f"what was measured: fake {low:.4f}–{high:.4f}, JPEG " in lines[9]
    assert "what was measured" not in as_text(run_sweep([folder], [*coders, classical("jpeg")], at_bpp=[1.5]))


def test_codecs_of_one_rate_have_a_note_in_place_of_a_bd_rate(folder: Path, fake_codec, one_rate_codec) -> None:
    fake, rough = GancodecCoder(fake_codec, qualities=[0, 50]), GancodecCoder(one_rate_codec, qualities=[0])
    text = as_text(run_sweep([folder], [fake, rough, classical("jpeg")]))
    assert next(line for line in text.splitlines() if line.startswith("rough")).split()[1] == "–"
    assert "No BD-rate against rough: one point is no curve." in text.splitlines()
    reversed_ = run_sweep([folder], [rough, fake])
    note = "No BD-rates: rough comes first, and has one point; a curve needs two."
    assert note in as_text(reversed_).splitlines()
    assert note in as_markdown(reversed_).split("\n\n")
    assert "No BD-rate" not in as_text(run_sweep([folder], [rough]))


def test_the_plot_has_a_panel_for_the_distance_and_room_for_single_points(
    folder: Path, tmp_path: Path, fake_codec, one_rate_codec, features
) -> None:
    fake, rough = GancodecCoder(fake_codec, qualities=[50, 100]), GancodecCoder(one_rate_codec, qualities=[0])
    widths = []
    three = [PSNR, MS_SSIM, lpips_metric(features)]
    for coders, metrics in [([fake, rough], three[:2]), ([fake, rough], three), ([rough, fake], three)]:
        draw(run_sweep([folder], coders, metrics=metrics), tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as image:
            widths.append(image.width)
    assert widths[1] == widths[2] == pytest.approx(1.5 * widths[0], abs=2)


def test_seconds_have_a_table(result: SweepResult) -> None:
    text = as_text(result)
    lines = text[text.index("Seconds a picture") :].splitlines()
    assert lines[1].split() == ["codec", "seconds", "Mpixel/s", "network", "file"]
    assert [line.split()[:2] for line in lines[3:7]] == [
        ["fake", "encode"], ["fake", "decode"], ["JPEG", "encode"], ["JPEG", "decode"],
    ]  # fmt: skip
    assert "–" not in lines[3] and lines[5].rstrip().endswith("–")
    assert any(line.startswith("Most memory in use, all codecs together: process ") for line in lines)


def test_metrics_that_could_not_be_had_are_listed(result: SweepResult) -> None:
    text = as_text(replace(result, unavailable=(Unavailable(key="fid", reason="needs torch-fidelity"),)))
    assert "skipped: needs torch-fidelity" in text
    assert "left out" not in as_text(result).split("Skipped")[0].split("Metrics")[-1]
