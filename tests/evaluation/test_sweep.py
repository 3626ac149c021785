"""A whole sweep with a fake codec: rows, means, comparisons, skipped pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancodec.codec import Codec
from gancodec.errors import ConfigError, OutputError, PictureError
from gancodec.evaluation.classical import classical
from gancodec.evaluation.coders import GancodecCoder
from gancodec.evaluation.columns import MS_SSIM, PSNR, Metric, lpips_metric
from gancodec.evaluation.efforts import encode_ratio
from gancodec.evaluation.frechet import FrechetDistance
from gancodec.evaluation.metrics import ms_ssim, psnr
from gancodec.evaluation.results import Curve, Point, Row, compare, mean_point
from gancodec.evaluation.sweep import find_pictures, load_rgb, run_sweep
from tests.conftest import GOLDEN
from tests.tiny import made_picture


def coder(codec, qualities=(10, 60, 95)) -> GancodecCoder:
    return GancodecCoder(codec, qualities=qualities)


def test_every_picture_and_quality_has_a_row_measured_on_its_file(folder: Path, fake_codec) -> None:
    result = run_sweep([folder], [coder(fake_codec)])
    assert result.pictures == ("photo0.png", "photo1.png")
    assert [(row.picture, row.quality) for row in result.rows] == [
        (name, quality) for name in result.pictures for quality in (10, 60, 95)
    ]
    row = result.rows[1]
    with Image.open(folder / "photo0.png") as picture:
        data = fake_codec.compress(picture, quality=60)
        original = np.asarray(picture)
    decoded = np.asarray(fake_codec.decompress(data, realism=0))
    assert row.size_bytes == len(data)
    assert row.bpp == 8 * len(data) / (192 * 168)
    assert (row.values["psnr"], row.values["ms-ssim"]) == (psnr(original, decoded), ms_ssim(original, decoded))


def test_curves_are_means_of_each_pictures_value(folder: Path, fake_codec) -> None:
    result = run_sweep([folder], [coder(fake_codec)])
    for point in result.curves[0].points:
        rows = [row for row in result.rows if row.quality == point.quality]
        assert point.values["psnr"] == pytest.approx((rows[0].values["psnr"] + rows[1].values["psnr"]) / 2)
        assert point.bpp == pytest.approx((rows[0].bpp + rows[1].bpp) / 2)
        assert point.values["ms-ssim"] == pytest.approx((rows[0].values["ms-ssim"] + rows[1].values["ms-ssim"]) / 2)


def test_the_first_codec_is_compared_with_all_others_in_both_measures(folder: Path, fake_codec) -> None:
    result = run_sweep([folder], [coder(fake_codec, (0, 30, 60, 100)), classical("jpeg"), classical("jpeg444")])
    assert [(found.anchor.codec, found.metric.key) for found in result.comparisons] == [
        ("JPEG", "psnr"), ("JPEG444", "psnr"), ("JPEG", "ms-ssim"), ("JPEG444", "ms-ssim"),
    ]  # fmt: skip
    # The fake codec is JPEG 4:4:4 without optimised tables: a few percent worse than with them.
    same = result.comparisons[1].bd
    assert same is not None
    assert 0 < same.percent < 25
    assert same.low < same.high


def test_every_realism_is_a_curve_of_the_same_files(folder: Path, fake_codec) -> None:
    result = run_sweep([folder], [GancodecCoder(fake_codec, qualities=[20, 50], realisms=[0.25, 0, 1, 0.25])])
    assert fake_codec.realism_seen == {0, 0.25, 1}
    assert fake_codec.files_made == 2 * 2
    assert [curve.codec for curve in result.curves] == ["fake r=0.25", "fake", "fake r=1"]
    assert [curve.settings for curve in result.curves] == [
        f"realism {realism}, effort 1" for realism in ("0.25", "0", "1")
    ]
    assert len({tuple(point.bpp for point in curve.points) for curve in result.curves}) == 1
    lighter, faithful, lightest = (curve.points[0].values["psnr"] for curve in result.curves)
    assert faithful > lighter > lightest
    assert {(row.codec, row.realism) for row in result.rows} == {("fake r=0.25", 0.25), ("fake", 0), ("fake r=1", 1)}
    assert [(found.codec, found.anchor.codec) for found in result.comparisons[:2]] == [
        ("fake r=0.25", "fake"), ("fake r=0.25", "fake r=1"),
    ]  # fmt: skip


def test_every_effort_is_compared_with_the_first_one_and_with_nobody_else(folder: Path, fake_codec) -> None:
    coders = [
        GancodecCoder(fake_codec, qualities=[20, 50], realisms=[0, 1], effort=effort, name=f"fake effort {effort}")
        for effort in (0, 3)
    ]
    first = {"fake effort 3": "fake effort 0", "fake effort 3 r=1": "fake effort 0 r=1"}
    result = run_sweep([folder], [*coders, classical("jpeg")], metrics=[PSNR], first_efforts=first)
    assert fake_codec.efforts_seen == 2 * [0, 0, 3, 3]
    names = ["fake effort 0", "fake effort 0 r=1", "fake effort 3", "fake effort 3 r=1", "JPEG"]
    assert [curve.codec for curve in result.curves] == names
    assert {(row.codec, row.effort) for row in result.rows} == set(zip(names, (0, 0, 3, 3, None), strict=True))
    assert [(each.codec, each.anchor.codec) for each in result.comparisons] == [
        ("fake effort 0", "fake effort 0 r=1"), ("fake effort 0", "JPEG"),
    ]  # fmt: skip
    assert {effort.codec: effort.anchor for effort in result.efforts} == first
    for effort in result.efforts:
        (comparison,) = effort.comparisons
        assert (comparison.codec, comparison.anchor.codec) == (effort.codec, effort.anchor)
        assert comparison.bd is not None and -30 < comparison.bd.percent < 0, "the fake's files get smaller"
        assert effort.encode_ratio == encode_ratio(result.rows, effort.codec, effort.anchor) > 0


def test_the_ratio_of_times_is_that_of_the_same_files() -> None:
    row = Row(
        codec="a", quality=10, picture="p", width=8, height=8, size_bytes=8, bpp=1.0, values={},
        encode_s={"total": 9.0}, decode_s={"total": 1.0},
    )  # fmt: skip
    slow = replace(row, codec="b", encode_s={"total": 12.0})  # the run's first file was slow
    rows = [row, slow]
    for picture in ("q", "r"):
        rows += [
            replace(row, picture=picture, encode_s={"total": 1.0}),
            replace(slow, picture=picture, encode_s={"total": 1.75}),
        ]
    assert encode_ratio(rows, "b", "a") == 1.75
    assert encode_ratio(rows, "a", "a") == 1


@pytest.mark.parametrize("effort", [-1, 10, 1.5, True, "3"])
def test_efforts_that_are_none_are_refused(fake_codec, effort: object) -> None:
    with pytest.raises(ConfigError, match=r"effort is .*; use a whole number from 0 to 9"):
        GancodecCoder(fake_codec, qualities=[5], effort=effort)  # type: ignore[arg-type]


def test_a_codec_of_one_rate_has_one_point_and_no_bd_rate(folder: Path, fake_codec, one_rate_codec) -> None:
    rough = GancodecCoder(one_rate_codec, qualities=[10, 90])
    result = run_sweep([folder], [coder(fake_codec), rough, classical("jpeg")])
    assert one_rate_codec.files_made == 2
    assert [(point.quality, point.values["psnr"] > 15) for point in result.curves[1].points] == [(None, True)]
    assert {row.quality for row in result.rows if row.codec == "rough"} == {None}
    assert {found.anchor.codec for found in result.comparisons} == {"JPEG"}
    assert run_sweep([folder], [rough, coder(fake_codec)]).comparisons == ()


def test_realism_of_a_codec_without_is_refused(one_rate_codec) -> None:
    with pytest.raises(ConfigError, match="no realism"):
        GancodecCoder(one_rate_codec, qualities=[5], realisms=[0, 1])


def test_features_add_a_distance_to_every_row(folder: Path, fake_codec, features) -> None:
    result = run_sweep([folder], [coder(fake_codec)], metrics=[PSNR, lpips_metric(features)])
    assert [metric.label for metric in result.metrics] == ["PSNR dB", "LPIPS (alex)"]
    assert all(row.values["lpips"] is not None and row.values["lpips"] > 0 for row in result.rows)
    first = result.curves[0].points[0].values["lpips"]
    assert first == pytest.approx((result.rows[0].values["lpips"] + result.rows[3].values["lpips"]) / 2)
    assert "lpips" not in run_sweep([folder], [coder(fake_codec)]).rows[0].values


def test_small_pictures_have_no_perceptual_distance(tmp_path: Path, fake_codec, features, make_photo) -> None:
    make_photo(31, 64).save(tmp_path / "small.png")
    make_photo(64, 64).save(tmp_path / "large.png")
    result = run_sweep([tmp_path], [coder(fake_codec)], metrics=[PSNR, lpips_metric(features)])
    assert [row.values["lpips"] is None for row in result.rows] == [False] * 3 + [True] * 3
    assert {point.values["lpips"] for point in result.curves[0].points} == {None}


def test_the_tiny_codecs_go_through(tmp_path: Path, tiny_codec: Codec) -> None:
    Image.fromarray(made_picture(80, 64, 96)).save(tmp_path / "a.png")
    extreme = Codec.load(GOLDEN / "tiny-extreme.safetensors", "cpu")
    coders = [GancodecCoder(codec, qualities=[0, 50]) for codec in (tiny_codec, extreme)]
    result = run_sweep([tmp_path], coders, at_bpp=[0.5])
    assert [len(curve.points) for curve in result.curves] == [2, 1]
    assert result.curves[1].settings == "realism 0, one rate"
    assert [row.effort for row in result.rows] == [1, 1, None]
    with Image.open(tmp_path / "a.png") as picture:
        assert result.rows[1].size_bytes == len(tiny_codec.compress(picture, quality=50, effort=1))
        assert result.rows[2].size_bytes == len(extreme.compress(picture))


def test_decoded_pictures_are_written(folder: Path, tmp_path: Path, fake_codec, one_rate_codec) -> None:
    fake_codec.entry.name = "a b/c"
    coders = [
        GancodecCoder(fake_codec, qualities=[12.5], realisms=[0, 0.25]),
        GancodecCoder(one_rate_codec, qualities=[0]),
        replace(classical("jpeg"), qualities=(30,)),
    ]
    run_sweep([folder], coders, images=tmp_path)
    names = ["a_b_c-q12.5-r0", "a_b_c-q12.5-r0.25", "rough-r0", "JPEG-q30"]
    written = sorted(path.name for path in tmp_path.glob("*.png"))
    assert written == sorted(f"photo{index}-{name}.png" for index in range(2) for name in names)
    with Image.open(folder / "photo0.png") as picture, Image.open(tmp_path / "photo0-JPEG-q30.png") as decoded:
        assert decoded.format == "PNG"
        jpeg = classical("jpeg")
        assert np.array_equal(np.asarray(decoded), np.asarray(jpeg.decode(jpeg.encode(picture, 30))))


def test_pictures_that_would_overwrite_each_other_are_refused(folder: Path, tmp_path: Path, fake_codec) -> None:
    with Image.open(folder / "photo0.png") as picture:
        picture.save(folder / "photo0.jpg")
    with pytest.raises(ConfigError, match=r"2 decoded pictures would be called photo0-fake-q10-r0\.png"):
        run_sweep([folder], [coder(fake_codec)], images=tmp_path)
    assert fake_codec.files_made == 0


def test_a_full_disk_is_not_mistaken_for_a_broken_picture(folder: Path, tmp_path: Path, fake_codec) -> None:
    with pytest.raises(OutputError, match="missing"):
        run_sweep([folder], [coder(fake_codec)], images=tmp_path / "missing")


def test_broken_pictures_are_skipped_counted_and_in_no_mean(folder: Path, fake_codec) -> None:
    whole = run_sweep([folder], [coder(fake_codec)])
    (folder / "broken.png").write_bytes((folder / "photo0.png").read_bytes()[:500])
    (folder / "empty.jpg").write_bytes(b"")
    result = run_sweep([folder], [coder(fake_codec)])
    assert [skipped.picture for skipped in result.skipped] == ["broken.png", "empty.jpg"]
    assert [curve.points for curve in result.curves] == [curve.points for curve in whole.curves]


def test_a_picture_that_one_codec_refuses_is_skipped_for_all(
    folder: Path, fake_codec, make_photo: Callable[[int, int], Image.Image]
) -> None:
    make_photo(13, 20).save(folder / "narrow.png")
    result = run_sweep([folder], [classical("jpeg"), coder(fake_codec)])
    assert {row.picture for row in result.rows} == {"photo0.png", "photo1.png"}
    assert result.skipped[0].picture == "narrow.png"
    assert "13 pixels wide" in result.skipped[0].reason


def test_a_faulty_codec_is_not_mistaken_for_a_broken_picture(folder: Path, fake_codec) -> None:
    fake_codec.compress = lambda picture, *, quality, effort: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run_sweep([folder], [coder(fake_codec)])


def test_no_picture_left_is_an_error(tmp_path: Path, fake_codec) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(ConfigError, match="none of 1 pictures"):
        run_sweep([tmp_path], [coder(fake_codec)])


def test_small_pictures_have_no_ms_ssim_and_the_reason_is_given(
    tmp_path: Path, fake_codec, make_photo: Callable[[int, int], Image.Image]
) -> None:
    make_photo(64, 64).save(tmp_path / "small.png")
    result = run_sweep([tmp_path], [coder(fake_codec), classical("jpeg")])
    assert {point.values["ms-ssim"] for point in result.curves[0].points} == {None}
    assert result.comparisons[0].bd is not None
    assert result.comparisons[1].bd is None
    assert "0 of the 2 points" in result.comparisons[1].reason


def test_two_codecs_of_one_name_are_refused(folder: Path, fake_codec) -> None:
    with pytest.raises(ConfigError, match="none twice"):
        run_sweep([folder], [coder(fake_codec), coder(fake_codec)])


def test_progress_tells_of_each_picture(folder: Path, fake_codec) -> None:
    lines: list[str] = []
    run_sweep([folder], [coder(fake_codec)], progress=lines.append)
    assert [line.split(";")[0] for line in lines] == ["[1/2] photo0.png done", "[2/2] photo1.png done"]


@pytest.mark.parametrize(
    "options",
    [
        {"qualities": []},
        {"qualities": [101]},
        {"qualities": [5], "realisms": [0, 1.1]},
        {"qualities": [5], "realisms": []},
    ],
)
def test_options_out_of_range_are_refused_before_anything_runs(fake_codec, options) -> None:
    with pytest.raises(ConfigError):
        GancodecCoder(fake_codec, **options)


def test_files_may_be_named_one_by_one_and_folders_give_pictures_only(folder: Path) -> None:
    readme = folder / "README.md"
    assert find_pictures([folder]) == [folder / "photo0.png", folder / "photo1.png"]
    assert find_pictures([readme, folder])[0] == readme
    assert find_pictures([folder, folder / "photo1.png"]) == [folder / "photo0.png", folder / "photo1.png"]
    with pytest.raises(PictureError, match="neither"):
        find_pictures([folder / "missing"])


def test_every_codec_gets_rgb_without_metadata(tmp_path: Path) -> None:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    grey.save(tmp_path / "grey.png", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0", icc_profile=b"profile")
    loaded = load_rgb(tmp_path / "grey.png")
    assert (loaded.mode, loaded.info) == ("RGB", {})
    assert np.array_equal(np.asarray(loaded)[..., 1], np.asarray(grey))


def test_transparent_pictures_are_refused_opaque_alpha_is_not(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    picture.save(tmp_path / "opaque.png")
    assert load_rgb(tmp_path / "opaque.png").getpixel((0, 0)) == (10, 20, 30)
    picture.putpixel((3, 3), (10, 20, 30, 254))
    picture.save(tmp_path / "clear.png")
    with pytest.raises(PictureError, match="transparent"):
        load_rgb(tmp_path / "clear.png")


def row(psnr_db: float, similarity: float | None) -> Row:
    return Row(
        codec="c", quality=1, picture="p", width=8, height=8, size_bytes=8, bpp=1.0,
        values={"psnr": psnr_db, "ms-ssim": similarity}, encode_s={"total": 1.0}, decode_s={"total": 1.0},
    )  # fmt: skip


def test_the_mean_ms_ssim_needs_a_value_of_every_picture() -> None:
    assert mean_point([row(30, 0.9), row(40, None)], [MS_SSIM], {}).values == {"ms-ssim": None}
    assert mean_point([row(30, 0.9), row(40, 0.98)], [MS_SSIM], {}).value(MS_SSIM) == pytest.approx(0.94)


def test_lossless_points_are_left_out_of_the_bd_rate() -> None:
    points = [Point(quality=q, bpp=q, values={"psnr": 20.0 + 5 * q}) for q in (1, 2, 3)]
    lossless = Point(quality=4, bpp=9.0, values={"psnr": math.inf})
    curve = Curve(codec="a", settings="", points=(*points, lossless))
    found = compare(curve, Curve(codec="b", settings="", points=tuple(points)), PSNR)
    assert found.bd is not None
    assert found.bd.percent == pytest.approx(0)


def test_a_distance_is_compared_by_its_fall(features) -> None:
    """Half the rate at every distance: −50 %, over the range of distances both reach."""
    lpips = lpips_metric(features)
    dear = [Point(quality=q, bpp=q, values={"lpips": 0.5 - 0.1 * q}) for q in (1, 2, 3)]
    cheap = [Point(quality=q, bpp=q / 2, values={"lpips": 0.5 - 0.1 * q}) for q in (1, 2, 3)]
    curves = [Curve(codec=name, settings="", points=tuple(points)) for name, points in (("a", cheap), ("b", dear))]
    found = compare(curves[0], curves[1], lpips)
    assert found.bd is not None and found.bd.percent == pytest.approx(-50)
    assert (found.bd.low, found.bd.high) == (pytest.approx(-0.4), pytest.approx(-0.2))


def test_seconds_are_split_as_far_as_the_codec_tells(folder: Path, fake_codec) -> None:
    result = run_sweep([folder], [GancodecCoder(fake_codec, qualities=[50], load_s=2.0), classical("jpeg")])
    ours, jpeg = (curve.timing for curve in result.curves)
    assert ours is not None and jpeg is not None
    assert (ours.load_s, jpeg.load_s) == (2.0, None)
    assert set(ours.encode_s) == {"total", "network", "file"} and set(jpeg.encode_s) == {"total"}
    assert ours.encode_s["total"] == pytest.approx(ours.encode_s["network"] + ours.encode_s["file"])
    assert min(*ours.encode_s.values(), *ours.decode_s.values(), jpeg.encode_s["total"]) > 0
    assert ours.megapixels == pytest.approx(192 * 168 / 1e6)


class Brightness(FrechetDistance):
    """Distance of the mean levels, in place of a network's features."""

    def __init__(self) -> None:
        super().__init__(lambda patches: patches.mean((1, 2, 3))[:, None])

    def describe(self, picture_HWC):
        return [picture_HWC.mean(keepdims=True)[0].astype(np.float64)]

    def distance(self, a, b):
        return abs(float(np.concatenate(a).mean() - np.concatenate(b).mean()))


