"""The published points that we carry, and ours beside them where Kodak is at hand."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.interpolate import PchipInterpolator

from gancodec.evaluation.metrics import bpp, psnr
from gancodec.evaluation.published import KODAK_NAMES, is_kodak, kodak_curves, without_lpips

KODAK = Path(os.environ.get("GANCODEC_KODAK", Path(__file__).resolve().parents[3] / "shared" / "data" / "kodak"))
"""Beside the checkout, or where GANCODEC_KODAK says."""


def test_every_curve_has_its_source_and_rises() -> None:
    curves = kodak_curves()
    wanted = {"vtm", "bpg", "av1", "jpeg", "webp", "mbt2018-mean", "cheng2020-attn", "elic", "hpcm-base", "ms-illm"}
    assert wanted < set(curves)
    for curve in curves.values():
        assert ":" in curve.source and "/" in curve.source
        assert curve.settings
        rates = [point.bpp for point in curve.points]
        assert rates == sorted(set(rates))
        for key, direction in (("psnr", 1), ("ms-ssim", 1), ("lpips", -1)):
            values = [point.values[key] * direction for point in curve.points if point.values.get(key) is not None]
            assert values == sorted(set(values)), (curve.codec, key)
    assert curves["ms-illm"].points[0].values["lpips"] == 0.15762


def test_kodak_is_all_24_at_their_size_and_nothing_else(tmp_path: Path) -> None:
    wide, tall = Image.new("RGB", (768, 512)), Image.new("RGB", (512, 768))
    paths = [tmp_path / name for name in KODAK_NAMES]
    for number, path in enumerate(paths):
        (tall if number % 5 == 0 else wide).save(path)
    assert is_kodak(paths[::-1])
    assert not is_kodak(paths[:23])
    assert not is_kodak([*paths, tmp_path / "kodim25.png"])
    wide.resize((384, 256)).save(paths[3])
    assert not is_kodak(paths)
    paths[3].write_bytes(b"broken")
    assert not is_kodak(paths)


def test_published_lpips_can_be_left_out() -> None:
    curve = kodak_curves()["ms-illm"]
    left = without_lpips(curve)
    assert [point.bpp for point in left.points] == [point.bpp for point in curve.points]
    assert {key for point in left.points for key in point.values} == {"psnr", "ms-ssim"}


# (bpp, PSNR in dB) of CompressAI's results/image/kodak/jpeg.json and webp.json, written with the defaults of
# Pillow 7.1.2 at qualities 5, 10, 15 … 95; here those at 20, 50, 80.
PLAIN = {
    "JPEG": {20: (0.50839, 29.0418), 50: (0.906, 32.0587), 80: (1.57181, 35.239)},
    "WEBP": {20: (0.40705, 30.407), 50: (0.72182, 33.2376), 80: (1.21631, 36.369)},
}
# libwebp 1.6 still gives all digits of the published WebP points.  JPEG is 0.10 to 0.13 dB better today at equal rate,
# with any libjpeg-turbo at hand; Pillow 7 came with another library, IJG's libjpeg, which resamples chroma otherwise.
TOLERANCE_DB = {"JPEG": 0.2, "WEBP": 0.1}


@pytest.mark.slow
@pytest.mark.skipif(not (KODAK / "kodim24.png").is_file(), reason="no Kodak beside the checkout nor in GANCODEC_KODAK")
@pytest.mark.parametrize("kind", PLAIN)
def test_plain_jpeg_and_webp_on_kodak_lie_on_the_published_curves(kind: str) -> None:
    """At equal rate: so PSNR, bpp and the means are what CompressAI takes them for."""
    published = list(PLAIN[kind].values())
    curve = PchipInterpolator(np.log([rate for rate, _ in published]), [quality for _, quality in published])
    for quality, (rate, _) in PLAIN[kind].items():
        rates, qualities = [], []
        for name in KODAK_NAMES:
            with Image.open(KODAK / name) as picture:
                buffer = io.BytesIO()
                picture.save(buffer, format=kind, quality=quality)
                with Image.open(buffer) as decoded:
                    qualities.append(psnr(np.asarray(picture), np.asarray(decoded)))
                rates.append(bpp(len(buffer.getvalue()), picture.width, picture.height))
        assert np.mean(rates) == pytest.approx(rate, rel=0.02)
        assert np.mean(qualities) == pytest.approx(float(curve(np.log(np.mean(rates)))), abs=TOLERANCE_DB[kind])
