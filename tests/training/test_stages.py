"""The stages: each moves its own networks, learns, and goes on after an interruption as if there were none."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from gancodec.effort.refine import Refiner
from gancodec.effort.request import Effort
from gancodec.errors import ConfigError, WrongModelError
from gancodec.networks.photo import Forward, logistic_bits, round_latent
from gancodec.networks.quality import lambda_r
from gancodec.pipeline import PhotoPipeline, Stream
from gancodec.training.checkpoint import load_checkpoint, read_progress, save_checkpoint
from gancodec.training.config import TrainConfig, load_preset
from gancodec.training.data import Photos
from gancodec.training.export_photo import export_synthesis
from gancodec.training.fidelity import FidelityStage
from gancodec.training.generative import ExtremeStage, RealismStage, symbols_bpp
from gancodec.training.journal import described
from gancodec.training.objective import psnr_from_mse, rate_distortion
from gancodec.training.sent import SentLatents
from gancodec.training.stage import Stage, parameter_groups, to_patches
from gancodec.training.synthesis import SynthesisStage
from gancodec.training.warm_start import photo_model
from gancodec.training.world import World
from gancodec.weights import PhotoWeights
from tests.tiny import made_picture
from tests.training.conftest import CPU, make_stage, run_steps, small_config, tiny_codec

SQUARES = [np.stack([made_picture(70 + number, 64, 64) for number in range(4)])]
Make = Callable[..., Stage]


def weights_of(network: torch.nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(left, right, strict=True))


def test_objective_equals_the_numbers_worked_by_hand() -> None:
    """lambda_X = 12, q = 0: lambda_R = 1.64; 8 bits on 64 pixels are 0.125 bpp; MSE 0.25, mean error 0.5."""
    patches = torch.zeros(1, 192, 1, 1)
    output = Forward(patches + 0.5, torch.tensor([6.0]), torch.tensor([2.0]), patches, patches)
    weight = (4 * 12 / (65025 * 1.64) / 0.018) ** -0.3
    for kind, error in (("mse", 0.25), ("l1", 0.5)):
        terms = rate_distortion(output, patches, torch.tensor([0.0]), small_config("fidelity", distortion=kind))
        assert terms.loss.item() == pytest.approx((0.125 + 12 / 1.64 * error) * weight, rel=1e-5)
        assert terms.bpp.item() == pytest.approx(0.125) and terms.bpp_z.item() == pytest.approx(2 / 64)
    assert psnr_from_mse(torch.tensor(0.25)).item() == pytest.approx(10 * np.log10(16), rel=1e-5)
    assert lambda_r(torch.tensor([100.0])).item() == pytest.approx(1.64 / 400, rel=1e-5)


def test_logistic_bits_equal_the_integral_over_a_bin() -> None:
    residual, sigma = torch.tensor([0.0, 3.0, -3.0]), torch.tensor([1.0, 2.0, 2.0])
    scale = sigma * np.sqrt(3) / np.pi
    mass = torch.sigmoid((residual + 0.5) / scale) - torch.sigmoid((residual - 0.5) / scale)
    bits = logistic_bits(residual, sigma.log())
    np.testing.assert_allclose(bits, -torch.log2(mass), rtol=2e-3)  # the soft lower bound of σ moves it a little


def test_far_residual_still_pulls_its_scale() -> None:
    """Where a probability rounds to 0 the gradient must not."""
    log_scale = torch.tensor([-2.0], requires_grad=True)
    residual = torch.tensor([300.0], requires_grad=True)
    bits = logistic_bits(residual, log_scale)
    bits.sum().backward()
    assert torch.isfinite(bits).all() and bits.item() > 1000
    assert log_scale.grad is not None and log_scale.grad.item() < -100
    assert residual.grad is not None and residual.grad.item() > 1


def test_latents_that_round_to_zero_hardly_hear_of_the_picture() -> None:
    residual = torch.tensor([0.0, -0.1, 0.2, 0.4, -0.49, 0.51, -3.2, 7.0], requires_grad=True)
    rounded = round_latent(residual)
    torch.testing.assert_close(rounded, residual.detach().round())
    rounded.sum().backward()
    torch.testing.assert_close(residual.grad, torch.tensor([0, 1 / 16, 1 / 4, 1, 1, 1, 1, 1]))


def test_learns(make: Make, photos: Photos) -> None:
    """The tiny networks can learn little about pictures; that everything is 25 levels too bright, they can."""
    stage = make(lambda_adv=0.0, learning_rate=5e-3, learning_rate_small=5e-3)
    with torch.no_grad():
        for network in (stage.networks["model"], stage.networks["average"]):
            network.get_submodule("generator.output").bias.add_(0.2)  # type: ignore[union-attr, operator]
    name = {"joint": "valid_psnr"}.get(stage.name, "psnr_60")
    before = stage.validate(SQUARES)[name]
    run_steps(stage, photos, 60)
    assert stage.validate(SQUARES)[name] > before + 0.3
    assert stage.reconstruct(SQUARES[0]).shape == SQUARES[0].shape


def test_interrupted_three_times_takes_the_same_steps(make: Make, photos: Photos, tmp_path: Path) -> None:
    wanted = run_steps(make(), photos, 10)
    path = tmp_path / "checkpoint.safetensors"
    seen: list[float] = []
    for steps in (2, 3, 1, 4):
        stage = make(seed=len(seen))  # another beginning each time: everything must come from the checkpoint
        identity = stage.config.identity() | {"seed": 1}
        state = {"networks": stage.networks, "optimisers": stage.optimisers}
        if path.exists():
            stage.progress = load_checkpoint(path, **state, configuration=identity)  # type: ignore[arg-type]
        stage.config = make().config
        seen += run_steps(stage, photos, steps)
        save_checkpoint(path, **state, progress=stage.progress, configuration=identity)  # type: ignore[arg-type]
    np.testing.assert_allclose(seen, wanted, rtol=1e-4)
    assert read_progress(path)[0].step == 10


def test_other_configuration_is_refused(make: Make, photos: Photos, tmp_path: Path) -> None:
    stage = make()
    path = tmp_path / "c.safetensors"
    state = {"networks": stage.networks, "optimisers": stage.optimisers}
    save_checkpoint(path, **state, progress=stage.progress, configuration=stage.config.identity())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed 1, now 5"):
        load_checkpoint(path, **state, configuration=stage.config.identity() | {"seed": 5})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="earlier version, which had no lambda_new"):
        load_checkpoint(path, **state, configuration=stage.config.identity() | {"lambda_new": 5})  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WrongModelError):
        load_checkpoint(path, **state, configuration=stage.config.identity())  # type: ignore[arg-type]


def test_non_finite_step_is_skipped_before_the_update(make: Make, photos: Photos) -> None:
    stage = make()
    run_steps(stage, photos, 2)
    with torch.no_grad():
        for parameter in stage.networks["model"].get_submodule("generator.output").parameters():
            kept = parameter.clone()
            parameter.fill_(torch.nan)
    before = {name: weights_of(network) for name, network in stage.networks.items()}
    numbers = stage.advance(SQUARES[0][:2], 0.5)
    assert numbers["skipped"] == 1 and stage.progress.skipped == 1
    for name, network in stage.networks.items():
        for old, new in zip(before[name], weights_of(network), strict=True):
            assert torch.equal(torch.nan_to_num(old), torch.nan_to_num(new))
    assert torch.isfinite(kept).all()


def test_every_parameter_has_one_learning_rate() -> None:
    for kind in ("fidelity", "synthesis", "realism", "joint"):
        stage = make_stage(kind)
        model = stage.networks["model"]
        groups = parameter_groups(model, stage.config)
        rates = {id(p): group["lr"] for group in groups for p in group["params"]}
        assert len(rates) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
        for name, parameter in model.named_parameters():
            if "shortcut" in name:
                assert rates[id(parameter)] == stage.config.learning_rate_shortcut
            elif name.endswith(("table_AC", "log_gain_AM", "expand.weight")):
                assert rates[id(parameter)] == stage.config.learning_rate
            elif name.endswith(("depthwise.weight", "depthwise.bias")):
                assert rates[id(parameter)] == stage.config.learning_rate_small


def test_gradient_reaches_every_network_of_fidelity(photos: Photos) -> None:
    stage = make_stage("fidelity")
    assert isinstance(stage, FidelityStage)
    run_steps(stage, photos, 3)
    silent = [name for name, p in stage.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias per quality only learns at the anchors that were drawn.
    assert not [name for name in silent if "table_AC" not in name]


def test_gradient_of_the_picture_reaches_the_first_layer_of_extreme(photos: Photos) -> None:
    """Through the hard quantiser: with every verdict of the discriminators switched off, too."""
    stage = make_stage("joint", lambda_adv=0.0)
    assert isinstance(stage, ExtremeStage) and stage.adversary is None
    run_steps(stage, photos, 2)
    for name, parameter in stage.model.encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_each_player_moves_its_own_network_only(photos: Photos) -> None:
    for kind in ("realism", "joint"):
        stage = make_stage(kind, discriminator_warmup_steps=0)
        assert isinstance(stage, RealismStage | ExtremeStage) and stage.adversary is not None
        run_steps(stage, photos, 1)
        discriminator = stage.adversary.discriminator
        # G's step comes last: it has left no gradient in D beyond that of D's own step.
        after_own = [p.grad.clone() for p in discriminator.parameters() if p.grad is not None]
        judged = weights_of(discriminator)
        patches = torch.rand(2, 192, 8, 8) * 2 - 1
        generated = stage.generate(patches, stage.random())
        pictures = torch.rand(2, 3, 64, 64) * 2 - 1
        from gancodec.training.stage import to_pictures

        terms = stage.adversary.terms(pictures, to_pictures(generated.patches_BChw), generated.condition)
        stage.model.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in stage.model.parameters())
        grads = [p.grad for p in discriminator.parameters() if p.grad is not None]
        assert all(torch.equal(one, other) for one, other in zip(after_own, grads, strict=True))
        # And D's step gives the generator nothing.
        stage.model.zero_grad()
        fake = to_pictures(stage.generate(patches, stage.random()).patches_BChw)
        stage.adversary.update(stage, pictures, fake, generated.condition, 1.0)
        assert all(p.grad is None or not p.grad.any() for p in stage.model.parameters())
        assert not same(judged, weights_of(discriminator))


def test_discriminators_warm_up_before_the_generator_listens(photos: Photos) -> None:
    stage = make_stage("joint", discriminator_warmup_steps=3)
    config = stage.config
    from gancodec.training.data import CropPlan, make_batch

    plan = CropPlan([p.size for p in photos.pictures], side=config.crop_px, batch=config.batch, seed=1)
    heard = ["adversarial" in stage.advance(make_batch(photos, plan, step), 0.01) for step in range(5)]
    assert heard == [False, False, True, True, True]
    short = make_stage("joint", discriminator_warmup_steps=1000, adversarial_from=0.3)
    # In a run too short for so many steps, a share of it is enough.
    heard = ["adversarial" in short.advance(make_batch(photos, plan, 0), done) for done in (0.2, 0.31, 0.36)]
    assert heard == [False, False, True]


def test_warm_up_takes_no_more_than_a_share_of_a_short_run() -> None:
    stage = make_stage("fidelity", warmup_steps=10_000)
    assert stage.rate_share(0.0) < 0.001 and stage.rate_share(0.06) > 0.9
    assert stage.rate_share(1.0) == pytest.approx(stage.config.final_share)


@pytest.mark.parametrize("kind", ["synthesis", "realism"])
def test_refining_leaves_encoder_prior_and_fidelity_generator_alone(kind: str, photos: Photos) -> None:
    codec = tiny_codec()
    config = small_config(kind)
    stage: SynthesisStage | RealismStage
    if kind == "synthesis":
        stage = SynthesisStage(codec, config, CPU, World())
    else:
        stage = RealismStage(codec, config, CPU, World(), features=None)
    before = {name: tensor.clone() for name, tensor in codec.tensors().items()}
    run_steps(stage, photos, 4)
    after = codec.tensors()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert not same(weights_of(stage.model.generator), weights_of(codec.fidelity.generator))
    measured = stage.validate(SQUARES)
    other, seen = ("before", "before") if kind == "synthesis" else ("fidelity", "at realism 0")
    text = described({name: value for name, value in measured.items() if name.endswith("psnr_60")})
    assert text == f"quality 60: {measured['psnr_60']:.2f} dB, {seen} {measured[f'{other}_psnr_60']:.2f} dB"


def test_fidelity_goes_on_from_the_generator_that_encoders_go_by() -> None:
    codec = tiny_codec()
    codec.guide = codec.fidelity
    codec.fidelity = deepcopy(codec.guide)
    codec.fidelity.generator.output.bias.add_(1)
    codec.fidelity.gains.log_gain_AM.add_(1)
    model = photo_model(codec)
    assert same(weights_of(model.generator), weights_of(codec.guide.generator))
    assert same(weights_of(model.generator_gains), weights_of(codec.guide.gains))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_stage_synthesis_makes_on_a_gpu_is_exported_there() -> None:
    codec = tiny_codec()
    codec.realism = deepcopy(codec.fidelity)
    weights = PhotoWeights.from_tensors(codec.config, codec.tensors(), torch.device("cuda"))
    stage = SynthesisStage(weights, small_config("synthesis"), torch.device("cuda"), World())
    refined = export_synthesis(weights, stage.average)
    assert refined.tensors().keys() > codec.tensors().keys()


def test_a_generator_is_better_if_it_makes_better_pictures_than_the_one_before() -> None:
    stage = make_stage("synthesis")
    assert isinstance(stage, SynthesisStage)
    good, bad = deepcopy(stage.before), deepcopy(stage.before)
    bad.generator.output.bias.add_(0.2)
    assert not stage.is_better(good, SQUARES) and not stage.is_better(bad, SQUARES)
    stage.before.generator.output.bias.add_(0.2)
    assert stage.is_better(good, SQUARES) and not stage.is_better(bad, SQUARES)


@pytest.mark.parametrize("effort", [0, 1])
def test_latents_are_those_that_a_decoder_gets(effort: int) -> None:
    pipeline = PhotoPipeline(tiny_codec(), CPU)
    pictures, qualities_256 = [made_picture(3, 64, 128), made_picture(4, 64, 128)], [5_120, 20_480]
    if effort:
        symbols = Refiner(pipeline).quantise(pictures, qualities_256, Effort(level=effort))
    else:
        symbols = pipeline.quantise(pictures, qualities_256)
    streams = [
        Stream(width=128, height=64, quality_256=quality, payload=coded.payload, symbol_crc=coded.symbol_crc)
        for quality, coded in zip(qualities_256, map(pipeline.code, symbols), strict=True)
    ]
    decoded = pipeline.decode(streams)
    sent = SentLatents(pipeline.weights, CPU, effort)(
        to_patches(np.stack(pictures), CPU), torch.tensor(qualities_256) / 256
    )
    torch.testing.assert_close(sent.known_BMhw, decoded.state.known_BMhw.clone(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sent.anchor_weights_BA, decoded.state.anchor_weights_BA.clone())
    torch.testing.assert_close(sent.latent_BMhw, sent.known_BMhw * decoded.state.gain_BM11.clone())


def test_all_terms_of_the_notes_are_logged(photos: Photos) -> None:
    stage = make_stage("joint", discriminator_warmup_steps=0, lambda_c=0.5)
    config = stage.config
    numbers = stage.advance(SQUARES[0][:2], 0.5)
    wanted = {"loss", "distortion", "adversarial", "feature_matching", "contrastive", "grid"}
    assert wanted | {"d_loss", "d_real", "d_fake", "psnr", "gradient_norm", "bpp"} <= numbers.keys()
    total = (
        config.lambda_x * numbers["distortion"] + config.lambda_adv * numbers["adversarial"]
        + config.lambda_adv * config.lambda_fm * numbers["feature_matching"] + 0.5 * numbers["contrastive"]
        + config.lambda_grid * numbers["grid"]
    )  # fmt: skip
    assert numbers["loss"] == pytest.approx(total, rel=1e-4)


def test_rate_of_symbols_is_their_entropy() -> None:
    """One channel constant, one with four equally frequent values: 2 bits for each 256 pixels."""
    symbols = torch.stack([torch.zeros(4, 4), torch.tensor([-2.0, -1.0, 1.0, 2.0]).repeat(4, 1)])[None]
    assert symbols_bpp(symbols).item() == pytest.approx(2 / 256, rel=1e-5)


@pytest.mark.parametrize("adversarial", ["chi2", "vanilla", "hinge", "wasserstein"])
@pytest.mark.parametrize("scales", ["all", "full"])
def test_every_adversarial_loss_trains(adversarial: str, scales: str, photos: Photos) -> None:
    stage = make_stage(
        "joint", adversarial=adversarial, generator_scales=scales, distortion="l1", discriminator_warmup_steps=0
    )
    assert np.isfinite(run_steps(stage, photos, 3)).all() and stage.progress.skipped == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_px": 100}, {"batch": 0}, {"max_minutes": 0.0}, {"lambda_x": -1.0}, {"lambda_adv": float("nan")},
        {"adversarial": "pearson"}, {"effort": 5}, {"effort": 0.5}, {"distortion": "l3"}, {"generator_scales": "some"},
    ],
)  # fmt: skip
def test_impossible_configuration_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        small_config("fidelity", **wrong)


def test_presets_hold_every_value_and_the_notes_weights() -> None:
    for codec in ("photo", "extreme"):
        preset = load_preset(codec)
        for stage in preset.stages.values():
            assert isinstance(stage, TrainConfig) and stage.lambda_x == 12 and stage.lambda_fm == 10
            assert stage.adversarial == "chi2" and stage.distortion == "mse"
    assert load_preset("extreme").stages["joint"].lambda_adv == 1
    with pytest.raises(ConfigError, match="fotos"):
        load_preset("fotos")


def test_average_follows_the_model(photos: Photos) -> None:
    stage = make_stage("fidelity", learning_rate=1e-2)
    assert isinstance(stage, FidelityStage)
    start = deepcopy(stage.model)
    run_steps(stage, photos, 20)
    moved = 0
    for old, new, average in zip(
        start.parameters(), stage.model.parameters(), stage.average.parameters(), strict=True
    ):
        if (old - new).norm() > 0.01 * old.norm():
            assert (average - new).norm() < 0.9 * (old - new).norm()
            assert (average - old).norm() > 0
            moved += 1
    assert moved > 10
