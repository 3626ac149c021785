"""What the exit codes mean: the table that --help, `gancodec help exit-codes` and the documentation share."""

from __future__ import annotations

from typing import Final

EXIT_CODES: Final = {
    0: "done",
    1: "an internal error, output that cannot be written, or a failure that doctor found",
    2: "options or arguments that do not fit",
    3: "an input that cannot be read, or is of a kind that is refused",
    4: "a .gnc file that is damaged or too new",
    5: "a model that is missing or wrong",
    6: "a limit that is exceeded: sides of a picture, bytes of a file, or a target out of reach",
    7: "some of several files failed, the others are done",
    130: "interrupted by Ctrl-C",
}

OF_COMMANDS: Final = {
    "compress": (0, 1, 2, 3, 5, 6, 7, 130),
    "decompress": (0, 1, 2, 3, 4, 5, 6, 7, 130),
    "info": (0, 1, 2, 3, 4, 6, 7, 130),
    "verify": (0, 1, 2, 3, 4, 5, 6, 7, 130),
    "models": (0, 1, 2, 5, 130),
    "doctor": (0, 1, 2, 130),
    "completion": (0, 1, 2),
    "help": (0, 1, 2),
    "eval": (0, 1, 2, 3, 4, 5, 6, 7, 130),
    "compare": (0, 1, 2, 3, 4, 5, 6, 130),
    "bench": (0, 1, 2, 3, 5, 6, 130),
    "train": (0, 1, 2, 3, 5, 130),
    "serve": (0, 1, 2, 5, 130),
}
"""Which of them each command may end with."""


def of_command(name: str) -> str:
    """The last line of a command's --help."""
    codes = ", ".join(map(str, OF_COMMANDS[name]))
    return f"Exit codes: {codes}; `gancodec help exit-codes` says what they mean."


def table() -> list[str]:
    """Every code and what it means, then those of each command."""
    lines = [f"{code:>4}  {text}" for code, text in EXIT_CODES.items()]
    width = max(map(len, OF_COMMANDS))
    return [*lines, "", *(f"{name:<{width}}  {', '.join(map(str, codes))}" for name, codes in OF_COMMANDS.items())]
