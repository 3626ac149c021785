"""``python -m gancodec`` is the command ``gancodec``."""

from __future__ import annotations

import sys

from gancodec.cli.main import main

sys.exit(main())
