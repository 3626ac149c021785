"""info, verify, models and --help; and that these need no torch, numpy or Pillow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gancodec import __version__, registry
from gancodec.cli import inspecting
from gancodec.errors import WrongModelError
from gancodec.picture import Metadata

Save = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> registry.ModelEntry:
    entry = registry.ModelEntry(
        name="photo",
        path=Path("/weights/photo.safetensors"),
        codec="photo",
        model_id=bytes.fromhex("fa6ec0de"),
        licence="Apache-2.0",
        size_bytes=12_345_678,
        has_realism=False,
    )
    monkeypatch.setattr(inspecting, "known_models", lambda: [entry])
    return entry


def test_info_says_what_is_in_a_file(run: Any, gnc: Save, known: Any) -> None:
    size = gnc("a.gnc", alpha=True, metadata=Metadata(exif=b"II*\0exif" * 99)).stat().st_size
    done = run("info", "a.gnc")
    assert done.code == 0
    text = done.out.decode()
    for part in ("9 x 6 pixels, RGBA", "fa6ec0de (photo)", f"{size:,} bytes", "alpha", "EXIF", "quality   60"):
        assert part in text
    (row,) = run("info", "a.gnc", "--json").rows
    assert row["input"] == "a.gnc"
    assert (row["width"], row["height"], row["mode"], row["quality"], row["bytes"]) == (9, 6, "RGBA", 60, size)
    assert (row["model_id"], row["model"], row["damaged"]) == ("fa6ec0de", "photo", [])
    assert row["bpp"] == 8 * size / 54
    assert [chunk["type"] for chunk in row["chunks"]] == ["ALPH", "EXIF"]
    # 28 bytes of header; a chunk has 4 of type, 1 or 2 of length and 4 of checksum around its data
    assert sum(chunk["bytes"] for chunk in row["chunks"]) == pytest.approx(size - 28 - 18 - row["payload_bytes"], abs=3)


def test_info_of_a_codec_with_one_rate_needs_no_torch() -> None:
    golden = ROOT / "tests" / "golden"
    code = "import sys; from gancodec.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "info", str(golden / "extreme-70x90-uniform.gnc")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GANCODEC_CODECS": str(golden)}
    texts = [
        subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=True).stdout
        for options in ([], ["--json"])
    ]
    for part in ("quality   one rate only", "(tiny-extreme)", "uniform tables"):
        assert part in texts[0]
    row = json.loads(texts[1])
    assert (row["quality"], row["model"], row["codec"]) == (None, "tiny-extreme", "extreme")


def test_info_says_when_metadata_is_damaged_and_which_model_is_unknown(run: Any, gnc: Save, known: Any) -> None:
    path = gnc("a.gnc", metadata=Metadata(exif=b"II*\0exif"), model_id=b"\1\2\3\4")
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)
    done = run("info", "a.gnc")
    assert done.code == 0
    assert b"damaged   EXIF" in done.out
    assert b"not among the known" in done.out
    (row,) = run("info", "a.gnc", "--json").rows
    assert row["model"] is None
    assert len(row["damaged"]) == 1


def test_info_works_without_a_readable_manifest(run: Any, gnc: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[registry.ModelEntry]:
        raise WrongModelError("manifest.json is damaged", hint="install gancodec again")

    monkeypatch.setattr(inspecting, "known_models", broken)
    gnc("a.gnc")
    done = run("info", "a.gnc")
    assert done.code == 0
    assert done.lines == ["gancodec: warning: manifest.json is damaged; install gancodec again"]


def test_json_of_a_failing_info_is_an_error_object(run: Any, gnc: Save) -> None:
    gnc("a.gnc")
    good, bad = run("info", "a.gnc", "b.gnc", "--json").rows
    assert good["input"] == "a.gnc"
    assert bad == {"input": "b.gnc", "error": "no such file; check the name", "exit_code": 3}


def test_verify_says_ok(run: Any, gnc: Save) -> None:
    gnc("a.gnc")
    done = run("verify", "a.gnc")
    assert (done.code, done.out, done.err) == (0, b"a.gnc: ok\n", "")
    (row,) = run("verify", "a.gnc", "--json").rows
    assert (row["input"], row["ok"]) == ("a.gnc", True)


def test_verify_finds_wrong_symbols(run: Any, gnc: Save, loader: Any) -> None:
    path = gnc("a.gnc")
    data = bytearray(path.read_bytes())
    data[24] ^= 1  # the symbol checksum, which only the codec can check
    path.write_bytes(data)
    assert run("info", "a.gnc").code == 0
    done = run("verify", "a.gnc")
    assert done.code == 4
    assert done.lines == ["gancodec: error: a.gnc: symbol checksum is wrong; damaged"]


def test_models_are_listed(run: Any, known: Any) -> None:
    head, line = run("models").out.decode().splitlines()
    assert head.split()[0] == "NAME"
    assert line.split() == ["photo", "photo", "fa6ec0de", "Apache-2.0", "12,345,678", "/weights/photo.safetensors"]
    (row,) = run("models", "--json").rows
    assert (row["name"], row["model_id"], row["bytes"]) == ("photo", "fa6ec0de", 12_345_678)


def test_the_version_is_shown(run: Any) -> None:
    assert run("--version").out.decode() == f"gancodec {__version__}\n"


@pytest.mark.parametrize("command", [[], ["compress"], ["decompress"], ["info"], ["verify"], ["models"]])
def test_help_has_examples(command: list[str], run: Any) -> None:
    done = run(*command, "--help")
    assert done.code == 0
    assert b"  gancodec " in done.out or b"GANCODEC_CODECS=" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    "arguments", [["info", "a.gnc"], ["models"], ["--help"], ["compress", "--help"], ["--version"]]
)
def test_torch_numpy_and_pillow_are_not_imported(arguments: list[str], gnc: Save, folder: Path) -> None:
    gnc("a.gnc")
    traps = folder / "traps"
    traps.mkdir()
    for name in ("torch", "numpy", "PIL", "rich"):
        (traps / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(traps), str(ROOT))), "TYPER_USE_RICH": "1"}
    command = [sys.executable, "-m", "gancodec", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
