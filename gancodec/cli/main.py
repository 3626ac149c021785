"""The entry point: parse, run, and turn whatever goes wrong into one line and an exit code.

0 done · 1 our own mistake, output that cannot be written, or what doctor found · 2 options · 3 input unreadable or
unsupported · 4 .gnc damaged or too new · 5 model missing or wrong · 6 limit exceeded · 7 some of several files failed
· 130 Ctrl-C
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import typer

from gancodec.cli import (
    codec_commands,
    completing,
    helping_commands,
    measuring_commands,
    report,
    running_commands,
    stdout,
    suggestions,
)
from gancodec.cli.app import app
from gancodec.cli.repetition import refuse_repeated_lists

COMMANDS: Final = (codec_commands, helping_commands, measuring_commands, running_commands)
"""Importing them puts their commands into the application, in this order."""
INTERRUPTED = 130
USAGE = 2

# typer once imported click and now carries a copy of it, so the class has no import path that serves all versions.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process) and return its exit code; never raises Exception."""
    try:
        code = _run(argv)
        stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        stdout.discard()
        return 1
    except KeyboardInterrupt:
        report.say("interrupted; no incomplete file is left")
        return INTERRUPTED
    except Exception as error:
        return report.error(None, error).exit_code


def _run(argv: Sequence[str] | None) -> int:
    # Commands only return what is to be done, and it is done out here: inside, typer would answer Ctrl-C and broken
    # pipes by itself, differently from version to version.
    completing.prepare()
    parser = typer.main.get_command(app)
    arguments = sys.argv[1:] if argv is None else list(argv)
    refuse_repeated_lists(parser, arguments)
    try:
        task = parser.main(args=arguments, prog_name=completing.PROGRAM, standalone_mode=False)
    except _UsageError as error:
        report.say(f"error: {suggestions.usage_message(error, getattr(parser, 'commands', ()))}")
        return USAGE
    if task == INTERRUPTED:  # typer's own answer to Ctrl-C while a command looks at its options
        raise KeyboardInterrupt
    return int(task() if callable(task) else task or 0)
