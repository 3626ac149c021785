"""Presets: complete, and changed by a file only where they have such a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancodec.errors import ConfigError
from gancodec.networks.config import FAMILIES, config_from_values
from gancodec.registry import shipped_models
from gancodec.training.config import load_preset
from gancodec.training.plan import stored_configuration


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_replaces_the_values_it_has(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [model]
        latent_channels = 320
        [training]
        clip = 1
        discriminator_widths = [16, 16]
        [stage.realism]
        learning_rate = 1e-4
        """,
    )
    own, preset = load_preset("photo", path), load_preset("photo")
    assert own.model.latent_channels == 320 and preset.model.latent_channels == 384  # type: ignore[union-attr]
    assert own.asked_sizes == {"latent_channels"} and preset.asked_sizes == frozenset()
    assert own.stages["fidelity"].clip == 1 and own.stages["realism"].discriminator_widths == (16, 16)
    assert own.stages["realism"].learning_rate == 1e-4
    assert own.stages["fidelity"].learning_rate == preset.stages["fidelity"].learning_rate


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model]\nwidth = 3", "model.width is unknown"),
        ("[training]\nclip = '2'", "training.clip is '2'"),
        ("[training]\nbatch = true", "training.batch is True"),
        ("[training]\ndiscriminator_widths = [1.5]", "discriminator_widths is"),
        ("[training]\nlearning_rate = 1.0", "training.learning_rate is unknown"),
        ("[stage.joint]\nlambda_adv = 1.0", "stage.joint is unknown"),
        ("[stage.fidelity]\nlearning_rate = nan", "learning_rate is nan"),
        ("codec = 'extreme'", "is for extreme"),
        ("[model", "cannot be read"),
        ("model = 3", "model is 3"),
    ],
)
def test_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_preset("photo", written(tmp_path, text))


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_preset("photo", tmp_path / "none.toml")


@pytest.mark.parametrize("codec", sorted(FAMILIES))
def test_shipped_codecs_have_the_sizes_of_their_preset(codec: str) -> None:
    """So that a run starts from them without being told."""
    shipped = [entry for entry in shipped_models() if entry.codec == codec]
    if not shipped:
        pytest.skip("no weights beside the package")
    assert [config_from_values(stored_configuration(entry.path)) for entry in shipped] == [load_preset(codec).model]
