"""A whole run, its folder, and what a second call makes of it."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from gancodec.codec import Codec
from gancodec.errors import ConfigError, OutputError
from gancodec.networks.photo import PhotoModel
from gancodec.registry import read_entry, read_metadata
from gancodec.training import export, loop, plan, run, start
from gancodec.training.checkpoint import read_progress
from gancodec.training.config import STAGES, Preset
from gancodec.training.plan import Request
from gancodec.training.run import Trained, train_codecs
from gancodec.training.synthesis import SynthesisStage
from tests.clock import ticking
from tests.tiny import TINY, TINY_EXTREME, made_picture
from tests.training.conftest import small_config


@pytest.fixture(autouse=True)
def small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"photo": TINY, "extreme": TINY_EXTREME}
    monkeypatch.setattr(
        plan, "load_preset",
        lambda codec, _: Preset(model=models[codec], stages={name: small_config(name) for name in STAGES[codec]}),
    )  # fmt: skip
    monkeypatch.setattr(export, "FITTED_MEGAPIXELS", 0.05)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 50 ms, however busy the machine is: 0.01 minutes are a few steps of each stage."""
    monkeypatch.setattr(loop, "perf_counter", ticking(0.05))


def go(data: Path, out: Path, said: list[str] | None = None, **changes: Any) -> Trained:
    values = {"codec": "photo", "init": "none", "max_minutes": 0.01, "device": "cpu"} | changes
    [trained] = train_codecs(Request(data=data, out=out, **values), (said if said is not None else []).append)
    return trained


