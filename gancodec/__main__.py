"""``python -m gancodec`` is the command ``gancodec``."""

from __future__ import annotations

import sys


def run() -> int:
    """The command line of the process; returns its exit code.  Ctrl-C counts from the first import on."""
    try:
        from gancodec.cli.main import main

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
