"""`gancodec help`, and what --help promises about exit codes and numbers."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any

import pytest
import typer

from gancodec import errors
from gancodec.cli import exit_codes
from gancodec.cli.app import app
from gancodec.cli.helping import TOPICS
from gancodec.cli.running_commands import train

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_help_alone_is_the_help_of_everything(run: Any) -> None:
    helped, asked = run("help"), run("--help")
    assert (helped.code, helped.out) == (0, asked.out)
    assert b"compress" in helped.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_about_a_command_is_its_help_with_its_exit_codes(command: str, run: Any) -> None:
    helped, asked = run("help", command), run(command, "--help")
    assert (helped.code, helped.out) == (0, asked.out)
    text = " ".join(helped.out.decode().split())
    assert f"Exit codes: {', '.join(map(str, exit_codes.OF_COMMANDS[command]))};" in text


def test_help_about_exit_codes_has_all_of_them(run: Any) -> None:
    done = run("help", "exit-codes")
    lines = done.out.decode().splitlines()
    assert done.code == 0
    for code, text in exit_codes.EXIT_CODES.items():
        assert f"{code:>4}  {text}" in lines
    assert {line.split()[0] for line in lines[len(exit_codes.EXIT_CODES) + 1 :]} == {*COMMANDS}


def test_help_about_nothing_that_is_there_names_the_nearest(run: Any) -> None:
    done = run("help", "exitcodes")
    assert (done.code, done.lines) == (
        2, ["gancodec: error: there is no help about 'exitcodes'; did you mean 'exit-codes'?"],
    )  # fmt: skip
    assert "known are compress" in run("help", "xyzzy").err


def test_topics_are_the_commands_that_there_are() -> None:
    assert sorted(TOPICS) == sorted([*COMMANDS, "exit-codes"])


def test_the_exit_codes_are_those_of_the_errors() -> None:
    ours = {each.exit_code for each in vars(errors).values() if hasattr(each, "exit_code")}
    assert ours | {0, 7, 130} == exit_codes.EXIT_CODES.keys()
    assert {code for codes in exit_codes.OF_COMMANDS.values() for code in codes} == exit_codes.EXIT_CODES.keys()


@pytest.mark.parametrize("text", ["README.md", "docs/command-line.md"])
def test_the_documentation_names_every_exit_code(text: str) -> None:
    said = (ROOT / text).read_text(encoding="utf-8")
    for code in exit_codes.EXIT_CODES:
        assert re.search(rf"(?<![0-9]){code} (?:\| )?[a-z.`]", said), code


def options_of_train() -> dict[str, tuple[set[object], Any]]:
    """Name -> types, and what stands in --help."""
    found = {}
    for annotation in typing.get_type_hints(train, include_extras=True).values():
        if typing.get_origin(annotation) is not typing.Annotated:
            continue
        kind, info = typing.get_args(annotation)
        kinds = {*typing.get_args(kind)} if isinstance(kind, types.UnionType) else {kind}
        found[info.default] = kinds, info
    return found


NUMBERS = [name for name, (kinds, _) in options_of_train().items() if {int, float} & kinds] + ["--lambda-x"]


@pytest.mark.parametrize("option", NUMBERS)
def test_numbers_of_train_say_their_unit_and_what_they_may_be(option: str) -> None:
    info = options_of_train()[option][1]
    said = f"{info.metavar} {info.help}"
    assert info.min is not None or re.search(r"above 0|0 or more|4\|8\|16", said), said
    assert re.search("[Ff]actor|MINUTES|CROPS|pixels|whole number", said), said


def test_there_are_numbers_to_look_at() -> None:
    assert {"--max-minutes", "--crop", "--channels", "--lambda-c", "--seed"} <= {*NUMBERS}
