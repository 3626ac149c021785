"""``manifest.json`` of a folder of weights: what ``gancodec models`` and ``info`` read without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from gancodec.defaults import DEFAULT_CODEC
from gancodec.registry import SUFFIX, read_entry
from gancodec.writing import write_file


def write_manifest(folder: Path) -> None:
    """List every codec in ``folder`` by name, the default one first.

    Raises WrongModelError for a .safetensors that is not a codec.
    """
    rows = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: (path.stem != DEFAULT_CODEC, path.name)):
        entry = read_entry(path)
        rows.append(
            {
                "name": entry.name,
                "file": path.name,
                "codec": entry.codec,
                "model_id": entry.model_id.hex(),
                "licence": entry.licence,
                "size_bytes": entry.size_bytes,
                "has_realism": entry.has_realism,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    write_file(folder / "manifest.json", json.dumps({"models": rows}, indent=1) + "\n")
