"""Completion of the command line by the user's shell, as typer does it.

Not by typer's own options --install-completion and --show-completion: they would edit the user's start files, and stand
in every --help.
"""

from __future__ import annotations

import enum
import os
from typing import Final

from gancodec.cli import report

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


def prepare() -> None:
    """Make the parser answer if a shell asks for completions, and cost nothing if none does."""
    if os.environ.get(VARIABLE):
        from typer._completion_classes import completion_init

        completion_init()