def test_run_leaves_a_codec_and_its_configuration(photo_folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    trained = go(photo_folder, tmp_path / "mine", said, valid=photo_folder)
    assert trained.finished and trained.path == tmp_path / "mine" / "mine.safetensors"
    entry = read_entry(trained.path)
    assert entry.has_realism and entry.model_id == trained.model_id and entry.name == "mine"
    codec = Codec.load(tmp_path / "mine", "cpu")
    image = Image.fromarray(made_picture(50, 100, 80))
    data = codec.compress(image, quality=50)
    assert codec.decompress(data, realism=0.5).size == (80, 100)
    configuration = json.loads((tmp_path / "mine" / "configuration.json").read_text())
    assert configuration["stages"]["fidelity"]["lambda_x"] == 12 and configuration["model"]["latent_channels"] == 24
    assert list((tmp_path / "mine" / "panel").glob("fidelity-*.png"))
    assert list((tmp_path / "mine" / "tensorboard" / "realism").iterdir())
    rows = [json.loads(line) for line in (tmp_path / "mine" / "log.jsonl").read_text().splitlines()]
    assert {"fidelity", "synthesis", "realism"} == {row["stage"] for row in rows}
    assert any("valid_loss" in row for row in rows) and any("megapixels_per_second" in row for row in rows)
    assert any("files against their estimated size" in line for line in said)
    assert any(line.startswith("channels stay as trained: to mute some takes 20 minutes") for line in said)
    assert sum("file_against_estimate" in row for row in rows) == 1
    assert any(line.startswith(f"{trained.path}: from scratch, lambda-x 12; fidelity") for line in said)


def test_finished_run_is_not_touched_again(photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = go(photo_folder, out)
    before = first.path.stat().st_mtime_ns
    again = go(photo_folder, out, resume=True)
    assert again.finished and again.model_id == first.model_id
    assert first.path.stat().st_mtime_ns == before


def test_realism_is_refined_anew_when_fidelity_went_on(photo_folder: Path, tmp_path: Path) -> None:
    go(photo_folder, tmp_path / "run")
    said: list[str] = []
    go(photo_folder, tmp_path / "run", said, resume=True, max_minutes=0.03)
    assert any(line.startswith("fidelity: resumed") for line in said)
    for stage in ("synthesis", "realism"):
        assert any(line.startswith(f"{stage}: a stage before it has gone on") for line in said)
        assert not any(line.startswith(f"{stage}: resumed") for line in said)


def test_realism_can_be_added_later_to_the_same_files(photo_folder: Path, tmp_path: Path) -> None:
    first = go(photo_folder, tmp_path / "run", stage="fidelity")
    assert not read_entry(first.path).has_realism
    later = go(photo_folder, tmp_path / "run", stage="realism", init=None)
    assert later.model_id == first.model_id and read_entry(later.path).has_realism
    elsewhere = go(photo_folder, tmp_path / "other", stage="realism", init=str(first.path))
    assert elsewhere.model_id == first.model_id and elsewhere.path != first.path
    with pytest.raises(ConfigError, match="--init names another"):
        (tmp_path / "other" / "checkpoint-realism.safetensors").unlink()
        go(photo_folder, tmp_path / "other", stage="realism", init=str(first.path))


def test_synthesis_makes_another_generator_for_the_same_files(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SynthesisStage, "is_better", lambda *_: False)
    first, never = go(photo_folder, tmp_path / "run"), torch.tensor(torch.nan)
    assert not any(name.startswith("effort.synthesis.") for name in load_file(first.path))
    for better in (True, False):
        monkeypatch.setattr(SynthesisStage, "is_better", lambda *_, better=better: better)
        said: list[str] = []
        out = tmp_path / f"{better}"
        later = go(photo_folder, out, said, stage="synthesis", init=str(first.path))
        before, after = load_file(first.path), load_file(later.path)
        changed = {name.split(".")[1] for name in after if not torch.equal(before.get(name, never), after[name])}
        assert later.model_id == first.model_id and before.keys() <= after.keys()
        assert changed == ({"fidelity", "realism", "synthesis"} if better else set())
        assert any("stays as it was" in line for line in said) is not better
        if better:
            # Encoders keep the generator that they had, also when the stage is run once more.
            more = load_file(go(photo_folder, tmp_path / "more", stage="synthesis", init=str(later.path)).path)
            for name in (name for name in before if name.startswith("synthesis.fidelity.")):
                guide = name.replace("synthesis.fidelity.", "effort.synthesis.")
                assert torch.equal(before[name], after[guide]) and torch.equal(before[name], more[guide])
            # What realism had learnt is still the difference of the two.
            name = "generator.input.bias"
            learnt, kept = (
                tensors[f"synthesis.realism.{name}"].float() - tensors[f"synthesis.fidelity.{name}"].float()
                for tensors in (before, after)
            )
            torch.testing.assert_close(kept, learnt, rtol=0, atol=2e-3)
        notes = json.loads(read_metadata(later.path)["training"])
        assert notes["synthesis"]["step"] > 0 and notes["fidelity"]["step"] > 0


def test_finished_synthesis_goes_on_with_more_minutes(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has replaced the generator that it began with, which encoders go by, and it is compared with."""
    monkeypatch.setattr(SynthesisStage, "is_better", lambda *_: True)
    began: list[dict[str, torch.Tensor]] = []
    stepping = SynthesisStage.advance

    def watched(stage: SynthesisStage, *given: Any) -> dict[str, float]:
        began.append({name: tensor.clone() for name, tensor in stage.before.state_dict().items()})
        assert stage.sent.weights.fidelity is stage.before
        assert same_tensors(stage.sent.weights.guiding.state_dict(), began[0])
        return stepping(stage, *given)

    monkeypatch.setattr(SynthesisStage, "advance", watched)
    first = go(photo_folder, tmp_path / "run", stage="fidelity")
    before = load_file(first.path)
    go(photo_folder, tmp_path / "run", stage="synthesis", init=None)
    name = "synthesis.fidelity.generator.output.bias"
    assert not torch.equal(before[name], load_file(first.path)[name])
    said: list[str] = []
    steps = len(began)
    later = go(photo_folder, tmp_path / "run", said, stage="synthesis", init=None, max_minutes=0.02, resume=True)
    assert any(line.startswith("synthesis: resumed") for line in said) and later.model_id == first.model_id
    assert len(began) > steps and same_tensors(began[0], began[-1])


def same_tensors(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_finished_synthesis_is_not_touched_when_realism_goes_on(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SynthesisStage, "is_better", lambda *_: True)
    first = go(photo_folder, tmp_path / "run")
    assert any(name.startswith("effort.synthesis.") for name in load_file(first.path))
    (tmp_path / "run" / "checkpoint-realism.safetensors").unlink()
    before, said = load_file(first.path), list[str]()
    later = go(photo_folder, tmp_path / "run", said, resume=True)
    after = load_file(later.path)
    assert not any(line.startswith(("fidelity step", "synthesis step", "synthesis: writing")) for line in said)
    assert any(line.startswith("realism step") for line in said)
    assert {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])} <= {"realism"}


def test_only_stages_that_invent_care_for_the_weight_of_the_grid(photo_folder: Path, tmp_path: Path) -> None:
    go(photo_folder, tmp_path / "run")
    weighed = {
        stage: "lambda_grid" in read_progress(tmp_path / "run" / f"checkpoint-{stage}.safetensors")[1]
        for stage in ("fidelity", "synthesis", "realism")
    }
    assert weighed == {"fidelity": False, "synthesis": False, "realism": True}


def test_nothing_is_overwritten_unasked(photo_folder: Path, tmp_path: Path) -> None:
    first = go(photo_folder, tmp_path / "run", codec="extreme")
    with pytest.raises(ConfigError, match="holds a run already"):
        go(photo_folder, tmp_path / "run", codec="extreme")
    (tmp_path / "run" / "checkpoint-joint.safetensors").unlink()
    with pytest.raises(ConfigError, match="is there already"):
        go(photo_folder, tmp_path / "run", codec="extreme")
    assert read_entry(first.path).model_id == first.model_id


def test_codec_to_start_from_is_not_overwritten(photo_folder: Path, tmp_path: Path) -> None:
    first = go(photo_folder, tmp_path / "run", stage="fidelity")
    (tmp_path / "run" / "checkpoint-fidelity.safetensors").unlink()
    for stage in ("fidelity", "all"):
        with pytest.raises(ConfigError, match="is there already"):
            go(photo_folder, tmp_path / "run", stage=stage, init=str(first.path))
    assert read_entry(first.path).model_id == first.model_id


def test_codec_that_was_not_written_at_the_end_is_written_on_resuming(photo_folder: Path, tmp_path: Path) -> None:
    first = go(photo_folder, tmp_path / "run", codec="extreme")
    tensors, metadata = load_file(first.path), read_metadata(first.path)
    notes = json.loads(metadata["training"])
    notes["joint"]["step"] -= 1  # of an earlier step, as a run that was killed while it wrote leaves it
    earlier = {name: torch.zeros_like(values) for name, values in tensors.items()}
    save_file(earlier, first.path, metadata | {"training": json.dumps(notes)})
    go(photo_folder, tmp_path / "run", codec="extreme", resume=True)
    again = load_file(first.path)
    assert read_metadata(first.path) == metadata and again.keys() == tensors.keys()
    assert all(torch.equal(again[name], values) for name, values in tensors.items())


def test_stage_realism_keeps_what_the_codec_says_of_itself(photo_folder: Path, tmp_path: Path) -> None:
    first = go(photo_folder, tmp_path / "run", stage="fidelity", lambda_x=(48.0,), licence="CC0-1.0")
    later = go(photo_folder, tmp_path / "other", stage="realism", init=str(first.path))
    metadata = read_metadata(later.path)
    notes = json.loads(metadata["training"])
    assert notes["lambda_x"] == 48 and notes["fidelity"]["step"] > 0 and notes["realism"]["step"] > 0
    assert metadata["licence"] == "CC0-1.0"


def test_resuming_where_nothing_is_says_so(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        go(photo_folder, tmp_path / "mistyped", resume=True)


def test_full_disk_is_one_sentence(photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "save_checkpoint", full)
    with pytest.raises(OutputError, match="No space left"):
        go(photo_folder, tmp_path / "run", codec="extreme")


def test_other_photos_or_options_are_another_run(photo_folder: Path, tmp_path: Path) -> None:
    go(photo_folder, tmp_path / "run", codec="extreme")
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(made_picture(1, 96, 96)).save(other / "1.png")
    with pytest.raises(ConfigError, match="photos"):
        go(other, tmp_path / "run", codec="extreme", resume=True)
    with pytest.raises(ConfigError, match="another configuration: symbol_channels 4, now 8; "):
        go(photo_folder, tmp_path / "run", codec="extreme", resume=True, model={"symbol_channels": 8})
    with pytest.raises(ConfigError, match="lambda_fm"):
        go(photo_folder, tmp_path / "run", codec="extreme", resume=True, training={"lambda_fm": 5.0})


def test_sizes_come_from_the_codec_to_start_from(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = go(photo_folder, tmp_path / "first", codec="extreme")
    monkeypatch.setattr(
        plan, "load_preset",
        lambda codec, _: Preset(model=replace(TINY_EXTREME, channels_8=16), stages={"joint": small_config("joint")}),
    )  # fmt: skip
    go(photo_folder, tmp_path / "second", codec="extreme", init=str(first.path))
    model = json.loads((tmp_path / "second" / "configuration.json").read_text())["model"]
    assert model["channels_8"] == TINY_EXTREME.channels_8
    with pytest.raises(ConfigError, match="symbol_channels 4, not 8"):
        go(photo_folder, tmp_path / "third", codec="extreme", init=str(first.path), model={"symbol_channels": 8})


def test_a_codec_grows_as_asked(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "KLT_MEGAPIXELS", 1.0)
    first = go(photo_folder, tmp_path / "first")
    said: list[str] = []
    second = go(photo_folder, tmp_path / "second", said, init=str(first.path), model={"latent_channels": 32})
    assert "growing to 32 latent channels" in said and f"realism: carrying over that of {first.path}" in said
    assert second.finished and read_entry(second.path).has_realism
    model = json.loads((tmp_path / "second" / "configuration.json").read_text())["model"]
    assert model["latent_channels"] == 32
    for wrong in ({"latent_channels": 16}, {"latent_channels": 32, "channels_8": 16}):
        with pytest.raises(ConfigError, match="only latent_channels can grow"):
            go(photo_folder, tmp_path / "third", init=str(first.path), model=wrong)
    with pytest.raises(ConfigError, match="latent_channels 24, not 32"):
        go(photo_folder, tmp_path / "third", init=str(first.path), stage="realism", model={"latent_channels": 32})


def test_channels_are_muted_before_tables_are_fitted(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MUTING_PX", 64)
    monkeypatch.setattr(export, "MUTING_SQUARES", 4)
    monkeypatch.setattr(export, "MUTING_FROM_S", 0)
    before: list[torch.Tensor] = []

    def mute_one(model: PhotoModel, measured: torch.Tensor, checked: torch.Tensor, _: object) -> torch.Tensor:
        assert (len(measured), len(checked)) == (1, 3)
        assert all(not torch.equal(measured[0], each) for each in checked)
        before.append(model.gains.log_gain_AM.detach().clone())
        muted_AM = torch.zeros_like(model.gains.log_gain_AM, dtype=torch.bool)
        muted_AM[:, 7] = True
        with torch.no_grad():
            model.gains.log_gain_AM[muted_AM] = -12.0
        return muted_AM

    monkeypatch.setattr(export, "mute_channels", mute_one)
    said: list[str] = []
    trained = go(photo_folder, tmp_path / "mine", said, stage="fidelity")
    muted = "muted channels, from quality 0 to 100: 1, 1, 1, 1, 1, 1, 1, 1; now loss"
    assert any(line.startswith(muted) for line in said)
    log_gain = load_file(trained.path)["prior.log_gain"]
    assert bool((log_gain[:, 7] < -11).all())
    others = [channel for channel in range(TINY.latent_channels) if channel != 7]
    torch.testing.assert_close(log_gain[:, others].float(), before[0][:, others], atol=5e-3, rtol=5e-3)


def test_a_resumed_run_goes_on_from_the_codec_that_it_began_with(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "KLT_MEGAPIXELS", 1.0)
    monkeypatch.setattr(export, "MUTING_FROM_S", 0)  # still, these photos give too few squares
    first, other = (go(photo_folder, tmp_path / name, training={"seed": n}) for n, name in enumerate(("a", "b")))
    out, options = tmp_path / "more", {"model": {"latent_channels": 32}, "stage": "fidelity"}
    go(photo_folder, out, init=str(first.path), **options)
    longer = options | {"resume": True, "max_minutes": 0.02}
    with pytest.raises(ConfigError, match="another configuration: init"):
        go(photo_folder, out, init=str(other.path), **longer)
    said: list[str] = []
    again = go(photo_folder, out, said, init=str(first.path), **longer)
    assert again.finished and any(line.startswith("fidelity: resumed") for line in said)
    assert "growing to 32 latent channels" not in said and read_entry(again.path).has_realism
    assert any(line.startswith("channels stay as trained") for line in said)


def test_a_row_of_lambdas_stops_between_two_codecs(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = export.Exporter.write

    def interrupted(self: export.Exporter, *given: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        whole(self, *given)

    request = Request(
        data=photo_folder, out=tmp_path / "row", codec="extreme", init="none", max_minutes=0.01, device="cpu",
        lambda_x=(6.0, 12.0),
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(export.Exporter, "write", interrupted)
        first, second = train_codecs(request, lambda _: None)
    assert first.finished and first.path.exists()
    assert not second.finished and not second.path.exists() and second.minutes == 0
    first, second = train_codecs(replace(request, resume=True), lambda _: None)
    assert first.finished and second.finished and second.path.exists()


def test_perceptual_weight_needs_features(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no features"):
        go(photo_folder, tmp_path / "run", training={"lambda_p": 1.0})
    go(photo_folder, tmp_path / "run", codec="extreme")
    stage = json.loads((tmp_path / "run" / "configuration.json").read_text())["stages"]["joint"]
    assert stage["lambda_p"] == 0


def test_realism_of_the_codec_to_start_from_is_carried_over(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SynthesisStage, "is_better", lambda *_: True)
    first = go(photo_folder, tmp_path / "first")
    for lambda_x in (12.0, 48.0):
        said: list[str] = []
        out = tmp_path / f"second-{lambda_x:g}"
        second = go(photo_folder, out, said, init=str(first.path), lambda_x=(lambda_x,))
        assert f"realism: carrying over that of {first.path}" in said
        assert second.finished and read_entry(second.path).has_realism
    said = []
    alone = go(photo_folder, tmp_path / "alone", said, init=str(first.path), stage="fidelity")
    assert f"realism: carrying over that of {first.path}" in said and read_entry(alone.path).has_realism
    old, new = load_file(first.path), load_file(alone.path)
    guides = [any(name.startswith("effort.synthesis.") for name in tensors) for tensors in (old, new)]
    assert guides == [True, False], "its generator is the one that was trained together with its encoder"
    for name in (name for name in new if name.startswith("synthesis.realism.")):
        of_fidelity = name.replace("realism", "fidelity")
        learnt = old[name].float() - old[of_fidelity].float()
        torch.testing.assert_close(new[name].float(), new[of_fidelity].float() + learnt, atol=2e-3, rtol=2e-3)
    fidelity = go(photo_folder, tmp_path / "fidelity", stage="fidelity")
    said = []
    go(photo_folder, tmp_path / "third", said, init=str(fidelity.path))
    assert not any("carrying over" in line for line in said)


def test_name_of_a_shipped_codec_must_be_asked_for(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = read_entry(go(photo_folder, tmp_path / "first", codec="extreme").path)
    monkeypatch.setattr(plan, "shipped_models", lambda: [shipped])
    with pytest.raises(ConfigError, match="would be called 'first'"):
        go(photo_folder, tmp_path / "other" / "first", codec="extreme")
    assert go(photo_folder, tmp_path / "other" / "first", codec="extreme", name="first").finished


def test_folder_that_cannot_be_written_is_found_before_photos_are_read(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan.os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
    monkeypatch.setattr(run, "load_photos", lambda *_, **__: pytest.fail("photos were read"))
    with pytest.raises(ConfigError, match="cannot be written"):
        go(photo_folder, tmp_path / "a" / "b")


def test_steps_that_never_become_finite_end_the_run(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "HOPELESS_STEPS", 3)
    with pytest.raises(ConfigError, match="not been finite for 3 steps"):
        go(photo_folder, tmp_path / "run", codec="extreme", training={"lambda_x": 1e38}, max_minutes=1.0)


def test_file_that_differs_from_its_estimate_is_warned_of_and_noted(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.export_extreme, "file_against_estimate", lambda *_: (1100.0, 1000.0))
    said: list[str] = []
    go(photo_folder, tmp_path / "run", said, codec="extreme")
    assert any(line.startswith("warning: files are +10.0 %") for line in said)
    assert "files are +10.0 %" in (tmp_path / "run" / "log.jsonl").read_text()
