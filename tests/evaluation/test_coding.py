"""The report on coding: its figures are there and make sense; bad input is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gancodec.evaluation.coding import QUALITIES, main
from tests.conftest import GOLDEN
from tests.tiny import made_picture


def test_every_quality_has_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(made_picture(80, 64, 96)).save(tmp_path / "a.png")
    assert main([str(tmp_path), "--codec", str(GOLDEN / "tiny.safetensors")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [int(row[0]) for row in rows] == list(QUALITIES)
    assert all(20 <= float(row[1]) <= 32 and 0 < float(row[-2]) < 100 for row in rows)


def test_a_codec_of_one_rate_has_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(made_picture(80, 64, 96)).save(tmp_path / "a.png")
    assert main([str(tmp_path), "--codec", str(GOLDEN / "tiny-extreme.safetensors")]) == 0
    (row,) = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert row[0] == "–"
    assert 20 <= float(row[1]) <= 32
    assert float(row[-2]) == 0  # there is no z


def test_missing_codec_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--codec", "nothere"]) == 5
    assert capsys.readouterr().err.count("\n") == 1
