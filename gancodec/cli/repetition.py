"""Options that take a list with commas, given more than once: typer would keep the last and never say so."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from gancodec.errors import ConfigError


def refuse_repeated_lists(parser: Any, arguments: Sequence[str]) -> None:
    """Raise ConfigError for such an option.  ``parser``: the group of commands that typer made."""
    name, *given = arguments or [""]
    command = parser.commands.get(name)
    if command is None:
        return
    words = [word.split("=", 1)[0] for word in takewhile(lambda word: word != "--", given)]
    for option in command.params:
        is_list = "," in (option.metavar or "") and not option.multiple
        if is_list and sum(word in option.opts for word in words) > 1:
            hint = f"give all at once, with commas between them: {option.opts[0]} {option.metavar}"
            raise ConfigError(f"{option.opts[0]} is given more than once", hint=hint)
