"""What a sweep writes for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import GancodecCoder
from gancodec.evaluation.columns import MS_SSIM, PSNR, lpips_metric
from gancodec.evaluation.published import kodak_curves
from gancodec.evaluation.records import as_csv, as_curve_json, as_json
from gancodec.evaluation.results import SweepResult
from gancodec.evaluation.sweep import run_sweep


@pytest.fixture
def result(folder: Path, fake_codec, features) -> SweepResult:
    coder = GancodecCoder(fake_codec, qualities=[0, 30, 60, 100])
    metrics = [PSNR, MS_SSIM, lpips_metric(features)]
    references = [kodak_curves()["vtm"]]
    return run_sweep([folder], [coder, classical("jpeg")], metrics=metrics, references=references, at_bpp=[0.001])


def test_json_has_every_row_and_survives_infinity(result: SweepResult) -> None:
    lossless = replace(result.rows[0], values={**result.rows[0].values, "psnr": math.inf})
    table = json.loads(as_json(replace(result, rows=(lossless, *result.rows[1:]))))
    assert len(table["rows"]) == 2 * (4 + 10)
    assert table["rows"][0]["psnr"] is None
    assert table["rows"][1]["psnr"] == result.rows[1].values["psnr"]
    assert table["rows"][1]["encode_s"]["total"] > 0
    assert [curve["codec"] for curve in table["summary"]["curves"]] == ["fake", "JPEG", "VTM (published)"]
    assert table["summary"]["metrics"][2] == {"key": "lpips", "label": "LPIPS (alex)", "lower_is_better": True}
    assert table["summary"]["at_rates"][0]["psnr"] is None
    for against in table["summary"]["bd_rates"][:1] + table["summary"]["bd_rates"][4:5]:
        assert against["against"] == "JPEG"
        assert 0 < against["low"] < against["high"]


def test_json_of_a_curve_is_what_compressai_plots(result: SweepResult, tmp_path: Path) -> None:
    plot = pytest.importorskip("compressai.utils.plot.__main__", reason="needs compressai")
    whole, single = tmp_path / "whole.json", tmp_path / "jpeg.json"
    whole.write_text(as_json(result), encoding="utf-8")
    single.write_text(as_curve_json(result, result.curves[1]), encoding="utf-8")
    for path, curve in ((whole, result.curves[0]), (single, result.curves[1])):
        psnr, similarity = plot.parse_json_file(path, "psnr-rgb"), plot.parse_json_file(path, "ms-ssim-rgb")
        assert psnr["name"] == curve.codec
        assert psnr["xs"] == [point.bpp for point in curve.points]
        assert psnr["ys"] == [point.value(PSNR) for point in curve.points]
        assert list(similarity["ys"]) == pytest.approx([point.rising(MS_SSIM) for point in curve.points])
    plot.main(["-f", str(whole), str(single), "-m", "psnr-rgb", "-o", str(tmp_path / "plot.png")])
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_csv_has_a_line_a_measurement(result: SweepResult) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(result))))
    assert len(rows) == len(result.rows)
    assert rows[0]["codec"] == "fake" and float(rows[0]["lpips"]) == result.rows[0].values["lpips"]
    assert rows[-1]["realism"] == "" and float(rows[-1]["decode_s"]) > 0
