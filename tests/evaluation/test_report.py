"""What a sweep prints and writes, and its command line."""

from __future__ import annotations

import json
import math
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gancodec.errors import ConfigError
from gancodec.evaluation import arguments
from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import GancodecCoder
from gancodec.evaluation.plot import draw
from gancodec.evaluation.published import KODAK_NAMES, kodak_curves
from gancodec.evaluation.report import as_json, as_markdown, as_text
from gancodec.evaluation.results import Skipped, SweepResult
from gancodec.evaluation.sweep import run_sweep


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
    assert "Skipped" not in as_text(result)


def test_markdown_tables_are_rectangular(result: SweepResult) -> None:
    spoilt = replace(result, skipped=(Skipped(picture="bad.png", reason="is | empty"),))
    for block in as_markdown(spoilt).split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_json_has_every_row_and_survives_infinity(result: SweepResult) -> None:
    first = replace(result.rows[0], psnr=math.inf)
    table = json.loads(as_json(replace(result, rows=(first, *result.rows[1:]))))
    assert len(table["rows"]) == 2 * (4 + 10)
    assert table["rows"][0]["psnr"] is None
    assert table["rows"][1]["psnr"] == result.rows[1].psnr
    assert [curve["codec"] for curve in table["summary"]["curves"]] == ["fake", "JPEG", "VTM (published)"]
    against = table["summary"]["bd_rates"][0]
    assert against["against"] == "JPEG"
    assert against["low_db"] < against["high_db"]


