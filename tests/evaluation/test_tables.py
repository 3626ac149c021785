"""What a sweep prints."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import GancodecCoder
from gancodec.evaluation.columns import MS_SSIM, PSNR, Unavailable, lpips_metric
from gancodec.evaluation.published import kodak_curves
from gancodec.evaluation.results import Curve, EffortComparison, Point, Skipped, SweepResult, compare
from gancodec.evaluation.sweep import run_sweep
from gancodec.evaluation.tables import Table, as_markdown, as_text, markdown, missing_comparisons
from tests.evaluation.conftest import FakeCodec, photo_like


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """Two pictures, four qualities; measured once, since nothing in it can be changed."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(2):
        Image.fromarray(photo_like(192, 168, seed=index)).save(folder / f"photo{index}.png")
    coder = GancodecCoder(FakeCodec(), qualities=[0, 30, 60, 100])
    return run_sweep([folder], [coder, classical("jpeg")], references=[kodak_curves()["vtm"]])


def test_the_text_has_ranges_and_the_other_codecs_settings(result: SweepResult) -> None:
    text = as_text(result)
    assert "Means over 2 pictures" in text
    assert "BD-rate of fake (realism 0, effort 1)" in text
    jpeg = next(line for line in text.splitlines() if line.startswith("JPEG") and " % " in line)
    assert "4:2:0, optimised, progressive" in jpeg
    assert " dB " in jpeg
    vtm = next(line for line in text.splitlines() if line.startswith("VTM (published)"))
    assert "H.266 reference software" in vtm


def test_efforts_have_a_table_of_their_own(result: SweepResult) -> None:
    first, jpeg = result.curves
    slow = replace(first, codec="fake effort 3")
    found = EffortComparison(
        codec=slow.codec, anchor=first.codec, encode_ratio=1.875, comparisons=(compare(slow, first, PSNR),)
    )
    spent = replace(result, curves=(first, slow, jpeg), efforts=(found,))
    row = next(line for line in as_text(spent).splitlines() if line.startswith("fake effort 3") and "1.88 x" in line)
    assert row.split()[5:9] == ["fake", "PSNR", "+0.00", "%"] and row.endswith("realism 0, effort 1")
    assert "Efforts against the first one" in as_markdown(spent) and "Efforts" not in as_text(result)
    alone = replace(slow, points=slow.points[:1])
    assert not missing_comparisons(replace(spent, curves=(first, alone, jpeg))), "their own table says why"


def test_skipped_pictures_are_counted(result: SweepResult) -> None:
    text = as_text(replace(result, skipped=(Skipped(picture="bad.png", reason="is | empty"),)))
    assert "Skipped: 1 of 3 pictures" in text
    assert "Skipped:" not in as_text(result)


def test_markdown_tables_are_rectangular(result: SweepResult) -> None:
    spoilt = replace(result, skipped=(Skipped(picture="bad.png", reason="is | empty"),))
    for block in as_markdown(spoilt).split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


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


def test_markdown_without_a_title_begins_with_the_header() -> None:
    table = Table(title="", header=("codec", "bpp"), rows=(("JPEG", "0.25"),), footnotes=("A note.",))
    assert markdown(table).splitlines() == ["| codec |  bpp |", "| ----- | ---: |", "| JPEG  | 0.25 |", "", "A note."]
    assert markdown(replace(table, title="Rates")) == f"**Rates**\n\n{markdown(table)}"


def curve(codec: str, key: str, *values: float) -> Curve:
    """A published curve with one metric, at 1, 2, 3 … bits per pixel."""
    points = (Point(quality=None, bpp=rate, values={key: value}) for rate, value in enumerate(values, start=1))
    return Curve(codec=codec, settings="", points=tuple(points), source="a paper")


def test_curves_without_shared_quality_are_a_line_and_the_others_are_compared(folder: Path, fake_codec) -> None:
    coder = GancodecCoder(fake_codec, qualities=[0, 100])
    references = [curve("blurred", "psnr", 5.0, 6.5), kodak_curves()["vtm"]]
    result = run_sweep([folder], [coder], references=references, metrics=[PSNR])
    blurred, vtm = result.comparisons
    low, high = (point.values["psnr"] for point in result.curves[0].points)
    assert blurred.bd is None and vtm.bd is not None
    assert blurred.reason == f"no shared range: fake {low:.2f}–{high:.2f}, blurred 5.00–6.50"
    (line,) = [line for line in as_text(result).splitlines() if line.startswith("blurred")]
    assert line.endswith(f"no figure: {blurred.reason}")


def test_distances_that_share_no_range_are_said_as_people_read_them(features) -> None:
    lpips = lpips_metric(features)
    dull, crisp = curve("dull", "lpips", 0.5, 0.4, 0.3), curve("crisp", "lpips", 0.2, 0.05)
    assert compare(dull, crisp, lpips).reason == "no shared range: dull 0.3000–0.5000, crisp 0.0500–0.2000"
    assert compare(crisp, dull, lpips).reason == "no shared range: crisp 0.0500–0.2000, dull 0.3000–0.5000"


def test_ms_ssim_without_shared_range_is_said_as_it_is_measured() -> None:
    poor, good = curve("poor", "ms-ssim", 0.8, 0.85), curve("good", "ms-ssim", 0.95, 0.98)
    assert compare(poor, good, MS_SSIM).reason == "no shared range: poor 0.8000–0.8500, good 0.9500–0.9800"


def test_a_curve_with_one_usable_point_is_called_by_its_codecs_name() -> None:
    whole, lossless = curve("whole", "psnr", 30.0, 33.0, 36.0), curve("lossless", "psnr", 31.0, math.inf)
    reason = "lossless has 1 of the 2 points it needs"
    assert compare(lossless, whole, PSNR).reason == reason
    assert compare(whole, lossless, PSNR).reason == reason
