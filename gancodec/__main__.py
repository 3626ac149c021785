"""``python -m gancodec`` is the command ``gancodec``."""

from __future__ import annotations

import sys

from gancodec.waiting import wait_briefly


def run() -> int:
    """The command line of the process; returns its exit code.  Ctrl-C counts from the first import on."""
    wait_briefly()
    try:
        from gancodec.cli.main import main

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
