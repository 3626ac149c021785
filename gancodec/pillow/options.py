"""How pixels are decoded, for a process or for a block: Image.open() takes no options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Real
from typing import Final

from gancodec.pillow.errors import OptionError, other_type
from gancodec.pillow.saving import checked_device


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """An image keeps those that were in force when it was opened.  Raises OptionError, OptionTypeError."""

    realism: float = 0.0
    """0 (faithful) to 1 (generated detail)."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``; for saving as well."""

    def __post_init__(self) -> None:
        if isinstance(self.realism, bool) or not isinstance(self.realism, Real):
            raise other_type("realism", self.realism, "use 0 to 1")
        if not 0 <= self.realism <= 1:  # true for NaN, too
            raise OptionError(f"realism is {self.realism!r}", hint="use 0 to 1")
        checked_device(self.device)

    def but(self, *, realism: float | None, device: str | None) -> Options:
        """These, with what is given in place of theirs."""
        return Options(
            realism=self.realism if realism is None else realism, device=self.device if device is None else device
        )


class _OfProcess:
    def __init__(self) -> None:
        self.options = Options()


_of_process: Final = _OfProcess()
_of_block: ContextVar[Options | None] = ContextVar("gancodec.pillow.options", default=None)


def current_options() -> Options:
    """Those of the innermost ``options`` block of this thread or task, or else of the process."""
    return _of_block.get() or _of_process.options


@contextmanager
def options(*, realism: float | None = None, device: str | None = None) -> Iterator[None]:
    """Options for images opened in this block, in this thread or task; what is not given stays.

    Raises OptionError.
    """
    token = _of_block.set(current_options().but(realism=realism, device=device))
    try:
        yield
    finally:
        _of_block.reset(token)


def set_options(*, realism: float | None = None, device: str | None = None) -> None:
    """Options for the whole process, outside of ``options`` blocks; what is not given stays.

    Raises OptionError.
    """
    _of_process.options = _of_process.options.but(realism=realism, device=device)
