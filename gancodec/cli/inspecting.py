"""`gancodec info`, `verify` and `models`: reading only.  Only `verify` loads networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gancodec.cli import report
from gancodec.cli.failures import Failure, exit_code
from gancodec.cli.inputs import GNC_SUFFIXES, Source, expand, read
from gancodec.cli.loading import Decoders
from gancodec.container import SOURCE_TYPE, read_container, source_of
from gancodec.description import describe
from gancodec.errors import ModelError
from gancodec.registry import ModelEntry, known_models

Row = dict[str, Any]


def info(arguments: Sequence[str], *, as_json: bool) -> int:
    """Describe files from their header and chunks; checks everything but the symbols."""
    known = _models_by_id()

    def facts(source: Source) -> Row:
        data = read(source)
        row = describe(data, known)
        digest = source_of(read_container(data))
        return {"input": source.name, **row, "source": None if digest is None else digest.hex()}

    return _each(arguments, facts, as_json=as_json, text=_info_text)


def verify(arguments: Sequence[str], *, decoders: Decoders, as_json: bool) -> int:
    """Check files, their symbols included."""

    def check(source: Source) -> Row:
        data = read(source)
        read_container(data)  # most damage shows here, before networks are loaded
        decoders.load()
        header = decoders.for_file(data).verify(data)
        return {"input": source.name, "ok": True, "width": header.width, "height": header.height, "bytes": len(data)}

    return _each(arguments, check, as_json=as_json, text=lambda row: f"{row['input']}: ok")


def models(*, as_json: bool) -> int:
    """List the codecs that --codec knows by name."""
    rows = [_model_row(entry) for entry in known_models()]
    if as_json:
        for row in rows:
            report.json_line(row)
        return 0
    if not rows:
        report.say("no codecs are known; put a folder of weights into GANCODEC_CODECS")
        return 0
    columns = ("name", "codec", "model_id", "licence", "bytes", "path")
    cells: list[tuple[str, ...]] = [("NAME", "CODEC", "MODEL ID", "LICENCE", "BYTES", "PATH")]
    cells += [tuple(f"{row[name]:,}" if name == "bytes" else row[name] for name in columns) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        report.data("  ".join(padded).rstrip())
    return 0


def _each(
    arguments: Sequence[str], action: Callable[[Source], Row], *, as_json: bool, text: Callable[[Row], str]
) -> int:
    """Do `action` for every input, whatever happens to the others, and return the exit code."""
    sources = expand(arguments, recursive=False, suffixes=GNC_SUFFIXES)
    failures: list[Failure] = []
    for source in sources:
        try:
            with report.warnings_about(source.label):
                row = action(source)
        except Exception as exc:
            failure = report.error(source.label, exc)
            failures.append(failure)
            if as_json:
                report.json_line({"input": source.name, "error": failure.text, "exit_code": failure.exit_code})
            continue
        if as_json:
            report.json_line(row)
        else:
            for line in text(row).splitlines():
                report.data(line)
    return exit_code(failures, inputs=len(sources), kept_going=True)


def _info_text(row: Row) -> str:
    lines = [
        str(row["input"]),
        f"  picture   {row['width']} x {row['height']} pixels, {row['mode']}",
        f"  quality   {'one rate only' if row['quality'] is None else format(row['quality'], 'g')}",
        f"  file      {row['bytes']:,} bytes, {row['bpp']:.3f} bpp, format {row['format']}",
        f"  model     {row['model_id']} ({row['model'] or 'not among the known ones'})",
        f"  payload   {row['payload_bytes']:,} bytes{', uniform tables' if row['uniform_tables'] else ''}",
    ]
    chunks = [chunk for chunk in row["chunks"] if row["source"] is None or chunk["type"] != SOURCE_TYPE.decode()]
    lines += [f"  {'alpha' if c['type'] == 'ALPH' else c['type']:<9} {c['bytes']:,} bytes" for c in chunks]
    lines += [] if row["source"] is None else [f"  source    a file whose SHA-256 begins with {row['source']}"]
    lines += [f"  damaged   {text}" for text in row["damaged"]]
    return "\n".join(lines)


def _models_by_id() -> dict[bytes, ModelEntry]:
    """The known models, the first of each id; a broken manifest does not keep us from describing files."""
    try:
        return {entry.model_id: entry for entry in reversed(known_models())}
    except ModelError as exc:
        report.say(f"warning: {exc}")
        return {}


def _model_row(entry: ModelEntry) -> Row:
    return {
        "name": entry.name,
        "codec": entry.codec,
        "model_id": entry.model_id.hex(),
        "licence": entry.licence,
        "bytes": entry.size_bytes,
        "path": str(entry.path),
        "has_realism": entry.has_realism,
        "sha256": entry.sha256,
    }
