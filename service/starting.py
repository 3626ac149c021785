"""Before the start: settings that do not fit end it here, with one line, and not when the first picture comes."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from typing import Final

from pydantic import ValidationError

from gancodec.codec import choose_device
from gancodec.errors import ConfigError, GancodecError, MissingModelError
from gancodec.registry import ModelEntry, resolve, shipped_models
from service.settings import PREFIX, Settings, variable

KUBERNETES: Final = re.compile(r"HOST|PORT(_.*)?")
"""Behind the prefix: what Kubernetes tells every container of a service that is called gancodec."""


def settings_from_environment() -> Settings:
    """The settings, checked.  Raises ConfigError for a variable that is unknown or does not fit, ModelError."""
    refuse_unknown(os.environ)
    try:
        settings = Settings()
    except ValidationError as exc:
        raise ConfigError(_first_of(exc), hint="see docs/service.md") from exc
    check(settings)
    return settings


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise ConfigError for a variable that looks like a setting and is none: it would do nothing, and say nothing."""
    for name in sorted(names):
        rest = name.upper().removeprefix(PREFIX)  # case does not matter to Settings either
        known = [each.upper() for each in Settings.model_fields]
        if rest == name.upper() or rest in known or KUBERNETES.fullmatch(rest):
            continue
        near = difflib.get_close_matches(rest, known, n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else "docs/service.md lists all settings"
        raise ConfigError(f"{name} is no setting of the service", hint=hint)


def check(settings: Settings) -> None:
    """Look whether device and codecs are there; no weights are loaded.

    Raises ConfigError for the device or for codecs of one name, MissingModelError, WrongModelError.
    """
    try:
        choose_device(settings.device)
    except ConfigError as exc:
        raise _at(exc, "device") from exc
    found: dict[str, ModelEntry] = {}
    for name in settings.codecs or [entry.name for entry in shipped_models()]:
        try:
            entry = resolve(name)
        except GancodecError as exc:
            raise _at(exc, "codecs") from exc
        other = found.setdefault(entry.name, entry)
        if other.path != entry.path:
            raise ConfigError(
                f"{other.path} and {entry.path} are both called {entry.name!r}",
                hint=f"clients could not tell them apart: serve one of them ({_where('codecs')})",
            )
    if not found:
        raise MissingModelError("no codecs are shipped with this installation", hint=f"name some ({_where('codecs')})")


def _at(error: GancodecError, setting: str) -> GancodecError:
    """The same error, with the place where it is mended."""
    return type(error)(error.message, hint=" ".join(filter(None, [error.hint, f"({_where(setting)})"])))


def _where(setting: str) -> str:
    return f"--{setting.removesuffix('s')} or {variable(setting)}"


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]  # a key could be in it
    message = first["msg"].removeprefix("Value error, ")
    return f"{variable(str(first['loc'][0]))}: {message}" if first["loc"] else message
