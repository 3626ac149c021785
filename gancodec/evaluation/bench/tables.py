"""Results as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from gancodec.evaluation.bench.plan import PEER_QUALITY, Request
from gancodec.evaluation.bench.results import Comparison, MemoryRow, Setting, TimeRow, Timing

MIB = 1 << 20
NONE = "–"
TIME_HEADER = (
    "codec", "bpp", "encode s", "(median)", "Mpixel/s", "decode s", "(median)", "Mpixel/s",
    "enc. x", "dec. x", "CPU enc. x", "CPU dec. x",
)  # fmt: skip

Cells = tuple[str, ...]


def setting_lines(setting: Setting, request: Request) -> list[str]:
    """What the figures depend on."""
    quality = "" if request.quality is None else f" at quality {request.quality:g}, effort {request.effort}"
    lines = [
        f"{request.label} {setting.gancodec}{quality}; torch {setting.torch}, "
        f"{setting.threads} thread{'s' if setting.threads > 1 else ''}; {setting.device}: {setting.device_name}"
    ]
    if request.peers:
        lines.append(f"peers: architectures of compressai.zoo, quality {PEER_QUALITY}, random weights")
    return lines


def comparison_lines(comparison: Comparison, runs: int) -> list[str]:
    """The tables of one picture and batch, with a title and what their signs mean."""
    name, size = comparison.picture, f"{comparison.width}x{comparison.height}"
    title = name if name == size else f"{name} ({size})"
    if comparison.batch > 1:
        title = f"{title}, {comparison.batch} decoded together"
    times = [_time_cells(row, comparison) for row in comparison.times]
    best = f"best of {runs} runs" if runs > 1 else "one run"
    lines = [f"{title}: seconds a picture, {best}", *_aligned([TIME_HEADER, *times])]
    lines.append("x: times as long as ours, and times the CPU time of all threads")
    if comparison.batch > 1:
        lines.append(f"{NONE}: pictures are encoded one by one, so that a batch is only decoded")
    lines += [line for row in comparison.times for line in _parts(row)]
    if comparison.memory:
        on_gpu = any(row.cuda_decode_bytes is not None for row in comparison.memory)
        header = ["codec", "encode MiB", "decode MiB", "(import alone)", *(["GPU encode", "GPU decode"] * on_gpu)]
        rows = [_memory_cells(row, on_gpu=on_gpu) for row in comparison.memory]
        lines += ["", f"{title}: peak memory above a process that only imports", *_aligned([tuple(header), *rows])]
    return lines


def _time_cells(row: TimeRow, comparison: Comparison) -> Cells:
    if row.problem is not None:
        return row.contender, row.problem
    ours = comparison.times[0]
    pixels = comparison.width * comparison.height
    assert row.size_bytes is not None
    cells = [row.contender, f"{8 * row.size_bytes / pixels:.3f}"]
    for timing in (row.encode, row.decode):
        if timing is None:
            cells += [NONE] * 3
        else:
            cells += [f"{timing.best:.3f}", f"({timing.median:.3f})", f"{pixels / timing.best / 1e6:.2f}"]
    pairs = ((row.encode, ours.encode), (row.decode, ours.decode))
    cells += [_ratio(theirs, own, "best") for theirs, own in pairs]
    cells += [_ratio(theirs, own, "best_cpu") for theirs, own in pairs]
    return tuple(cells)


def _parts(row: TimeRow) -> list[str]:
    """Where the seconds go, in a line; none for a contender that does not tell."""
    texts = []
    for way, timing in (("encode", row.encode), ("decode", row.decode)):
        if timing is not None and timing.parts:
            rest = timing.mean - sum(timing.parts.values())
            parts = ", ".join(f"{part} {seconds:.3f}" for part, seconds in timing.parts.items())
            texts.append(f"{way} {parts}, file {rest:.3f}")
    if not texts:
        return []
    return [f"{row.contender}, mean seconds: load {row.load_seconds or 0:.2f}; {'; '.join(texts)}"]


def _ratio(theirs: Timing | None, ours: Timing | None, clock: str) -> str:
    """How many times as long as ours; nothing where one of the two was not measured."""
    if theirs is None or ours is None:
        return NONE
    return f"{getattr(theirs, clock) / max(getattr(ours, clock), 1e-9):.2f}"


def _memory_cells(row: MemoryRow, *, on_gpu: bool) -> Cells:
    if row.problem is not None:
        return row.contender, row.problem
    figures = [row.encode_bytes, row.decode_bytes, row.import_bytes]
    figures += [row.cuda_encode_bytes, row.cuda_decode_bytes] * on_gpu
    cells = [NONE if figure is None else f"{figure / MIB:.0f}" for figure in figures]
    cells[2] = f"({cells[2]})"
    return row.contender, *cells


def _aligned(rows: Sequence[Cells]) -> list[str]:
    """Columns, the first one flush left; a row of two cells is a name and a sentence that takes all the others."""
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for name, *cells in rows:
        if len(cells) + 1 == len(widths):
            cells = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    return lines
