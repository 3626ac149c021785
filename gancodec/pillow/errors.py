"""Errors about options, as programs that use Pillow expect them, and those that use gancodec as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gancodec.errors import ConfigError


class OptionError(ConfigError, ValueError):
    """An option's value does not serve; a ValueError, which Pillow's own formats raise."""


class OptionTypeError(OptionError, TypeError):
    """An option is of another type; a TypeError as well."""


def other_type(option: str, value: object, hint: str) -> OptionTypeError:
    """The error about an option whose value is of another type than `hint` says."""
    text = repr(value)
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return OptionTypeError(f"{option} is {shown}, of type {type(value).__name__}", hint=hint)


@contextmanager
def option_errors() -> Iterator[None]:
    """In this block ConfigErrors become OptionErrors."""
    try:
        yield
    except OptionError:
        raise
    except ConfigError as exc:
        raise OptionError(exc.message, hint=exc.hint) from exc
