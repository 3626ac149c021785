"""Defaults that the command line, the service and the facade share.  Imports nothing."""

from __future__ import annotations

from typing import Final

DEFAULT_QUALITY: Final = 60.0
"""Quality where none is asked for: about 0.7 bpp on photographs."""
DEFAULT_CODEC: Final = "photo"
