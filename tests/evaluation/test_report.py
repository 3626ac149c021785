"""What a sweep prints and writes, and its command line."""

from __future__ import annotations

import json
import math
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

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


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, fake_codec) -> None:
    """A `gancodec.codec` whose every codec is the fake one."""
    module = types.ModuleType("gancodec.codec")
    loader = staticmethod(lambda name, device: fake_codec)
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
    [["--reference", "kodak"], ["--against", "bpg"], ["--json", "missing/out.json"]],
    ids=["pictures are not Kodak", "unknown codec", "no such folder"],
)
@pytest.mark.usefixtures("installed")
def test_wrong_options_are_one_line_and_exit_code_2(folder: Path, options: list[str], capsys) -> None:
    assert arguments.main([str(folder), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_published_curves_join_for_kodak(make_photo, tmp_path: Path, capsys) -> None:
    kodak = tmp_path / "kodak"
    kodak.mkdir()
    for name in KODAK_NAMES:
        make_photo(64, 48).save(kodak / name)
    options = ["--qualities", "0,50,100", "--against", "", "--reference", "kodak"]
    assert arguments.main([str(kodak), *options]) == 0
    assert "cheng2020-attn (published)" in capsys.readouterr().out
