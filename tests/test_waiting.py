"""Commands that own their process let torch's threads sleep soon, unless its environment says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gancodec.waiting import SPINS, wait_briefly

VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SCRIPT = """
import os, sys
from gancodec.{module} import run
before = "torch" in sys.modules
sys.argv = ["command", "--help"]
try:
    run()
except SystemExit:
    pass
sys.stderr.write(f"{{before}} {{os.environ.get('GOMP_SPINCOUNT')}}")
"""


@pytest.mark.parametrize("module", ["__main__", "thumbnailer"])
def test_commands_say_so_before_torch_is_there(module: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr.split() == ["False", SPINS]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, SPINS),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_what_the_environment_says_counts(
    given: dict[str, str], wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that all is as it was afterwards, whatever is set in between
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == wanted
