"""The report as a file: whole, asking for nothing, and safe with whatever names pictures have."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import GancodecCoder
from gancodec.evaluation.columns import PSNR, Metric
from gancodec.evaluation.html import as_html
from gancodec.evaluation.published import kodak_curves
from gancodec.evaluation.results import Skipped, SweepResult
from gancodec.evaluation.strips import Strip, make_strips
from gancodec.evaluation.sweep import run_sweep
from gancodec.evaluation.tables import tables

Report = tuple[SweepResult, list[Strip]]
HOSTILE = '<b>&"x</script>.png'
VOID = {"meta", "input", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """Elements and texts of a page; an AssertionError where a tag closes what is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is there twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of that name."""
        return [attributes for name, attributes in self.elements if name == tag]

    def of_class(self, wanted: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of that class."""
        return [attributes for _, attributes in self.elements if wanted in (attributes.get("class") or "").split()]


@pytest.fixture
def report(folder: Path, fake_codec) -> Report:
    coders = [GancodecCoder(fake_codec, qualities=[0, 30, 60], realisms=[0.0, 1.0]), classical("jpeg")]
    result = run_sweep([folder], coders, references=[kodak_curves()["vtm"]], at_bpp=[2.0])
    return result, make_strips([folder], result, coders, count=8)


def test_tags_are_balanced_and_ids_are_unique(report: Report) -> None:
    page = Page(as_html(*report))
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    for _, attributes in page.elements:
        label = attributes.get("aria-labelledby")
        assert label is None or label in ids
    assert all((link["href"] or "").removeprefix("#") in ids for link in page.named("a"))


def test_nothing_is_fetched(report: Report) -> None:
    text = as_html(*report)
    assert "http://" not in text
    assert "https://" not in text
    page = Page(text)
    assert not page.named("link")
    assert all((image["src"] or "").startswith("data:image/") for image in page.named("img"))
    assert not any("src" in attributes for attributes in page.named("script"))
    policy = next(each["content"] for each in page.named("meta") if "http-equiv" in each)
    assert policy == (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    assert not re.search(r"innerHTML|@import|url\((?!#)|fetch\(|XMLHttpRequest", text)


def test_the_same_result_gives_the_same_page(report: Report) -> None:
    assert as_html(*report) == as_html(*report)


def test_every_picture_is_there_once(report: Report) -> None:
    result, strips = report
    text = as_html(result, strips)
    assert len(strips) == 2
    for strip in strips:
        pictures = [strip.original, *(version.data for version in strip.versions)]
        assert len(pictures) == 4
        for data in pictures:
            assert text.count(b64encode(data).decode("ascii")) == 1


def test_a_version_has_its_size_its_values_and_a_place_on_either_side(report: Report) -> None:
    result, strips = report
    page = Page(as_html(result, strips))
    texts = "\n".join(page.texts)
    for number, strip in enumerate(strips):
        assert f"{strip.picture} " in page.texts
        for version in strip.versions:
            assert f"{version.size_bytes:,}" in texts
            assert f"PSNR {version.values['psnr']:.2f} dB" in texts
        for side, chosen in (("left", "0"), ("right", "1")):
            buttons = [each for each in page.named("input") if each.get("name") == f"{side}-{number}"]
            assert [each["value"] for each in buttons] == ["0", "1", "2", "3"]
            assert [each["value"] for each in buttons if "checked" in each] == [chosen]
    sliders = [attributes for _, attributes in page.elements if attributes.get("role") == "slider"]
    assert len(sliders) == len(strips)
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in sliders)


def test_generated_detail_is_said_to_be(report: Report) -> None:
    result, strips = report
    assert "not what the camera saw" in as_html(result, [])
    assert len(Page(as_html(result, strips)).of_class("invented")) == len(strips)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, None),
        ({"size_bytes": 10**6}, "its smallest file is above the target"),
        ({"quality": None}, "has one rate only"),
        ({"quality": None, "size_bytes": 10**6}, "has one rate only; larger than the target"),
    ],
)
def test_a_version_that_cannot_be_compared_says_why(report: Report, changes: dict, note: str | None) -> None:
    result, (strip, *_) = report
    *others, last = strip.versions
    texts = Page(as_html(result, [replace(strip, versions=(*others, replace(last, **changes)))])).texts
    notes = [text for text in texts if "target" in text or "one rate only" in text]
    assert (note in notes) if note else not any("above the target" in text or "one rate" in text for text in notes)


