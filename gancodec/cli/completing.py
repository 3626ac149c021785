"""Completion of the command line by the user's shell, as typer does it.

Not by typer's own options --install-completion and --show-completion: they would edit the user's start files, and stand
in every --help.
"""

from __future__ import annotations

import enum
import os
from contextlib import suppress
from typing import Final

from gancodec.cli import report
from gancodec.errors import ModelError

PROGRAM: Final = "gancodec"
VARIABLE: Final = "_GANCODEC_COMPLETE"
"""Set by the scripts when the user asks for completions; typer makes the name from that of the program."""


class Shell(enum.StrEnum):
    """Shells that can be told how to complete our commands."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def show_script(shell: Shell) -> int:
    """Print the script that makes `shell` complete our commands; returns the exit code."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value)
    for line in script.splitlines():
        report.data(line)
    return 0


def codec_names(incomplete: str) -> list[str]:
    """Names of codecs that begin so: what --codec takes beside paths, which the shell completes."""
    from gancodec.registry import known_models

    with suppress(ModelError):  # a broken manifest is no message for somebody who pressed Tab
        return sorted({entry.name for entry in known_models() if entry.name.startswith(incomplete)})
    return []


def codec_lists(incomplete: str) -> list[str]:
    """The same for lists with commas: the last name is completed, by one that is not there yet."""
    before, comma, last = incomplete.rpartition(",")
    there = before.split(",")
    return [f"{before}{comma}{name}" for name in codec_names(last) if name not in there]


def topics(incomplete: str) -> list[str]:
    """What `gancodec help` can be asked about."""
    from gancodec.cli.helping import TOPICS

    return [topic for topic in TOPICS if topic.startswith(incomplete)]


def prepare() -> None:
    """Make the parser answer if a shell asks for completions, and cost nothing if none does."""
    if os.environ.get(VARIABLE):
        from typer._completion_classes import completion_init

        completion_init()
