"""A sweep's result as one HTML file: curves, tables, and pictures to look at, two versions of each side by side.

The file asks nobody for anything, and its Content-Security-Policy forbids it: style, script and pictures are inside.
Curves are drawn here and not by the script, so that they are there on paper too.  The script (report.js) only moves,
shows and hides what is in the page: it gets no data, and each picture is in the file once.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Container, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from gancodec import __version__
from gancodec.evaluation.charts import charts, named_value, shown_curves, value_text
from gancodec.evaluation.results import SweepResult
from gancodec.evaluation.strips import Strip, Version
from gancodec.evaluation.tables import Table, tables

ORIGINAL: Final = "original"
_ZOOMS: Final = {"0": "fit", "1": "1×", "2": "2×", "4": "4×"}
"""Pixels of the screen (CSS) for one of the picture, as report.js takes them; 0: all of it is seen."""


def as_html(result: SweepResult, strips: Sequence[Strip]) -> str:
    """The whole page, the same text for the same result.

    strips: pictures with their versions, the first one's being that of the first curve; none if there is nothing to
    look at.
    """
    first, *others = result.curves
    title = f"{first.codec} against {', '.join(curve.codec for curve in others)}" if others else first.codec
    count = len(result.pictures)
    shown = shown_curves(result)
    return Template(_part("report.html")).substitute(
        title=escape(title),
        measured=f"Measured on {count} picture{'s' if count != 1 else ''}: the rate is that of whole files, distortion "
        f"is that of the decoded 8-bit RGB pictures, and every curve is a mean over the pictures (gancodec "
        f"{escape(__version__)}).",
        style=_part("report.css") + "\n".join(each.hiding() for each in shown),
        script=_part("report.js"),
        curves=charts(result, shown),
        tables="\n".join(_table(table) for table in tables(result)),
        pictures_link=' <a href="#pictures">Pictures</a>' if strips else "",
        pictures=_pictures(result, strips) if strips else "",
    )


def _part(name: str) -> str:
    return files("gancodec.evaluation").joinpath(name).read_text(encoding="utf-8").strip()


def _table(table: Table, *classes: str) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = []
    before = None
    for first, *rest in table.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        starts = ' class="starts"' if first != before else ""
        rows.append(f'<tr{starts}><th scope="row">{escape(first)}</th>{cells}</tr>')
        before = first
    below = "".join(f"\n<p>{_with_code(footnote)}</p>" for footnote in table.footnotes)
    kinds = " ".join([*classes, *(["notes"] if table.notes else [])])
    return (
        f'<div class="block">\n<h3>{escape(table.title)}</h3>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">\n'
        f'<table class="{kinds}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>\n'
        f"</div>{below}\n</div>"
    )


def _with_code(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _pictures(result: SweepResult, strips: Sequence[Strip]) -> str:
    inks = {each.curve.codec: each.colour for each in shown_curves(result) if not each.curve.source}
    generated = {row.codec for row in result.rows if row.realism}
    target = strips[0].versions[0]
    at = "" if target.quality is None else f" at quality {target.quality:g}"
    views = "\n".join(_strip(number, strip, result, inks, generated) for number, strip in enumerate(strips))
    return (
        '<section id="pictures" aria-labelledby="pictures-title">\n<h2 id="pictures-title">Pictures</h2>\n'
        f'<p class="about">The target is the size of {escape(target.codec)}{at}. Each other codec is at its highest '
        "quality whose file is not larger, or at its lowest.</p>\n"
        f"{views}\n</section>"
    )


def _strip(number: int, strip: Strip, result: SweepResult, inks: Mapping[str, str], generated: Container[str]) -> str:
    size = f"{strip.width} × {strip.height} pixels"
    shots = [_shot(strip, ORIGINAL, f"<span>{size}</span>", strip.mime, strip.original)]
    for version in strip.versions:
        facts = [_kilobytes(version.size_bytes), f"{version.bpp:.3f} bpp"]
        facts += [named_value(metric, version.values) for metric in result.metrics if metric.measure]
        spans = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
        invented = ' <span class="invented">detail is generated</span>' if version.codec in generated else ""
        shots.append(_shot(strip, version.codec, spans, version.mime, version.data, invented))
    names = [(ORIGINAL, ""), *((version.codec, inks.get(version.codec, "")) for version in strip.versions)]
    labels = {str(place): _dot(ink) + escape(name) for place, (name, ink) in enumerate(names)}
    sides = "\n".join(
        _choices(f"{side.capitalize()} side", f"{side}-{number}", f'data-side="{side}"', labels, chosen)
        for side, chosen in (("left", "0"), ("right", "1"))
    )
    return f"""<section class="strip" aria-labelledby="strip-{number}">
