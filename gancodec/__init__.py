"""gancodec: learned image compression that decodes to the same symbols on every machine.

``from gancodec import Codec`` is all that most programs need. Importing the package is cheap: torch is loaded with the
first use of ``Codec``, and reading a header never loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gancodec.errors import GancodecError

if TYPE_CHECKING:
    from gancodec.codec import Codec
    from gancodec.effort.request import Effort

__version__ = "0.1.0"
__all__ = ["Codec", "Effort", "GancodecError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Codec":
        from gancodec.codec import Codec

        return Codec
    if name == "Effort":
        from gancodec.effort.request import Effort

        return Effort
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
