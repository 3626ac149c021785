"""The load generator of benchmarks/ against the tiny service, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.service.conftest import TINY, TINY_EXTREME, Service, serving

LOAD = Path(__file__).parents[2] / "benchmarks" / "load.py"
PICTURES = [str(GOLDEN / "rgb-200x136-q35.png"), str(GOLDEN / "rgb-128x128-q100.png")]


def load(tmp_path: Path, *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """Runs and table."""
    facts = tmp_path / "load.json"
    command = [sys.executable, str(LOAD), *arguments, "--json", str(facts)]
    environment = os.environ | {"PYTHONPATH": str(LOAD.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    runs: list[dict[str, Any]] = json.loads(facts.read_text())["runs"]
    return runs, done.stdout


@pytest.mark.parametrize("way", [[], ["--decompress"]])
def test_every_client_is_served(service: Service, tmp_path: Path, way: list[str]) -> None:
    runs, table = load(tmp_path, service.url, *PICTURES, "--seconds", "1", "--concurrency", "1,4", *way)
    assert [each["concurrency"] for each in runs] == [1, 4]
    for each in runs:
        assert each["statuses"].keys() == {"200"} and each["refused"] == 0
        assert 1 <= each["seconds"] < 20 and 0 < each["p50_ms"] <= each["p99_ms"] <= each["max_ms"]
        assert sum(each["batches"].values()) == each["statuses"]["200"] and each["mean_batch"] >= 1
        smallest, largest = 128 * 128 / 1e6, 200 * 136 / 1e6
        assert smallest <= each["mpixel_per_s"] / each["requests_per_s"] <= largest
    assert len(table.splitlines()) == 3


def test_refusals_are_counted_apart(tmp_path: Path) -> None:
    settings = {"max_pixels": 30_000, "queue_pixels": 40_000, "batch_delay_ms": 100.0}
    with serving(codecs=[TINY], **settings) as service:
        (run,), _ = load(tmp_path, service.url, PICTURES[0], "--seconds", "1", "--concurrency", "4")
    assert run["refused"] == run["statuses"]["429"] > 0 and run["statuses"]["200"] > 0


def test_a_service_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (run,), _ = load(tmp_path, "http://127.0.0.1:9", PICTURES[0], "--seconds", "0.2", "--concurrency", "1", code=1)
    assert run["statuses"].keys() == {"0"} and run["p99_ms"] is None


@pytest.mark.parametrize(("codec", "way"), [(TINY, "--decompress"), (TINY_EXTREME, "--bare")])
def test_the_bare_codec_is_measured(tmp_path: Path, codec: str, way: str) -> None:
    transparent = str(GOLDEN / "rgba-40x56-q50.png")
    (run,), _ = load(tmp_path, "--bare", codec, *PICTURES, transparent, "--seconds", "0.3", way)
    assert run["batch"] == 8 and run["mpixel_per_s"] > 0
