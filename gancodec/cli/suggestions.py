"""What the user may have meant: for words that the parser of the command line does not know."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# typer's exceptions hold the offending word in their text only, and that text differs from version to version.
_COMMAND = re.compile(r"No such command '(?P<word>[^']*)'")
_OPTION = re.compile(r"No such option: (?P<word>[^ ,;]+)")
_VALUE = re.compile(r"(?:Value error, )?'(?P<word>[^']*)' is not one of (?P<known>.*)")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question with the nearest of the known words, whatever the case; empty if none is near."""
    by_folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f"did you mean {by_folded[near[0]]!r}?" if near else ""


def usage_message(error: Exception, commands: Iterable[str]) -> str:
    """One line about an error of typer's parser, with what may have been meant.  commands: all that there are."""
    reason = str(error.format_message() if hasattr(error, "format_message") else error).rstrip(".")
    hint = ""
    if match := _COMMAND.search(reason):
        reason = match[0]
        hint = did_you_mean(match["word"], commands)
    elif match := _OPTION.search(reason):
        reason = match[0]
        hint = did_you_mean(match["word"], getattr(error, "possibilities", None) or ())
    elif match := _VALUE.search(reason):
        known = re.findall(r"'([^']*)'", match["known"])
        reason = f"{reason[: match.start()]}{match['word']!r} is not one of {', '.join(known)}"
        hint = did_you_mean(match["word"], known)
    return f"{reason}; {hint} Try --help" if hint else f"{reason}; Try --help"
