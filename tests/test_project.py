"""The project's own files agree with each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import gancodec

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DEPENDENCIES = [
    requirement
    for lines in (PROJECT["dependencies"], *EXTRAS.values())
    for requirement in map(Requirement, lines)
    if requirement.name != "gancodec"
]

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm|root)/")
INDEX_HOST = re.compile(r"(?:pypi|pythonhosted|download\.pytorch|anaconda)\.org\b|--(?:extra-)?index-url")


def tracked_files() -> list[Path]:
    """Files that are, or with the next `git add .` will be, in the repository."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    """The text of a file; empty for a binary one."""
    data = path.read_bytes()
    return "" if b"\0" in data[:8192] else data.decode("utf-8", errors="replace")


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_version_is_written_the_same_everywhere() -> None:
    assert PROJECT["version"] == gancodec.__version__


def test_the_changelog_has_an_entry_for_this_version() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings, "CHANGELOG.md has no releases"
    assert {"Unreleased", gancodec.__version__} & set(headings)


@pytest.mark.parametrize("forbidden", [MACHINE_PATH, INDEX_HOST], ids=["machine-path", "index-host"])
def test_no_file_names_a_place_that_others_do_not_have(forbidden: re.Pattern[str]) -> None:
    files = [path for path in tracked_files() if path != Path(__file__).resolve()]
    assert files
    assert [str(path.relative_to(ROOT)) for path in files if forbidden.search(text_of(path))] == []


def test_constraints_are_exact_pins_and_nothing_else() -> None:
    lines = constraints()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert sorted(names) == sorted(set(names))


def test_constraints_pin_every_dependency_to_a_version_that_it_allows() -> None:
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in constraints())}
    wanted = {canonicalize_name(requirement.name) for requirement in DEPENDENCIES}
    assert wanted - pins.keys() == set(), "run `make constraints`"
    refused = [
        str(requirement)
        for requirement in DEPENDENCIES
        if not requirement.specifier.contains(Version(pins[canonicalize_name(requirement.name)]))
    ]
    assert refused == []


def test_the_coders_version_is_bounded() -> None:
    (coder,) = [requirement for requirement in DEPENDENCIES if requirement.name == "constriction"]
    assert coder.specifier.contains("0.5.9")
    assert not coder.specifier.contains("0.6.0")


def test_the_extra_dev_has_every_other_extra() -> None:
    (ours,) = [requirement for requirement in map(Requirement, EXTRAS["dev"]) if requirement.name == "gancodec"]
    assert ours.extras == EXTRAS.keys() - {"dev"}
