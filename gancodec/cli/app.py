"""The application: what stands above all commands, and the types that they share.

Each command (codec_commands, helping_commands, measuring_commands, running_commands) checks what it was given and
returns the work to be done, as a function without arguments that returns the exit code; main.py calls it.  Modules
that load numpy or Pillow are imported inside the commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import gancodec
from gancodec.cli import report
from gancodec.cli.options import Device

Task = Callable[[], int]

app = typer.Typer(
    add_completion=False,  # see completing.py
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes CUDA if there is one.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        report.data(f"gancodec {gancodec.__version__}")
        raise typer.Exit


@app.callback()
def gancodec_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learned image compression: pictures to small .gnc files and back.

    \b
    gancodec compress photo.jpg            writes photo.gnc
    gancodec decompress photo.gnc          writes photo.png
    gancodec info photo.gnc                says what is in it
    gancodec doctor                        checks this installation
    gancodec help compress                 all options of a command, and examples
    gancodec help exit-codes               what they mean, command by command

    \b
    Exit codes of all commands: 0 done, 1 internal error, output not writable or
    a failure that doctor found, 2 options, 3 input unreadable or unsupported,
    4 .gnc file damaged or too new, 5 model missing or wrong, 6 limit exceeded,
    7 some of several files failed, 130 interrupted.

    \b
    GANCODEC_CODECS       folders with codecs of your own, separated as in PATH
    GANCODEC_TRACEBACK=1  shows where an error came from
    """