def test_a_metric_of_all_pictures_together_sees_those_that_count(folder: Path, fake_codec, make_photo) -> None:
    make_photo(13, 20).save(folder / "narrow.png")  # refused by the fake codec, after JPEG has taken it
    metric = Metric(key="fid", label="FID", digits=2, lower_is_better=True, whole=Brightness())
    ours = GancodecCoder(fake_codec, qualities=[50], realisms=[0, 1])
    coders = [replace(classical("jpeg"), qualities=(30, 60)), ours]
    result = run_sweep([folder], coders, metrics=[PSNR, metric])
    values = {curve.codec: [point.value(metric) for point in curve.points] for curve in result.curves}
    assert values["fake r=1"][0] == pytest.approx(8, abs=0.5)
    assert values["fake"][0] < 1 and len(values["JPEG"]) == 2
    assert "fid" not in result.rows[0].values
    (folder / "narrow.png").unlink()
    again = run_sweep([folder], coders, metrics=[PSNR, metric])
    assert [point.values for point in again.curves[0].points] == [point.values for point in result.curves[0].points]


def test_pictures_of_one_name_are_told_apart(folder: Path, tmp_path: Path, fake_codec) -> None:
    (tmp_path / "other").mkdir()
    with Image.open(folder / "photo0.png") as picture:
        picture.save(tmp_path / "other" / "photo0.png")
    result = run_sweep([folder, tmp_path / "other"], [coder(fake_codec)])
    assert result.pictures == (f"{folder}/photo0.png", "photo1.png", f"{tmp_path}/other/photo0.png")


def test_a_picture_that_does_not_fit_into_memory_is_skipped(folder: Path, fake_codec) -> None:
    compress = fake_codec.compress

    def scarce(picture: Image.Image, **options: float) -> bytes:
        if np.asarray(picture)[0, 0, 0] == np.asarray(Image.open(folder / "photo0.png"))[0, 0, 0]:
            raise MemoryError
        return compress(picture, **options)

    fake_codec.compress = scarce
    result = run_sweep([folder], [coder(fake_codec)])
    assert [(each.picture, each.reason) for each in result.skipped] == [("photo0.png", "not enough memory")]
