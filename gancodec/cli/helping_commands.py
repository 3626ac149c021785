"""The commands about gancodec itself: doctor, completion."""

from __future__ import annotations

from typing import Annotated

import typer

from gancodec.cli import completing
from gancodec.cli import doctor as doctoring
from gancodec.cli.app import DeviceOption, Json, Task, app
from gancodec.cli.completing import Shell
from gancodec.cli.options import Device

ShellName = Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Which shell.", show_default=False)]


@app.command()
def doctor(device: DeviceOption = Device.AUTO, json: Json = False) -> Task:
    """Check this installation, and say what to do about what is wrong.

    Looks at Python, the libraries, CUDA, Pillow's formats, the weights and free space, and sends a small picture
    through every codec. Takes seconds, needs no network, and runs without torch as well: it says so then.

    \b
    gancodec doctor
    gancodec doctor --device cuda                     CUDA missing is a failure
    gancodec doctor --json | grep '"FAIL"'

    \b
    Every line is ok, warning (something is left out or slow) or FAIL, with
    what to do behind a semicolon.
    Exit codes: 0 nothing fails, 1 something does.
    """
    return lambda: doctoring.examine(device.value, as_json=json)


@app.command()
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
