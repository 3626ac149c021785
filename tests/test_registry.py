"""Names, paths and model ids lead to the right weights, and no folder is searched that need not be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gancodec import registry
from gancodec.errors import MissingModelError, WrongModelError
from gancodec.registry import for_model_id, read_entry, resolve
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny-extreme.safetensors"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of GANCODEC_CODECS with two copies of a codec; the working folder is another."""
    codecs = tmp_path / "codecs"
    codecs.mkdir()
    for name in ("b", "a"):
        shutil.copy(TINY, codecs / f"{name}.safetensors")
    (codecs / "broken.safetensors").write_bytes(b"no weights")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("GANCODEC_CODECS", str(codecs))
    return codecs


def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[registry.ModelEntry]:
        raise AssertionError("the folders of GANCODEC_CODECS were searched")

    monkeypatch.setattr(registry, "user_models", fail)


def test_family_and_quality_are_known_from_the_header() -> None:
    entry = read_entry(TINY)
    assert (entry.codec, entry.has_quality, entry.has_realism) == ("extreme", False, False)
    assert read_entry(GOLDEN / "tiny.safetensors").has_quality


def test_path_and_folder_are_taken_without_a_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_search(monkeypatch)
    assert resolve(folder / "b.safetensors").path == folder / "b.safetensors"
    (folder / "a.safetensors").unlink()
    assert resolve(folder).path == folder / "b.safetensors"
    with pytest.raises(WrongModelError, match="not a weights file"):
        resolve(folder / "broken.safetensors")


def test_name_is_found_though_a_folder_has_it_too(folder: Path) -> None:
    Path("tiny-extreme").mkdir()
    assert resolve("tiny-extreme").path == folder / "a.safetensors"


def test_folder_of_several_codecs_is_refused(folder: Path) -> None:
    with pytest.raises(MissingModelError, match="holds 2 codecs"):
        resolve(folder)


def test_unknown_name_gets_the_nearest_one(folder: Path) -> None:
    with pytest.raises(MissingModelError, match="did you mean 'tiny-extreme'"):
        resolve("tiny-extrem")


def test_model_id_prefers_shipped_weights_then_the_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = read_entry(TINY).model_id
    assert for_model_id(identity).path == folder / "a.safetensors"
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    row = {
        "name": "shipped", "file": "z.safetensors", "codec": "extreme", "model_id": identity.hex(), "licence": "test",
        "size_bytes": 1, "has_realism": False, "sha256": "",
    }  # fmt: skip
    (shipped / "manifest.json").write_text(json.dumps({"models": [row]}))
    monkeypatch.setattr(registry, "shipped_folder", lambda: shipped)
    no_search(monkeypatch)
    assert for_model_id(identity).path == shipped / "z.safetensors"
