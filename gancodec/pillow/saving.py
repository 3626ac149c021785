"""The options of ``Image.save``: checked before anything is computed, so that errors name the option."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from gancodec.defaults import DEFAULT_CODEC, DEFAULT_EFFORT, EFFORT_MAX
from gancodec.pillow.errors import OptionError, other_type


@dataclass(frozen=True, kw_only=True, slots=True)
class SaveOptions:
    """What a call asks for; None is what it leaves to us."""

    quality: float | None
    target_bpp: float | None
    target_size: int | None
    effort: int
    codec: str | os.PathLike[str]
    device: str | None
    convert_16_bit: bool


def save_options(asked: Mapping[str, Any]) -> SaveOptions:
    """The options of a call; those of other formats, such as ``optimize``, count as little as with Pillow's own.

    Raises OptionError, OptionTypeError.
    """
    refuse_frames(asked)
    size = asked.get("target_size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, Integral)):
        raise other_type("target_size", size, "give whole bytes, such as 50_000")
    codec = asked.get("codec")
    if codec is not None and (not isinstance(codec, str | os.PathLike) or isinstance(os.fspath(codec), bytes)):
        raise other_type("codec", codec, "give a name such as 'photo', or the path of the weights")
    if codec == "":
        raise OptionError("codec is ''", hint="leave it out for 'photo', or give a name or path")
    reduce = asked.get("convert_16_bit")
    if reduce is not None and not isinstance(reduce, bool):
        raise other_type("convert_16_bit", reduce, "give True or False")
    return SaveOptions(
        quality=_number("quality", asked.get("quality"), "give 0 to 100"),
        target_bpp=_number("target_bpp", asked.get("target_bpp"), "give bits per pixel above 0, such as 0.25"),
        target_size=None if size is None else int(size),
        effort=_effort(asked.get("effort")),
        codec=DEFAULT_CODEC if codec is None else codec,
        device=checked_device(asked.get("device")),
        convert_16_bit=bool(reduce),
    )


def refuse_frames(asked: Mapping[str, Any]) -> None:
    """Raise OptionError for what would make a file of several pictures."""
    for option in ("save_all", "append_images"):
        if asked.get(option):
            raise OptionError(
                f"{option} is for files of several pictures, a .gnc file holds one",
                hint="save every frame to a file of its own",
            )


def checked_device(device: object) -> str | None:
    """A device as it was given.  Raises OptionTypeError; whether it is there turns out when it is used."""
    if device is None or isinstance(device, str):
        return device
    raise other_type("device", device, "give 'auto', 'cpu', 'cuda' or 'cuda:N'")


def _effort(value: object) -> int:
    hint = f"give a whole number from 0 to {EFFORT_MAX}"
    if value is None:
        return DEFAULT_EFFORT
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise other_type("effort", value, hint)
    effort = int(value)
    if not 0 <= effort <= EFFORT_MAX:
        raise OptionError(f"effort is {effort}", hint=hint)
    return effort


def _number(option: str, value: object, hint: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise other_type(option, value, hint)
    return float(value)