def test_the_plot_is_a_picture(result: SweepResult, tmp_path: Path) -> None:
    draw(result, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert min(image.size) > 400
    with pytest.raises(ConfigError, match="cannot write"):
        draw(result, tmp_path / "curves.xyz")


def test_without_features_there_is_no_trace_of_them(result: SweepResult) -> None:
    for written in (as_text(result), as_markdown(result), as_json(result)):
        assert "lpips" not in written.lower()
        assert "perceptual" not in written
        assert "lower is better" not in written


@pytest.mark.parametrize(("net", "label"), [("alex", "LPIPS (alex)"), ("vgg16hed", "distance (vgg16hed)")])
def test_the_perceptual_column_is_called_what_it_is(folder: Path, fake_codec, features, net: str, label: str) -> None:
    features.name = net
    coder = GancodecCoder(fake_codec, qualities=[0, 100])
    result = run_sweep([folder], [coder], references=[kodak_curves()["vtm"]], features=features, at_bpp=[1.5])
    lines = as_text(result).splitlines()
    assert [line.endswith(label) for line in lines if line.startswith("codec")] == [True, True]
    assert f"{result.curves[0].points[0].lpips:.4f}" in lines[3]
    assert lines.count(f"{label}: lower is better.") == 2
    assert "BD-rate of fake" in as_text(result)
    assert "LPIPS" not in {found.metric for found in result.comparisons}
    table = json.loads(as_json(result))
    assert table["summary"]["perceptual"] == label
    assert table["rows"][0]["lpips"] == result.rows[0].lpips
    assert table["summary"]["curves"][0]["points"][0]["lpips"] == result.curves[0].points[0].lpips


def test_curves_at_equal_rates_have_a_table(folder: Path, fake_codec, one_rate_codec) -> None:
    coders = [GancodecCoder(fake_codec, qualities=[0, 50, 100]), GancodecCoder(one_rate_codec, qualities=[0])]
    result = run_sweep([folder], [*coders, classical("jpeg")], at_bpp=[1.5, 0.001])
    text = as_text(result)
    lines = text[text.index("At equal rates") :].splitlines()
    cells = [line.split() for line in lines[3:8]]
    assert [row[:2] for row in cells[:4]] == [["fake", "0.001"], ["JPEG", "0.001"], ["fake", "1.5"], ["JPEG", "1.5"]]
    assert cells[0][2:] == ["–", "–", "–"]
    assert float(cells[2][2]) == pytest.approx(result.at_rates[2].psnr, abs=0.005)
    assert lines[7].startswith("rough (its own rate)")
    assert f"{result.curves[1].points[0].bpp:.4f}" in lines[7]
    assert "PCHIP over log rate" in lines[8]
    low, high = result.curves[0].points[0].bpp, result.curves[0].points[-1].bpp
    assert f"what was measured: fake {low:.4f}–{high:.4f}, JPEG " in lines[9]
    rates = json.loads(as_json(result))["summary"]["at_rates"]
    assert [(row["codec"], row["bpp"], row["psnr"]) for row in rates[:1]] == [("fake", 0.001, None)]
    assert "what was measured" not in as_text(run_sweep([folder], [*coders, classical("jpeg")], at_bpp=[1.5]))


def test_codecs_of_one_rate_have_a_note_in_place_of_a_bd_rate(folder: Path, fake_codec, one_rate_codec) -> None:
    fake, rough = GancodecCoder(fake_codec, qualities=[0, 50]), GancodecCoder(one_rate_codec, qualities=[0])
    text = as_text(run_sweep([folder], [fake, rough, classical("jpeg")]))
    assert next(line for line in text.splitlines() if line.startswith("rough")).split()[1] == "–"
    assert text.splitlines()[-1] == "No BD-rate against rough: one point is no curve."
    reversed_ = run_sweep([folder], [rough, fake])
    note = "No BD-rates: rough comes first, and has one point; a curve needs two."
    assert as_text(reversed_).splitlines()[-1] == note
    assert note in as_markdown(reversed_).split("\n\n")[-1]
    assert json.loads(as_json(reversed_))["summary"]["notes"] == [note]
    assert "No BD-rate" not in as_text(run_sweep([folder], [rough]))


def test_the_plot_has_a_panel_for_the_distance_and_room_for_single_points(
    folder: Path, tmp_path: Path, fake_codec, one_rate_codec, features
) -> None:
    fake, rough = GancodecCoder(fake_codec, qualities=[50, 100]), GancodecCoder(one_rate_codec, qualities=[0])
    widths = []
    for coders, network in [([fake, rough], None), ([fake, rough], features), ([rough, fake], features)]:
        draw(run_sweep([folder], coders, features=network), tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as image:
            widths.append(image.width)
    assert widths[1] == widths[2] == pytest.approx(1.5 * widths[0], abs=2)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, fake_codec, one_rate_codec) -> None:
    """A `gancodec.codec` whose every codec is the fake one, but for `rough`."""
    module = types.ModuleType("gancodec.codec")
    loader = staticmethod(lambda name, device: one_rate_codec if name == "rough" else fake_codec)
    module.Codec = type("Codec", (), {"load": loader})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gancodec.codec", module)


@pytest.mark.usefixtures("installed")
def test_the_command_prints_tables_and_writes_what_was_asked_for(folder: Path, tmp_path: Path, capsys) -> None:
    outputs = {kind: tmp_path / f"out.{kind}" for kind in ("json", "markdown")} | {"plot": tmp_path / "out.png"}
    options = [part for kind, path in outputs.items() for part in (f"--{kind}", str(path))]
    assert arguments.main([str(folder), "--qualities", "0,50,100", "--against", "jpeg", *options]) == 0
    captured = capsys.readouterr()
    assert "BD-rate of fake" in captured.out
    assert "[2/2] photo1.png" in captured.err
    assert all(path.stat().st_size > 500 for path in outputs.values())


@pytest.mark.usefixtures("installed")
def test_skipped_pictures_show_in_the_exit_code(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no")
    assert arguments.main([str(folder), "--qualities", "50", "--against", ""]) == arguments.SOME_SKIPPED


@pytest.mark.parametrize(
    "options",
    [
        ["--reference", "kodak"],
        ["--against", "bpg"],
        ["--json", "missing/out.json"],
        ["--save-images", "missing/out"],
        ["--save-images", __file__],
        ["--at-bpp", "0.1,0"],
        ["--realism", "0,2"],
        ["--codec", "rough", "--realism", "1"],
        ["--codec", "a,a,rough", "--against", "jpeg,jpeg"],
    ],
    ids=[
        "pictures are not Kodak", "unknown codec", "no such folder", "no such folder of images", "images into a file",
        "rate 0", "realism above 1", "realism of a codec without", "a codec twice",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("installed")
def test_wrong_options_are_one_line_and_exit_code_2(folder: Path, options: list[str], capsys) -> None:
    assert arguments.main([str(folder), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_lists_of_codecs_and_realisms(folder: Path, tmp_path: Path, capsys) -> None:
    images = tmp_path / "images"
    options = ["--codec", "fake,rough", "--qualities", "10,90", "--realism", "0,0.25", "--against", ""]
    assert arguments.main([str(folder), *options, "--at-bpp", "1,2", "--save-images", str(images)]) == 0
    captured = capsys.readouterr()
    assert "BD-rate of fake (realism 0)" in captured.out
    assert "At equal rates" in captured.out
    assert "rough has no realism generator: it is measured at realism 0" in captured.err
    assert {path.name for path in images.iterdir() if path.name.startswith("photo0")} == {
        "photo0-fake-q10-r0.png", "photo0-fake-q10-r0.25.png", "photo0-fake-q90-r0.png", "photo0-fake-q90-r0.25.png",
        "photo0-rough-r0.png",
    }  # fmt: skip


@pytest.mark.usefixtures("installed")
def test_two_trainings_of_one_codec_are_called_by_their_paths(folder: Path, capsys) -> None:
    assert arguments.main([str(folder), "--codec", "a/x,b/x", "--qualities", "10,90", "--against", ""]) == 0
    assert "BD-rate of a/x (realism 0)" in capsys.readouterr().out


@pytest.mark.usefixtures("installed")
def test_features_are_loaded_from_a_file_and_missing_ones_are_one_line(folder: Path, tmp_path: Path, capsys) -> None:
    stages = {f"vgg16low.stages.{stage}.{place}": size for stage, place, size in [
        (0, 0, (64, 3)), (0, 1, (64, 64)), (1, 1, (128, 64)), (1, 2, (128, 128)),
    ]}  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    tensors = {f"{key}.weight": 0.1 * torch.randn(*size, 3, 3, generator=generator) for key, size in stages.items()}
    tensors |= {f"{key}.bias": torch.zeros(size[0]) for key, size in stages.items()}
    tensors |= {f"vgg16low.heads.{index}": torch.ones(width) for index, width in enumerate((64, 128))}
    save_file(tensors, tmp_path / "net.safetensors")
    options = [str(folder), "--qualities", "10,90", "--against", "", "--features"]
    assert arguments.main([*options, str(tmp_path / "net.safetensors")]) == 0
    assert "distance (vgg16low)" in capsys.readouterr().out
    assert arguments.main([*options, str(tmp_path / "none.safetensors")]) == 5
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_published_curves_join_for_kodak(make_photo, tmp_path: Path, capsys) -> None:
    kodak = tmp_path / "kodak"
    kodak.mkdir()
    for name in KODAK_NAMES:
        make_photo(64, 48).save(kodak / name)
    options = ["--qualities", "0,50,100", "--against", "", "--reference", "kodak"]
    assert arguments.main([str(kodak), *options]) == 0
    assert "cheng2020-attn (published)" in capsys.readouterr().out