def test_every_table_is_there(report: Report) -> None:
    result, strips = report
    page = Page(as_html(result, strips))
    found = tables(result)
    assert len(page.named("table")) == len(found) + len(strips)
    texts = set(page.texts)
    for table in found:
        assert table.title in texts
        assert {cell for row in (table.header, *table.rows) for cell in row if cell} <= texts


def test_every_measured_point_within_the_axes_has_its_numbers(report: Report) -> None:
    result, _ = report
    page = Page(as_html(result, []))
    titles = [text for text in page.texts if "\n" in text and " bpp\n" in text]
    for point in result.curves[0].points:
        own = [title for title in titles if title.startswith(f"fake\nquality {point.quality:g}\n{point.bpp:.4f} bpp")]
        assert len(own) == len(result.metrics)
    assert any(title.startswith("VTM (published)\npublished\n") for title in titles)
    assert len(page.of_class("chart")) == len(result.metrics)


def test_published_curves_are_dashed_and_measured_ones_are_not(report: Report) -> None:
    curve = re.compile(r'<g class="curve-\d+ (measured|published)[^>]*>.*?<path class="line"([^>]*)/>')
    lines = curve.findall(as_html(report[0], []))
    assert {kind for kind, _ in lines} == {"measured", "published"}
    assert all(("stroke-dasharray" in line) == (kind == "published") for kind, line in lines)


def test_metrics_where_less_is_more_say_so(report: Report) -> None:
    result, _ = report
    distance = Metric(key="distance", label="distance", digits=3, lower_is_better=True, measure=lambda a, b: 0.1)
    points = tuple(replace(point, values={"distance": 0.1}) for point in result.curves[0].points)
    curve = replace(result.curves[0], points=points)
    only = replace(result, metrics=(distance,), curves=(curve,), references=(), comparisons=(), at_rates=())
    text = as_html(only, [])
    assert "lower is better" in text
    assert "higher is better" not in text


def test_a_metric_without_values_has_no_chart(report: Report) -> None:
    result, _ = report
    bare = tuple(
        replace(curve, points=tuple(replace(point, values={"psnr": None}) for point in curve.points))
        for curve in result.curves
    )
    text = as_html(replace(result, metrics=(PSNR,), curves=bare, comparisons=(), references=(), at_rates=()), [])
    assert 'class="chart"' not in text
    assert "None of the metrics has a value" in text


def test_a_codec_of_one_rate_makes_a_page(folder: Path, one_rate_codec) -> None:
    coders = [GancodecCoder(one_rate_codec, qualities=[50])]
    result = run_sweep([folder], coders)
    text = as_html(result, make_strips([folder], result, coders, count=1))
    Page(text)
    assert "has one rate only" in text
    assert "\none rate\n" in text


def test_names_are_text_wherever_they_stand(report: Report) -> None:
    result, (strip, *_) = report
    first, *others = result.curves
    named = replace(first, codec=HOSTILE, settings=HOSTILE)
    result = replace(
        result,
        curves=(named, *others),
        rows=tuple(replace(row, codec=HOSTILE, picture=HOSTILE) for row in result.rows),
        skipped=(Skipped(picture=HOSTILE, reason=HOSTILE),),
    )
    versions = tuple(replace(version, codec=HOSTILE) for version in strip.versions)
    text = as_html(result, [replace(strip, picture=HOSTILE, versions=versions)])
    assert HOSTILE not in text
    assert '"x' not in text
    assert text.count("<script") == text.count("</script>") == 2
    page = Page(text)
    assert HOSTILE in page.texts
    assert f"{HOSTILE}, original" in {image["alt"] for image in page.named("img")}
