"""`gancodec doctor`, `completion`, and what the user may have meant."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement as PackagingRequirement
from packaging.specifiers import SpecifierSet

from gancodec import registry
from gancodec.cli import doctor_codecs, doctor_machine, requirements
from gancodec.cli.completing import VARIABLE, codec_names
from gancodec.cli.main import main
from gancodec.cli.suggestions import did_you_mean

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped weights that holds the tiny codec only."""
    folder = tmp_path / "weights"
    folder.mkdir()
    file = shutil.copy(GOLDEN / "tiny.safetensors", folder)
    entry = registry.read_entry(Path(file))
    row = {
        "name": "tiny", "file": "tiny.safetensors", "codec": entry.codec, "model_id": entry.model_id.hex(),
        "licence": entry.licence, "size_bytes": entry.size_bytes, "has_realism": entry.has_realism,
        "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({"models": [row]}))
    for module in (registry, doctor_codecs):
        monkeypatch.setattr(module, "shipped_folder", lambda: folder)
    monkeypatch.delenv(registry.CODECS_VARIABLE, raising=False)
    return folder


def findings(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in rows}


@pytest.mark.usefixtures("weights")
def test_a_sound_installation_is_0(run: Any) -> None:
    done = run("doctor", "--device", "cpu", "--json")
    found = findings(done.rows)
    assert [row for row in found.values() if row["level"] == "FAIL"] == []
    assert done.code == 0
    for check in ("python", "constriction", "torch", "cuda", "pillow formats", "extra eval", "disk space"):
        assert check in found
    assert found["weights tiny"]["found"].endswith("SHA-256 as shipped")
    assert "round trip on cpu" in found["codec tiny"]["found"]


@pytest.mark.usefixtures("weights")
def test_people_get_a_line_a_finding_and_a_count(run: Any) -> None:
    lines = run("doctor").out.decode().splitlines()
    assert all(line.startswith(("ok ", "warning ", "FAIL ", "         -> ")) for line in lines[:-1])
    assert lines[-1].endswith(" 0 FAIL")


@pytest.mark.parametrize("damage", ["a byte", "gone", "manifest"])
def test_damaged_weights_fail_and_the_rest_is_still_looked_at(damage: str, weights: Path, run: Any) -> None:
    file = weights / "tiny.safetensors"
    match damage:
        case "a byte":
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(data)
        case "gone":
            file.unlink()
        case "manifest":
            (weights / "manifest.json").write_text("{}")
    done = run("doctor", "--json")
    found = findings(done.rows)
    failed = [row for row in found.values() if row["level"] == "FAIL"]
    assert done.code == 1
    assert [row["check"].split()[0] for row in failed] == ["weights"]
    assert "install gancodec again" in failed[0]["advice"]
    assert "torch" in found


@pytest.mark.usefixtures("weights")
def test_codecs_of_the_user_are_tried(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray((GOLDEN / "tiny-extreme.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "mine").mkdir()
    (folder / "mine" / "mine.safetensors").write_bytes(data)
    monkeypatch.setenv(registry.CODECS_VARIABLE, os.pathsep.join([str(folder / "mine"), str(folder / "gone")]))
    done = run("doctor", "--json")
    found = findings(done.rows)
    assert done.code == 1
    assert found["codec tiny"]["level"] == "ok"
    assert found["codec tiny-extreme"]["level"] == "FAIL"
    assert "again" in found["codec tiny-extreme"]["advice"]
    assert found["GANCODEC_CODECS"]["level"] == "warning"


@pytest.fixture
def mine(weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of GANCODEC_CODECS."""
    (folder / "mine").mkdir()
    monkeypatch.setenv(registry.CODECS_VARIABLE, str(folder / "mine"))
    return folder / "mine"


def header_of(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (lambda data: data[: len(data) // 2], "codec tiny-extreme"),
        (lambda data: data[:100], "weights b.safetensors"),
        (lambda data: b"", "weights b.safetensors"),
        (lambda data: bytes(8) + data[8:], "weights b.safetensors"),
        (lambda data: b"\xff" * 8 + data[8:], "weights b.safetensors"),
        (lambda data: header_of(b"[" * 200_000), "weights b.safetensors"),
        (lambda data: header_of(b'{"__metadata__": {"model_id": {}, "name": {}}}'), "weights b.safetensors"),
        (lambda data: header_of(b'{"__metadata__": {"model_id": "x"}}'), "weights b.safetensors"),
    ],
)  # fmt: skip
def test_damaged_weights_of_the_user_fail_with_advice_and_hide_nothing(
    damage: Any, check: str, mine: Path, run: Any
) -> None:
    whole = (GOLDEN / "tiny-extreme.safetensors").read_bytes()
    (mine / "a.safetensors").write_bytes((GOLDEN / "tiny.safetensors").read_bytes())
    (mine / "b.safetensors").write_bytes(damage(whole))
    (mine / "c.safetensors").write_bytes(whole)
    done = run("doctor", "--json", "--device", "cpu")
    failed = [row for row in done.rows if row["level"] == "FAIL"]
    assert done.code == 1
    (row,) = failed
    assert row["check"].startswith(check)
    assert "b.safetensors" in row["check"] + row["found"] and row["advice"]
    tried = [row for row in done.rows if row["level"] != "FAIL" and row["check"].startswith("codec ")]
    assert len(tried) == 3  # the shipped one, a and c


def test_weights_of_other_programs_are_passed_over(mine: Path, run: Any) -> None:
    (mine / "other.safetensors").write_bytes(header_of(b'{"a": {"dtype": "F32"}}'))
    (mine / "checkpoint-both.safetensors").write_bytes(header_of(b'{"__metadata__": {"progress": "{}"}}'))
    done = run("doctor", "--json", "--device", "cpu")
    assert done.code == 0
    assert "safetensors is" not in done.out.decode()


def test_codecs_of_one_name_are_told_apart(mine: Path, run: Any, weights: Path) -> None:
    shutil.copy(GOLDEN / "tiny.safetensors", mine / "same.safetensors")
    done = run("doctor", "--json", "--device", "cpu")
    checks = [row["check"] for row in done.rows if row["check"].startswith(("weights", "codec"))]
    assert len(set(checks)) == len(checks)
    assert {f"codec tiny ({weights / 'tiny.safetensors'})", f"codec tiny ({mine / 'same.safetensors'})"} <= {*checks}
    row = findings(done.rows)[f"weights tiny ({mine / 'same.safetensors'})"]
    assert row["level"] == "warning" and str(mine / "same.safetensors") in row["advice"]


def test_advice_stands_on_a_line_of_its_own(mine: Path, run: Any) -> None:
    (mine / "b.safetensors").write_bytes(b"")
    lines = run("doctor", "--device", "cpu").out.decode().splitlines()
    (at,) = (place for place, line in enumerate(lines) if line.startswith("FAIL"))
    assert lines[at + 1].startswith("         -> copy or train it again")


@pytest.mark.usefixtures("weights")
def test_another_picture_is_a_failure(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_codecs, "_difference", lambda a, b: 44.0)
    done = run("doctor", "--json")
    assert (done.code, findings(done.rows)["codec tiny"]["level"]) == (1, "FAIL")


def test_the_test_picture_tells_what_is_wrong_from_what_is_lossy() -> None:
    picture = doctor_codecs._test_picture()
    assert doctor_codecs._difference(picture, picture) == 0
    assert doctor_codecs._difference(picture, picture.rotate(180)) > doctor_codecs.LARGEST_DIFFERENCE


def test_without_torch_it_says_so_and_goes_on() -> None:
    code = "import sys; sys.modules['torch'] = None; from gancodec.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor"], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1
    assert failed[0].split()[1] == "torch"
    assert "not tried, for want of torch" in done.stdout


def test_a_broken_library_fails_with_what_to_do(run: Any, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.6.1" if name == "constriction" else installed(name))
    monkeypatch.setitem(sys.modules, "rich", None)
    done = run("doctor", "--json")
    found = findings(done.rows)
    assert done.code == 1
    assert found["constriction"]["found"] == "0.6.1, but gancodec wants >=0.5,<0.6"
    assert found["constriction"]["advice"] == "pip install 'constriction>=0.5,<0.6'"
    assert found["rich"]["found"].startswith("cannot be imported")


def test_what_a_check_raises_is_a_finding(run: Any, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(doctor_machine, "extras", broken)
    row = findings(run("doctor", "--json").rows)["extras"]
    assert (row["level"], row["found"]) == ("FAIL", "RuntimeError: two lines")


@pytest.mark.parametrize(
    ("said", "device", "level", "found"),
    [
        ("Found no NVIDIA driver on your system. Please check", "auto", "ok", "no NVIDIA driver"),
        ("Found no NVIDIA driver on your system. Please check", "cuda", "FAIL", "no NVIDIA driver"),
        ("The NVIDIA driver on your system is too old (found version 11040).", "auto", "warning", "too old"),
        (None, "auto", "ok", "built without CUDA"),
    ],
)
def test_it_says_why_there_is_no_cuda(
    said: str | None, device: str, level: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None if said is None else "13.2")
    monkeypatch.setattr(torch, "zeros", refuse)
    (finding,) = doctor_machine.cuda(device)
    assert finding.level == level
    assert found in finding.found


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (3 << 30, 4 << 30))
    (finding,) = doctor_machine.cuda("auto")
    assert (finding.check, finding.level) == ("cuda:0", "ok")
    assert finding.found.startswith("A GPU, 3.0 of 4.0 GiB free")


def test_a_gpu_is_left_alone_where_it_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("a GPU was touched")

    for name in ("is_available", "device_count", "get_device_name", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, touched)
    (finding,) = doctor_machine.cuda("cpu")
    assert (finding.check, finding.level) == ("cuda", "ok")


def test_a_gpu_that_cannot_be_asked_does_not_hide_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(index: int) -> tuple[int, int]:
        if index == 0:
            raise RuntimeError("CUDA error: out of memory")
        return 3 << 30, 4 << 30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    first, second = doctor_machine.cuda("auto")
    assert (first.check, first.level, second.check, second.level) == ("cuda:0", "FAIL", "cuda:1", "ok")
    assert "out of memory" in first.found and first.advice


# Requirements


def project_lines() -> list[tuple[str, str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [("", line) for line in project["dependencies"]]
    return lines + [(name, line) for name, extra in project["optional-dependencies"].items() for line in extra]


def test_requirements_are_read_as_pip_reads_them() -> None:
    for extra, line in project_lines():
        ours, pips = requirements.parse(line, extra), PackagingRequirement(line)
        assert (ours.name, ours.extra) == (pips.name, extra)
        for version in ("0.0.1", "0.4.3", "0.5", "0.5.9", "0.6", "1.0.0", "1.25", "2.6.0", "2.9", "13.7.1", "99"):
            assert ours.allows(version) == pips.specifier.contains(version), (line, version)


@pytest.mark.parametrize("version", ["3.10.13", "3.11.0", "3.12.9", "3.13.0"])
def test_pythons_bounds(version: str) -> None:
    assert requirements.within(version, ">=3.11,<3.13") == SpecifierSet(">=3.11,<3.13").contains(version)


def test_local_versions_count_as_their_release() -> None:
    assert requirements.within("2.9.0+cpu", ">=2.9")
    assert not requirements.within("2.8.1+cu128", ">=2.9")


def test_an_installed_wheel_is_asked_where_there_is_no_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = SimpleNamespace(
        requires=["constriction<0.6,>=0.5", 'scipy>=1.11; extra == "eval"', 'ray[data]>=2.30; extra == "ray"'],
        metadata={"Requires-Python": "<3.13,>=3.11"},
    )
    monkeypatch.setattr(requirements, "PROJECT_FILE", Path("/nowhere"))
    monkeypatch.setattr(metadata, "distribution", lambda name: installed)
    found = requirements.read_requirements()
    assert found is not None
    assert [str(each) for each in found.core()] == ["constriction<0.6,>=0.5"]
    assert [str(each) for each in found.of_extra("eval")] == ["scipy>=1.11"]
    assert [each.name for each in found.of_extra("ray")] == ["ray"]
    assert found.python == "<3.13,>=3.11"


# Completion


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("gancodec deco", ["decompress"]),
        ("gancodec compress --dev", ["--device"]),
        ("gancodec compress --device c", ["cpu", "cuda"]),
        ("gancodec decompress --format ", ["png", "jpeg", "webp", "avif"]),
        ("gancodec train --codec ph", ["photo"]),
        ("gancodec completion ", ["bash", "zsh", "fish"]),
        ("gancodec compress --codec ", ["extreme", "photo", "tiny", "tiny-extreme"]),
        ("gancodec decompress --codec ph", ["photo"]),
        ("gancodec verify --codec ti", ["tiny", "tiny-extreme"]),
        ("gancodec bench --codec none-such", []),
        ("gancodec eval --codec photo,", ["photo,extreme", "photo,tiny", "photo,tiny-extreme"]),
        ("gancodec serve --codec e", ["extreme"]),
        ("gancodec help com", ["compress", "completion", "compare"]),
        ("gancodec help exit", ["exit-codes"]),
        ("gancodec compress pho", []),  # the shell's own file names
        ("gancodec eval pho", []),
    ],
)
def test_commands_options_and_values_are_completed(
    line: str, completions: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(registry.CODECS_VARIABLE, str(GOLDEN))
    monkeypatch.setenv(VARIABLE, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == completions


def test_a_broken_manifest_completes_nothing(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (weights / "manifest.json").write_text("{}")
    assert codec_names("") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_ask_the_command_itself(shell: str, run: Any) -> None:
    done = run("completion", shell)
    assert done.code == 0
    for part in (f"{VARIABLE}=complete_{shell}", "gancodec"):
        assert part in done.out.decode()
    program = shutil.which(shell)
    if program:  # whether the shell can read it; -n runs nothing
        assert subprocess.run([program, "-n"], input=done.out, capture_output=True).returncode == 0


def test_another_shell_is_a_usage_error(run: Any) -> None:
    done = run("completion", "bsh")
    assert done.code == 2
    assert "did you mean 'bash'?" in done.err


# What may have been meant


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["compres", "a.png"], "'compress'"),
        (["docter"], "'doctor'"),
        (["compress", "--qualty", "3", "a.png"], "'--quality'"),
        (["models", "--jsn"], "'--json'"),
        (["compress", "--device", "cdua", "a.png"], "'cuda'"),
        (["compress", "--fallback", "Kepp", "a.png"], "'keep'"),
        (["decompress", "--format", "jpg", "a.gnc"], "'jpeg'"),
        (["eval", "--reference", "kodka", "a"], "'kodak'"),
        (["train", "--codec", "foto", "--data", "d", "--out", "o"], "'photo'"),
    ],
)
def test_a_near_word_is_named(arguments: list[str], meant: str, run: Callable[..., Any]) -> None:
    done = run(*arguments)
    assert done.code == 2
    (line,) = done.lines
    assert line.endswith(f"; did you mean {meant}? Try --help")


def test_far_words_are_not() -> None:
    assert did_you_mean("xyzzy", ["cpu", "cuda"]) == ""


def test_all_values_are_named_beside_the_near_one(run: Any) -> None:
    assert run("compress", "--device", "abacus", "a.png").lines == [
        "gancodec: error: Invalid value for '--device': 'abacus' is not one of auto, cpu, cuda; Try --help"
    ]
