"""Photos and crops: any folder works, and a crop depends on seed, step and process alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancodec.errors import ConfigError
from gancodec.training import data
from gancodec.training.data import CropPlan, CropStream, DeviceCrops, Photos, load_photos, make_batch, sample
from gancodec.training.data import picture_files as data_files
from tests.tiny import made_picture

CPU = torch.device("cpu")


def test_broken_and_small_files_are_counted(photos: Photos) -> None:
    assert len(photos.pictures) == 6
    assert [path.name for path in photos.broken] == ["broken.jpg"]
    assert [path.name for path in photos.small] == ["small.png"]
    assert "1 skipped: cannot be read" in photos.summary() and "1 skipped: too small" in photos.summary()


def test_mixed_modes_become_rgb(tmp_path: Path) -> None:
    picture = Image.fromarray(made_picture(1, 80, 80))
    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("CMYK").save(tmp_path / "print.jpg")
    picture.convert("P").save(tmp_path / "palette.gif")
    with_alpha = picture.copy()
    with_alpha.putalpha(128)
    with_alpha.save(tmp_path / "alpha.webp")
    Image.fromarray(made_picture(2, 80, 80, 1)[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    loaded = load_photos(tmp_path, 64)
    assert len(loaded.pictures) == 5 and {picture.mode for picture in loaded.pictures} == {"RGB"}


def test_folder_with_nothing_usable_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no usable photo among 0"):
        load_photos(tmp_path, 64)
    Image.fromarray(made_picture(1, 30, 30)).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(ConfigError, match="1 cannot be read, 1 have a side under 64"):
        load_photos(tmp_path, 64)
    with pytest.raises(ConfigError, match="not a folder"):
        load_photos(tmp_path / "absent", 64)


def test_more_than_memory_holds_is_left_out_at_random(tmp_path: Path) -> None:
    for number in range(70):
        Image.fromarray(made_picture(number, 64, 64)).save(tmp_path / f"{number}.png")
    part = load_photos(tmp_path, 64, megapixels=0.01)
    assert len(part.pictures) == 32 and part.left_out == 38 and "beyond the memory limit" in part.summary()


def test_large_photos_are_shrunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PHOTO_MAX_MEGAPIXELS", 0.01)
    Image.fromarray(made_picture(1, 200, 400)).save(tmp_path / "wide.png")
    Image.fromarray(made_picture(1, 70, 400)).save(tmp_path / "panorama.png")
    sizes = {picture.size for picture in load_photos(tmp_path, 64).pictures}
    assert sizes == {(141, 71), (400, 70)}  # the second would have become lower than a crop


def test_crops_depend_on_seed_step_and_process_alone(photos: Photos) -> None:
    sizes = [picture.size for picture in photos.pictures]
    one, same, other_seed, other_process = (
        CropPlan(sizes, side=64, batch=3, seed=seed, rank=rank) for seed, rank in ((4, 0), (4, 0), (5, 0), (4, 1))
    )
    assert one.batch_at(7) == same.batch_at(7)
    for different in (one.batch_at(8), other_seed.batch_at(7), other_process.batch_at(7)):
        assert one.batch_at(7) != different
    assert make_batch(photos, one, 3).shape == (3, 64, 64, 3)


def test_stream_starts_anywhere(photos: Photos) -> None:
    stream = CropStream(photos, side=64, batch=2, seed=1, start=5)
    try:
        first = next(iter(stream))
        np.testing.assert_array_equal(first, make_batch(photos, stream.plan, 5))
    finally:
        stream.close()


def test_failure_while_cropping_reaches_the_trainer(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = CropStream(photos, side=64, batch=2, seed=1, start=0)
    try:
        monkeypatch.setattr(stream, "make", lambda step: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            for _, _ in zip(stream, range(30), strict=False):
                pass
    finally:
        stream.close()


def test_crops_on_the_device_are_those_from_memory(photos: Photos) -> None:
    """Unshrunk ones exactly; shrunk ones up to whole-pixel positions, so on a smooth picture nearly."""
    smooth = np.stack([np.linspace(0, 255, 160)] * 120).astype(np.uint8)
    pictures = (Image.fromarray(np.stack([smooth, smooth, 255 - smooth], 2)),)
    on_device = DeviceCrops(Photos(pictures=pictures), CPU, side=64, batch=24, seed=3)
    wanted = make_batch(Photos(pictures=pictures), on_device.plan, 0)
    seen = next(iter(on_device)).numpy()
    plan = on_device.plan.batch_at(0)
    assert {crop.source == 64 for crop in plan} == {True, False} == {crop.mirrored for crop in plan}
    for crop, one, other in zip(plan, seen.astype(int), wanted.astype(int), strict=True):
        assert np.abs(one - other).max() <= (0 if crop.source == 64 else 4)


def test_sample_holds_as_much_as_asked_for(photos: Photos) -> None:
    chosen = sample(photos, megapixels=0.02, side=80, seed=1)
    assert 0.02 <= sum(part.shape[0] * part.shape[1] for part in chosen) / 1e6 < 0.03
    assert max(max(part.shape[:2]) for part in chosen) == 80


def test_links_are_followed_once_and_hidden_folders_passed_over(tmp_path: Path) -> None:
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    (data / ".thumbs").mkdir(parents=True)
    elsewhere.mkdir()
    picture = Image.fromarray(made_picture(1, 80, 80))
    for path in (elsewhere / "a.png", data / ".thumbs" / "b.png", data / ".c.png"):
        picture.save(path)
    (data / "link").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(data)
    assert [path.name for path in data_files(data)] == ["a.png"]
