"""The commands about gancodec itself: doctor, completion, help."""

from __future__ import annotations

from typing import Annotated

import typer

from gancodec.cli import completing, helping
from gancodec.cli import doctor as doctoring
from gancodec.cli.app import DeviceOption, Json, Task, app
from gancodec.cli.completing import Shell
from gancodec.cli.exit_codes import of_command
from gancodec.cli.options import Device

Topic = Annotated[
    str | None,
    typer.Argument(
        metavar=f"COMMAND|{helping.EXIT_CODES_TOPIC}", help="About what; default: all commands.", show_default=False,
        autocompletion=completing.topics,
    ),
]  # fmt: skip
ShellName = Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Which shell.", show_default=False)]


@app.command(epilog=of_command("doctor"))
def doctor(device: DeviceOption = Device.AUTO, json: Json = False) -> Task:
    """Check this installation, and say what to do about what is wrong.

    Looks at Python, the libraries, CUDA, Pillow's formats, the weights and free space, and sends a small picture
    through every codec. Takes seconds, needs no network, and runs without torch as well: it says so then.

    \b
    gancodec doctor
    gancodec doctor --device cuda                     CUDA missing is a failure
    gancodec doctor --json | grep '"FAIL"'

    \b
    Every line is ok, warning (something is left out or slow) or FAIL; what to
    do stands below it, behind an arrow.
    """
    return lambda: doctoring.examine(device.value, as_json=json)


@app.command(epilog=of_command("completion"))
def completion(shell: ShellName) -> Task:
    """Print the script that completes commands, options and their values in a shell.

    \b
    bash: put into ~/.bashrc
        eval "$(gancodec completion bash)"
    zsh: put into ~/.zshrc, behind compinit
        eval "$(gancodec completion zsh)"
    fish:
        gancodec completion fish > ~/.config/fish/completions/gancodec.fish

    New shells complete then; the scripts need no change when gancodec does.
    """
    return lambda: completing.show_script(shell)


@app.command("help", epilog=of_command("help"))
def show_help(topic: Topic = None) -> Task:
    """Say what a command does and which options it has.

    \b
    gancodec help                                     all commands
    gancodec help compress                            as gancodec compress --help
    gancodec help exit-codes                          what they mean
    """
    return lambda: helping.show(topic)
