"""The trainer: it learns, goes on where it was, and makes codecs that work."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancodec.codec import Codec
from gancodec.errors import ConfigError, WrongModelError
from gancodec.networks.blocks import unshuffle
from gancodec.networks.photo import Forward, gaussian_bits
from gancodec.training.__main__ import export, main
from gancodec.training.data import CropStream, load_photos
from gancodec.training.objective import lambda_r, psnr_from_mse, rate_distortion
from gancodec.training.trainer import TrainConfig, Trainer, parameter_groups, train
from tests.tiny import TINY, made_picture

CONFIG = TrainConfig(crop_px=64, batch=2, warmup_steps=5, max_minutes=1.0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "nested").mkdir()
    for number in range(6):
        Image.fromarray(made_picture(number, 96, 128)).save(folder / "nested" / f"{number}.png")
    Image.fromarray(made_picture(9, 40, 40)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (folder / "notes.txt").write_text("no picture")
    return folder


def make_trainer(photos: Path) -> Trainer:
    trainer = Trainer(TINY, CONFIG, CPU)
    trainer.start(load_photos(photos, CONFIG.crop_px))
    return trainer


def run_steps(trainer: Trainer, photos: Path, steps: int) -> list[float]:
    stream = CropStream(
        load_photos(photos, CONFIG.crop_px), side=64, batch=2, seed=CONFIG.seed, start=trainer.progress.step
    )
    try:
        return [trainer.step(pixels)["loss"] for pixels, _ in zip(stream, range(steps), strict=False)]
    finally:
        stream.close()


def test_broken_and_small_files_are_counted(photos: Path) -> None:
    loaded = load_photos(photos, 64)
    assert len(loaded.pictures) == 6 and loaded.skipped == 2


def test_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no usable photo"):
        load_photos(tmp_path, 64)


def test_crops_depend_on_seed_and_step_alone(photos: Path) -> None:
    loaded = load_photos(photos, 64)
    one, two = (CropStream(loaded, side=64, batch=3, seed=4, start=start) for start in (0, 5))
    try:
        np.testing.assert_array_equal(one.make(7), two.make(7))
        assert (one.make(7) != one.make(8)).any()
    finally:
        one.close()
        two.close()


def test_objective_equals_the_numbers_worked_by_hand() -> None:
    """lambda_X = 12, q = 0: lambda_R = 1.64; 8 bits on 64 pixels are 0.125 bpp; MSE 0.25."""
    patches = torch.zeros(1, 192, 1, 1)
    output = Forward(patches + 0.5, torch.tensor([6.0]), torch.tensor([2.0]))
    terms = rate_distortion(output, patches, torch.tensor([0.0]), lambda_x=12.0, lambda_rate=1.0)
    weight = (4 * 12 / (65025 * 1.64) / 0.018) ** -0.3
    assert terms.loss.item() == pytest.approx((0.125 + 12 / 1.64 * 0.25) * weight, rel=1e-5)
    assert terms.bpp.item() == pytest.approx(0.125) and terms.bpp_z.item() == pytest.approx(2 / 64)
    assert psnr_from_mse(torch.tensor(0.25)).item() == pytest.approx(10 * np.log10(16), rel=1e-5)
    assert lambda_r(torch.tensor([100.0])).item() == pytest.approx(1.64 / 400, rel=1e-5)


def test_gaussian_bits_equal_the_integral_over_a_bin() -> None:
    bits = gaussian_bits(torch.tensor([0.0, 3.0]), torch.log(torch.tensor([1.0, 2.0])))
    # Φ(0.5) − Φ(−0.5)
    assert bits[0].item() == pytest.approx(-np.log2(0.3829249), rel=2e-3)
    # Φ(3.5/2) − Φ(2.5/2) = 0.959941 − 0.894350
    assert bits[1].item() == pytest.approx(-np.log2(0.959941 - 0.894350), rel=2e-3)


def test_unshuffle_comes_back_and_keeps_pixels_together() -> None:
    from gancodec.networks.blocks import shuffle

    x = torch.arange(2 * 3 * 16 * 24, dtype=torch.float32).view(2, 3, 16, 24)
    patches = unshuffle(x, 8)
    assert torch.equal(shuffle(patches, 8), x)
    assert torch.equal(patches[0, :3, 0, 0], x[0, :, 0, 0])


def test_stopped_run_saves_and_goes_on(photos: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle of ``train`` leaves a checkpoint from which the next call goes on."""
    config = TrainConfig(crop_px=64, batch=2, max_minutes=5)
    out = tmp_path / "run"

    def stop_at(step: int) -> Callable[[str], None]:
        sent: list[int] = []

        def report(line: str) -> None:
            if line.startswith("{") and json.loads(line)["step"] >= step and not sent:
                sent.append(step)  # a second signal would end this process
                signal.raise_signal(signal.SIGTERM)

        return report

    def go(*, resume: bool, until: int) -> int:
        trainer = train(
            data=photos, out=out, valid=None, model_config=TINY, config=config, device=CPU, resume=resume,
            report=stop_at(until), log_every=3,
        )  # fmt: skip
        return trainer.progress.step

    first = go(resume=False, until=3)
    with pytest.raises(ConfigError, match="holds a run already"):
        go(resume=False, until=3)
    assert first < go(resume=True, until=first + 3) < 60
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_failure_while_cropping_reaches_the_trainer(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = CropStream(load_photos(photos, 64), side=64, batch=2, seed=1, start=0)
    try:
        monkeypatch.setattr(stream, "make", lambda step: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            for _, _ in zip(stream, range(30), strict=False):
                pass
    finally:
        stream.close()


@pytest.mark.parametrize("wrong", [{"crop_px": 100}, {"batch": 0}, {"max_minutes": 0.0}, {"lambda_x": -1.0}])
def test_impossible_configuration_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainConfig(**wrong)  # type: ignore[arg-type]


def test_every_parameter_has_one_learning_rate(photos: Path) -> None:
    model = make_trainer(photos).model
    groups = parameter_groups(model, CONFIG)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert rates[id(model.encoder.shortcut.weight)] == CONFIG.learning_rate_shortcut
    assert rates[id(model.gains.log_gain_AM)] == CONFIG.learning_rate
    assert rates[id(model.encoder.blocks_8[0].depthwise.weight)] == CONFIG.learning_rate_small
    assert rates[id(model.encoder.blocks_8[0].expand.weight)] == CONFIG.learning_rate


def test_gradient_reaches_every_network(photos: Path) -> None:
    trainer = make_trainer(photos)
    with torch.no_grad():
        trainer.model.hyper_encoder.down_64.weight.mul_(20)  # so that some symbols of z are not zero
    run_steps(trainer, photos, 3)
    silent = [name for name, p in trainer.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias per quality only learns at the anchors that were drawn.
    assert not [name for name in silent if "table_AC" not in name]


def test_training_mends_what_was_spoiled(photos: Path) -> None:
    """The tiny networks can learn little about pictures; that everything is 25 levels too bright, they can."""
    trainer = make_trainer(photos)
    with torch.no_grad():
        trainer.model.generator.output.bias.add_(0.2)
        trainer.average.generator.output.bias.add_(0.2)
    batches = [np.stack([made_picture(70 + number, 64, 64) for number in range(4)])]
    before = trainer.validate(batches, (60,))["valid_loss"]
    run_steps(trainer, photos, 80)
    assert trainer.validate(batches, (60,))["valid_loss"] < 0.95 * before


def test_interrupted_run_takes_the_same_next_step(photos: Path, tmp_path: Path) -> None:
    from gancodec.training.checkpoint import load_checkpoint, save_checkpoint

    whole = make_trainer(photos)
    whole.schedule = lambda: 1.0  # type: ignore[method-assign]  # the clock is not what is tested
    wanted = run_steps(whole, photos, 9)
    first = make_trainer(photos)
    first.schedule = lambda: 1.0  # type: ignore[method-assign]
    seen = run_steps(first, photos, 4)
    identity = CONFIG.identity(TINY)
    state = {"model": first.model, "average": first.average, "optimiser": first.optimiser}
    save_checkpoint(tmp_path / "c.safetensors", **state, progress=first.progress, configuration=identity)
    second = Trainer(TINY, CONFIG, CPU)
    second.schedule = lambda: 1.0  # type: ignore[method-assign]
    state = {"model": second.model, "average": second.average, "optimiser": second.optimiser}
    second.progress = load_checkpoint(tmp_path / "c.safetensors", **state, configuration=identity)
    seen += run_steps(second, photos, 5)
    np.testing.assert_allclose(seen, wanted, rtol=1e-4)
    with pytest.raises(ConfigError, match="seed"):
        load_checkpoint(tmp_path / "c.safetensors", **state, configuration=identity | {"seed": 5})
    with pytest.raises(WrongModelError):
        (tmp_path / "bad.safetensors").write_bytes(b"no")
        load_checkpoint(tmp_path / "bad.safetensors", **state, configuration=identity)


def test_run_leaves_a_checkpoint_that_becomes_a_codec(photos: Path, tmp_path: Path) -> None:
    config = TrainConfig(crop_px=64, batch=2, max_minutes=0.05)
    options = {
        "data": photos, "out": tmp_path / "run", "valid": None, "model_config": TINY, "config": config,
        "device": CPU, "report": lambda line: None, "log_every": 5,
    }  # fmt: skip
    train(**options, resume=False)  # type: ignore[arg-type]
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows and {"loss", "bpp", "psnr", "step", "megapixels_per_second", "waiting_share"} <= rows[-1].keys()
    out = tmp_path / "mine.safetensors"
    # Photos of the tiny run are below the crop of the real one: the export asks for 256 pixels.
    with pytest.raises(ConfigError, match="256"):
        export(
            checkpoint=tmp_path / "run" / "checkpoint.safetensors", data=photos, out=out, name="mine",
            licence="test", pictures=4, seed=1,
        )  # fmt: skip
    large = tmp_path / "large"
    large.mkdir()
    for number in range(2):
        Image.fromarray(made_picture(number, 256, 256)).save(large / f"{number}.png")
    arguments = ["export", str(tmp_path / "run" / "checkpoint.safetensors"), "--data", str(large), "--out", str(out)]
    assert main([*arguments, "--name", "mine", "--pictures", "2", "--threads", "1"]) == 0
    codec = Codec.load(out, "cpu")
    image = Image.fromarray(made_picture(50, 100, 80))
    assert codec.decompress(codec.compress(image, quality=50)).size == (80, 100)
    assert main(["manifest", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "manifest.json").read_text())["models"][0]["name"] == "mine"
