"""`gancodec help`: what --help says, and the table of exit codes."""

from __future__ import annotations

from typing import Final

import typer

from gancodec.cli import report
from gancodec.cli.app import app
from gancodec.cli.completing import PROGRAM
from gancodec.cli.exit_codes import OF_COMMANDS, table
from gancodec.cli.suggestions import did_you_mean
from gancodec.errors import ConfigError

EXIT_CODES_TOPIC: Final = "exit-codes"
TOPICS: Final = (*OF_COMMANDS, EXIT_CODES_TOPIC)


def show(topic: str | None) -> int:
    """Print help about a command, the exit codes or everything; returns the exit code.  Raises ConfigError."""
    if topic == EXIT_CODES_TOPIC:
        for line in table():
            report.data(line)
        return 0
    if topic is not None and topic not in OF_COMMANDS:
        hint = did_you_mean(topic, TOPICS) or f"known are {', '.join(TOPICS)}"
        raise ConfigError(f"there is no help about {topic!r}", hint=hint)
    command = [] if topic is None else [topic]
    typer.main.get_command(app).main(args=[*command, "--help"], prog_name=PROGRAM, standalone_mode=False)
    return 0
