"""What gancodec needs, as its own metadata says, and what is installed of it.  Standard library only."""

from __future__ import annotations

import operator
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

PROJECT_FILE: Final = Path(__file__).resolve().parents[2] / "pyproject.toml"
"""Beside the package in a checkout; it counts more there than what was installed some time ago."""
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_REQUIREMENT = re.compile(r"\s*(?P<name>[\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?(?P<bounds>[^;)]*)\)?\s*(?:;(?P<marker>.*))?")
_BOUND = re.compile(r"(>=|<=|==|!=|>|<)\s*([\w.]+)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """One distribution and the versions of it that serve, such as ``constriction`` and ``>=0.5,<0.6``."""

    name: str
    bounds: str
    extra: str = ""
    """Which extra it belongs to; empty for what is always needed."""

    def __str__(self) -> str:
        return f"{self.name}{self.bounds}"

    @property
    def installed(self) -> str | None:
        """The version that is there; None for none."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None

    def allows(self, version: str) -> bool:
        """Whether that version is within the bounds."""
        return within(version, self.bounds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirements:
    """All that gancodec needs."""

    python: str
    """Bounds of Python's version."""
    needed: tuple[Requirement, ...]

    def core(self) -> list[Requirement]:
        """What is always needed."""
        return [each for each in self.needed if not each.extra]

    def of_extra(self, extra: str) -> list[Requirement]:
        """What an extra adds."""
        return [each for each in self.needed if each.extra == extra]


def read_requirements() -> Requirements | None:
    """From pyproject.toml in a checkout, else from the installed distribution; None where there is neither."""
    if PROJECT_FILE.is_file():
        project = tomllib.loads(PROJECT_FILE.read_text(encoding="utf-8"))["project"]
        lines = [("", line) for line in project["dependencies"]]
        lines += [(extra, line) for extra, more in project["optional-dependencies"].items() for line in more]
        needed = tuple(parse(line, extra) for extra, line in lines)
        return Requirements(python=project["requires-python"], needed=needed)
    try:
        distribution = metadata.distribution("gancodec")
    except metadata.PackageNotFoundError:
        return None
    needed = tuple(map(parse, distribution.requires or ()))
    return Requirements(python=distribution.metadata["Requires-Python"] or "", needed=needed)


def parse(line: str, extra: str = "") -> Requirement:
    """A line of dependencies, such as ``scipy>=1.11; extra == 'eval'``."""
    match = _REQUIREMENT.match(line)
    assert match is not None, line
    marked = _EXTRA.search(match["marker"] or "")
    return Requirement(name=match["name"], bounds=match["bounds"].strip(), extra=marked[1] if marked else extra)


def within(version: str, bounds: str) -> bool:
    """Whether a version such as ``2.9.1+cpu`` is within bounds such as ``>=2.9,<3``.

    Only numbers are compared: a release candidate counts as its release, which is near enough for advice.
    """
    ours = _numbers(version)
    for compare, text in _BOUND.findall(bounds):
        theirs = _numbers(text)
        length = max(len(ours), len(theirs))
        if not _COMPARE[compare](_filled(ours, length), _filled(theirs, length)):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _filled(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers + (0,) * (length - len(numbers))
