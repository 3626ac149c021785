"""`gancodec doctor`: every check that there is, one line each.

A check is a generator of findings.  Whatever it raises becomes a finding as well, so that the checks behind it are made
in any case: the sick come here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gancodec.cli import report
from gancodec.cli.failures import wants_traceback
from gancodec.errors import GancodecError

if TYPE_CHECKING:
    from gancodec.registry import ModelEntry


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Works, but something is left out or slow."""
    FAIL = "FAIL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    """What was looked at, in a word or two."""
    level: Level
    found: str
    advice: str = ""
    """What to do; empty where nothing is to be done."""


Check = Callable[[], Iterator[Finding]]


def ok(check: str, found: str) -> Finding:
    """Nothing to be done."""
    return Finding(check=check, level=Level.OK, found=found)


def warning(check: str, found: str, advice: str = "") -> Finding:
    """Something is left out or slow."""
    return Finding(check=check, level=Level.WARNING, found=found, advice=advice)


def fail(check: str, found: str, advice: str = "") -> Finding:
    """Something does not work."""
    return Finding(check=check, level=Level.FAIL, found=found, advice=advice)


def examine(device: str, *, as_json: bool) -> int:
    """Make all checks and print what they find, each as soon as it is known; returns 1 if any failed, else 0."""
    counts = dict.fromkeys(Level, 0)
    for finding in _findings(device):
        counts[finding.level] += 1
        if as_json:
            report.json_line(
                {
                    "check": finding.check,
                    "level": finding.level.value,
                    "found": finding.found,
                    "advice": finding.advice or None,
                }
            )
        else:
            report.data(f"{finding.level.value:<8} {finding.check:<18} {finding.found}")
            if finding.advice:
                report.data(f"{'':<8} -> {finding.advice}")
    if not as_json:
        report.data(", ".join(f"{count} {level.value}" for level, count in counts.items()))
    return 1 if counts[Level.FAIL] else 0


def guarded(check: str, make: Check) -> Iterator[Finding]:
    """The findings of a check, and what it raises as one more."""
    try:
        yield from make()
    except GancodecError as exc:
        yield fail(check, exc.message, exc.hint)
    except Exception as exc:
        if wants_traceback():
            raise
        text = " ".join(f"{type(exc).__name__}: {exc}".split())
        yield fail(check, text, "set GANCODEC_TRACEBACK=1 for the traceback")


def _findings(device: str) -> Iterator[Finding]:
    from gancodec.cli import doctor_codecs, doctor_machine

    yield from guarded("gancodec", doctor_machine.package)
    yield from guarded("python", doctor_machine.python)
    yield from guarded("libraries", doctor_machine.libraries)
    has_torch = False
    for finding in guarded("torch", doctor_machine.torch_build):
        has_torch = finding.level is not Level.FAIL
        yield finding
    if has_torch:
        yield from guarded("cuda", lambda: doctor_machine.cuda(device))
    yield from guarded("pillow formats", doctor_machine.picture_formats)
    yield from guarded("extras", doctor_machine.extras)
    yield from guarded("temporary files", doctor_machine.temporary_files)
    yield from guarded("disk space", doctor_machine.disk_space)
    entries: list[ModelEntry] = []
    yield from guarded("weights", lambda: doctor_codecs.shipped(entries))
    yield from guarded("GANCODEC_CODECS", lambda: doctor_codecs.others(entries))
    for entry, name in zip(entries, doctor_codecs.names_apart(entries), strict=True):
        if has_torch:
            yield from _self_test(entry, name, device)
        else:
            yield warning(f"codec {name}", "not tried, for want of torch")


def _self_test(entry: ModelEntry, name: str, device: str) -> Iterator[Finding]:
    from gancodec.cli import doctor_codecs

    return guarded(f"codec {name}", lambda: doctor_codecs.self_test(entry, name, device))