<h3 id="strip-{number}">{escape(strip.picture)} <small>{size}</small></h3>
<div class="bench">
<div class="view" style="--width: {strip.width}; --height: {strip.height}">
<div class="captions needs-script"><div class="left"></div><div class="right"></div></div>
<div class="stage" data-width="{strip.width}" data-height="{strip.height}" role="group" \
aria-label="{escape(strip.picture)}; when magnified, arrow keys move it">
<div class="layer">
{chr(10).join(shots)}
</div>
<div class="split needs-script" role="slider" tabindex="0" aria-label="Line between left and right" \
aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"></div>
</div>
</div>
<div class="controls needs-script">
{sides}
{_choices("Zoom", f"zoom-{number}", "data-zoom", _ZOOMS, "0")}
<p>Move the line with the pointer or the arrow keys. Magnified, drag the picture.</p>
</div>
</div>
{_versions(strip, result, generated)}
</section>"""


def _shot(strip: Strip, name: str, facts: str, mime: str, data: bytes, more: str = "") -> str:
    """One picture with its caption.  name: as text.  facts, more: as HTML."""
    # Not loading="lazy": browsers decode only what they paint anyway, and paper would get grey boxes.
    return (
        f'<figure class="shot"><img src="data:{escape(mime)};base64,{b64encode(data).decode("ascii")}" '
        f'width="{strip.width}" height="{strip.height}" alt="{escape(f"{strip.picture}, {name}")}" '
        f'decoding="async" draggable="false">'
        f'<figcaption><b>{escape(name)}</b>{more} <span class="facts">{facts}</span></figcaption></figure>'
    )


def _choices(legend: str, name: str, kind: str, labels: Mapping[str, str], chosen: str) -> str:
    """A group of radio buttons.  kind: the attribute by which report.js finds them.  labels: HTML by value."""
    options = "".join(
        f'<label class="option"><input type="radio" name="{name}" {kind} value="{value}" autocomplete="off"'
        f"{' checked' if value == chosen else ''}><span>{label}</span></label>"
        for value, label in labels.items()
    )
    return f'<fieldset><legend>{legend}</legend><div class="options">{options}</div></fieldset>'


def _dot(ink: str) -> str:
    return f'<i style="--ink: {ink}"></i>' if ink else "<i></i>"


def _versions(strip: Strip, result: SweepResult, generated: Container[str]) -> str:
    target = strip.versions[0]
    metrics = [metric for metric in result.metrics if metric.measure]
    senses = [" ↓" if metric.lower_is_better else "" for metric in metrics]
    table = Table(
        title=f"Versions of {strip.picture}",
        header=(
            *("codec", "quality", "bytes", "to target", "bpp"),
            *(metric.label + sense for metric, sense in zip(metrics, senses, strict=True)),
            "note",
        ),
        rows=tuple(
            (
                version.codec,
                "–" if version.quality is None else f"{version.quality:g}",
                f"{version.size_bytes:,}",
                "–" if version is target else _difference(version.size_bytes, target.size_bytes),
                f"{version.bpp:.4f}",
                *(value_text(metric, version.values) for metric in metrics),
                _note(version, target, generated),
            )
            for version in strip.versions
        ),
        notes=True,
        footnotes=("↓: lower is better.",) if any(senses) else (),
    )
    return _table(table, "versions")


def _difference(size_bytes: int, target_bytes: int) -> str:
    return "same" if size_bytes == target_bytes else f"{(size_bytes / target_bytes - 1) * 100:+.1f} %"


def _note(version: Version, target: Version, generated: Container[str]) -> str:
    """What a reader must know before comparing a version with the first one."""
    notes = []
    if version.quality is None:
        notes.append("has one rate only")
    if version.size_bytes > target.size_bytes:
        notes.append("larger than the target" if version.quality is None else "its smallest file is above the target")
    if version.codec in generated:
        notes.append("detail is generated")
    return "; ".join(notes)


def _kilobytes(size_bytes: int) -> str:
    return f"{size_bytes / 1000:.1f} kB"
