"""Every error that gancodec raises on purpose.

GancodecError
├── ConfigError                  the caller's options do not fit together           exit 2
├── PictureError                 a picture cannot be read, or its kind is refused   exit 3
├── FormatError                  the bytes are not a .gnc file that we can open     exit 4
│   ├── NotGncError              the first bytes are not ours
│   ├── UnsupportedVersionError  written by a later, incompatible format
│   ├── TruncatedError           bytes are missing at the end
│   ├── ChecksumError            bytes or symbols differ from those that were written
│   └── CorruptError             fields contradict each other
├── ModelError                   the weights do not serve                           exit 5
│   ├── MissingModelError        no weights by that name, path or model id
│   └── WrongModelError          weights are there, but not the ones the file needs
├── LimitError                   legal, but above one of our limits                 exit 6
└── OutputError                  the operating system does not let us write         exit 1

A message says what was wrong with which input; the hint says what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class GancodecError(Exception):
    """Base of all expected failures.

    ``str(error)`` is one line: the message and, behind a semicolon, the hint.
    ``exit_code`` is the status with which the command line ends.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ConfigError(GancodecError):
    """The caller's options do not fit together or are out of range."""

    exit_code = 2


class PictureError(GancodecError):
    """A picture cannot be read, or is of a kind that is refused (16 bit, animated)."""

    exit_code = 3


class FormatError(GancodecError):
    """The bytes are not a .gnc file that this version can open."""

    exit_code = 4


class NotGncError(FormatError):
    """The file does not start with the magic bytes of .gnc."""


class UnsupportedVersionError(FormatError):
    """The file was written by a later version of the format, with another layout."""


class TruncatedError(FormatError):
    """Bytes are missing at the end."""


class ChecksumError(FormatError):
    """A checksum says that bytes or symbols differ from those that were written."""


class CorruptError(FormatError):
    """Fields contradict each other, or the coded symbols make no sense."""


class ModelError(GancodecError):
    """The weights do not serve."""

    exit_code = 5


class MissingModelError(ModelError):
    """No weights have that name, path or model id."""


class WrongModelError(ModelError):
    """The weights are readable but are not the ones that the file needs, or are damaged."""


class LimitError(GancodecError):
    """The input is legal in the format but above one of our limits."""

    exit_code = 6


class OutputError(GancodecError):
    """The operating system does not let us write an output."""

    exit_code = 1


class DamagedMetadataWarning(UserWarning):
    """A metadata chunk is damaged; the picture itself is right and is delivered without it."""
