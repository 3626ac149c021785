"""docs/service.md says what the code does: its tables of settings and of problems."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra `service`")

from gancodec.codec import BATCH_PIXELS_CPU, BATCH_PIXELS_CUDA
from service.openapi import OTHERWISE
from service.problems import ClientGone, Problem
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def shown(value: Any) -> str:
    """A default as the table has it."""
    if isinstance(value, bool):
        return f"`{value}`".lower()
    if isinstance(value, list):
        return f"`{','.join(value)}`" if value else "none"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else f"`{value}`"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| ", section("Settings"), re.MULTILINE))
    of_device = f"{BATCH_PIXELS_CUDA:,} on a GPU, {BATCH_PIXELS_CPU:,} on a CPU"
    special = {"CODECS": "all that are shipped", "BATCH_PIXELS": of_device}
    wanted = {
        name.upper(): special.get(name.upper(), shown(field.default)) for name, field in Settings.model_fields.items()
    }
    assert told == wanted
    assert Settings.model_fields["codecs"].default == [] and Settings.model_fields["batch_pixels"].default is None


def test_the_table_of_problems_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \| `([a-z_]+)` \| ", section("Problems"), re.MULTILINE)
    told = {code: {int(status) for status in statuses.split(",")} for statuses, code in rows}
    kinds = [each for each in Problem.__subclasses__() if each is not ClientGone]  # nobody sees that one
    wanted = {each.code: {each.status} for each in kinds}
    assert told == wanted | {"http": {404, 405}, Problem.code: {Problem.status}}
    assert set(OTHERWISE) <= told.keys()
