"""`gancodec eval` and `compare`: options, outputs, exit codes."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gancodec.cli import eval_options, measuring_commands
from gancodec.cli.failures import SOME_FAILED
from gancodec.errors import OutputError
from gancodec.evaluation import classical, columns, published, request
from gancodec.evaluation.published import KODAK_NAMES
from tests.evaluation.conftest import FakeCodec, photo_like

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def codecs(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    """A `gancodec.codec` whose every codec is a fake one; `rough` has neither quality nor realism."""
    fake, rough = FakeCodec(), FakeCodec("rough", has_quality=False, has_realism=False)
    module = types.ModuleType("gancodec.codec")
    loader = staticmethod(lambda name, device: rough if name == "rough" else fake)
    module.Codec = type("Codec", (), {"load": loader})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gancodec.codec", module)
    return fake


@pytest.fixture
def photos(folder: Path) -> Path:
    path = folder / "photos"
    path.mkdir()
    for index in range(2):
        Image.fromarray(photo_like(192, 168, seed=index)).save(path / f"photo{index}.png")
    return path


def test_tables_are_printed_and_what_was_asked_for_is_written(run: Run, photos: Path) -> None:
    done = run(
        "eval", photos, "--qualities", "0,50,100", "--against", "jpeg", "--json", "o.json", "--csv", "o.csv",
        "--markdown", "o.md", "--plot", "o.png", "--curves", "curves", "--at-bpp", "1,2",
    )  # fmt: skip
    assert done.code == 0
    assert "BD-rate of fake (realism 0, effort 1)" in done.out.decode() and "At equal rates" in done.out.decode()
    assert "[2/2] photo1.png" in done.err
    assert all(Path(name).stat().st_size > 500 for name in ("o.json", "o.csv", "o.md", "o.png"))
    assert {path.name for path in Path("curves").iterdir()} == {"fake.json", "JPEG.json"}
    assert not list(Path().glob(".*"))


def test_a_report_that_cannot_be_written_loses_neither_tables_nor_other_reports(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(result: object) -> str:
        raise OutputError("cannot write o.json: No space left on device", hint="check the space")

    monkeypatch.setattr("gancodec.evaluation.request.as_json", full)
    done = run("eval", photos, "--qualities", "50", "--against", "none", "--json", "o.json", "--csv", "o.csv")
    assert done.code == OutputError.exit_code
    assert "Means over 2 pictures" in done.out.decode()
    assert done.lines[-1].startswith("gancodec: error: cannot write o.json: No space left")
    assert Path("o.csv").stat().st_size > 200


def test_names_that_are_no_text_are_escaped_in_tables_and_files(run: Run, photos: Path) -> None:
    Image.fromarray(photo_like(192, 168)).save(os.fsdecode(os.fsencode(photos) + b"/a\xff\n.png"), "PNG")
    done = run("eval", photos, "--qualities", "50", "--against", "none", "--json", "o.json", "--csv", "o.csv")
    assert done.code == 0
    assert r"a\udcff\n.png" in Path("o.csv").read_text()


def test_json_on_standard_output_takes_the_tables_place(run: Run, photos: Path) -> None:
    done = run("eval", photos, "--qualities", "10,90", "--against", "none", "--json", "-")
    assert json.loads(done.out)["name"] == "fake"


def test_folder_with_all_kinds_is_evaluated_to_the_end(run: Run, photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no")
    Image.fromarray(photo_like(192, 168)).convert("L").save(photos / "grey.png")
    clear = Image.fromarray(photo_like(192, 168)).convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    clear.save(photos / "clear.png")
    done = run("eval", photos, "--qualities", "50", "--against", "none")
    assert done.code == SOME_FAILED
    assert "Means over 3 pictures" in done.out.decode()
    assert "Skipped: 2 of 5 pictures" in done.out.decode() and "is partly transparent" in done.out.decode()
    assert "2 of 5 pictures were left out" in done.lines[-1]


def test_metrics_that_need_what_is_not_there_are_said_to_be_skipped(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = columns.find_spec
    monkeypatch.setattr(columns, "find_spec", lambda name: None if name == "torch_fidelity" else found(name))
    done = run("eval", photos, "--qualities", "50", "--against", "none", "--metrics", "psnr,fid")
    assert done.code == 0
    assert "skipped: needs torch-fidelity; pip install" in done.out.decode()
    assert any("fid skipped: needs torch-fidelity" in line for line in done.lines)
    done = run("eval", photos, "--qualities", "50", "--against", "none", "--metrics", "fid")
    assert done.code == 2 and "nothing to measure" in done.err


def test_missing_extra_is_found_before_the_first_picture(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = request.find_spec
    monkeypatch.setattr(request, "find_spec", lambda name: None if name == "scipy" else found(name))
    done = run("eval", photos)
    assert done.code == 2 and "needs scipy; pip install" in done.err and "photo0" not in done.err


@pytest.mark.parametrize(
    "options",
    [
        ["--reference", "kodak"],
        ["--against", "bpg"],
        ["--metrics", "vmaf"],
        ["--qualities", "ten"],
        ["--json", "missing/out.json"],
        ["--csv", "."],
        ["--json", "same", "--csv", "same"],
        ["--plot", "curves.xyz"],
        ["--codec", ""],
        ["--metrics", ","],
        ["--save-images", "missing/out"],
        ["--save-images", __file__],
        ["--curves", __file__],
        ["--at-bpp", "0.1,0"],
        ["--realism", "0,2"],
        ["--codec", "rough", "--realism", "1"],
        ["--effort", "10"],
        ["--effort", "0,-1"],
        ["--effort", "1.5"],
        ["--effort", "1,"],
        ["--effort", ""],
        ["--effort", "most"],
        ["--codec", "a,a,rough", "--against", "jpeg,jpeg"],
        ["--report-pictures", "-1"],
    ],
    ids=[
        "pictures are not Kodak", "unknown codec", "unknown metric", "no number", "no such folder", "file is a folder",
        "two of one name", "no kind of plot", "no codec", "no metric",
        "no such folder of images", "images into a file", "curves into a file", "rate 0", "realism above 1",
        "realism of a codec without", "effort above 9", "effort below 0", "half an effort", "half a list of efforts",
        "no effort", "effort in words", "a codec twice", "fewer than no pictures",
    ],
)  # fmt: skip
def test_wrong_options_are_one_line_and_2(run: Run, photos: Path, options: list[str]) -> None:
    done = run("eval", photos, *options)
    assert (done.code, done.out) == (2, b"")
    assert done.lines[-1].startswith("gancodec: error: ")
    if options[0] == "--effort":
        assert f"--effort is {options[1]!r}; give whole numbers from 0 to 9" in done.lines[-1]


def test_a_list_of_efforts_is_a_curve_each_against_the_first(run: Run, photos: Path, codecs: FakeCodec) -> None:
    done = run(
        "eval", photos, "--codec", "fake,rough", "--effort", "0,3,3", "--qualities", "10,50,90", "--against", "jpeg",
        "--json", "o.json", "--csv", "o.csv", "--plot", "o.png", "--plot", "o.html", "--report-pictures", "1",
        "--save-images", "images",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "rough has one rate: effort changes nothing, and it is measured once" in done.err
    assert codecs.efforts_seen[:12] == 2 * [0, 0, 0, 3, 3, 3]
    text = done.out.decode()
    assert "BD-rate of fake effort 0 (realism 0, effort 0)" in text and "Efforts against the first one" in text
    found = json.loads(Path("o.json").read_text())
    summary = found["summary"]
    assert [(curve["codec"], curve["settings"].split(";")[0]) for curve in summary["curves"][:3]] == [
        ("fake effort 0", "realism 0, effort 0"), ("fake effort 3", "realism 0, effort 3"),
        ("rough", "realism 0, one rate"),
    ]  # fmt: skip
    assert [curve["timing"]["load_s"] is None for curve in summary["curves"]] == [False, True, False, True]
    assert {each["against"] for each in summary["bd_rates"]} == {"JPEG"}
    (effort,) = summary["efforts"]
    assert (effort["codec"], effort["against"]) == ("fake effort 3", "fake effort 0")
    assert effort["encode_ratio"] > 0 and [each["metric"] for each in effort["bd_rates"]] == ["psnr", "ms-ssim"]
    assert all(each["percent"] < 0 for each in effort["bd_rates"])
    assert {row["effort"] for row in found["rows"]} == {0, 3, None}
    assert Path("o.csv").read_text().splitlines()[0].startswith("codec,quality,realism,effort,picture")
    assert "fake effort 3" in Path("o.html").read_text(encoding="utf-8")
    assert Path("images/photo0-fake_effort_3-q10-r0.png").is_file()


@pytest.mark.parametrize(("options", "name", "effort"), [([], "fake", 1), (["--effort", "3"], "fake effort 3", 3)])
def test_one_effort_is_in_the_name_unless_it_is_the_default(
    run: Run, photos: Path, codecs: FakeCodec, options: list[str], name: str, effort: int
) -> None:
    done = run("eval", photos, "--qualities", "10", "--against", "none", "--json", "-", *options)
    found = json.loads(done.out)
    assert (found["name"], found["description"]) == (name, f"realism 0, effort {effort}")
    assert set(codecs.efforts_seen) == {effort} and found["summary"]["efforts"] == found["summary"]["notes"] == []


def test_efforts_of_one_quality_have_their_times(run: Run, photos: Path) -> None:
    done = run("eval", photos, "--qualities", "50", "--effort", "0,1", "--against", "none")
    assert done.code == 0
    row = next(line for line in done.out.decode().splitlines() if line.startswith("fake effort 1") and " x " in line)
    assert "no figure: fake effort 1 has 1 of the 2 points it needs" in row
    assert "No BD-rate" not in done.out.decode()


def test_lists_of_codecs_and_realisms(run: Run, photos: Path) -> None:
    options = ["--codec", "fake,rough", "--qualities", "10,90", "--realism", "0,0.25", "--against", "none"]
    done = run("eval", photos, *options, "--save-images", "images")
    assert done.code == 0
    assert "rough has no realism generator: it is measured at realism 0" in done.err
    assert {path.name for path in Path("images").iterdir() if path.name.startswith("photo0")} == {
        "photo0-fake-q10-r0.png", "photo0-fake-q10-r0.25.png", "photo0-fake-q90-r0.png", "photo0-fake-q90-r0.25.png",
        "photo0-rough-r0.png",
    }  # fmt: skip


def test_two_trainings_of_one_codec_are_called_by_their_paths(run: Run, photos: Path) -> None:
    done = run("eval", photos, "--codec", "a/x,b/x", "--qualities", "10,90", "--against", "none", "--curves", "c")
    assert "BD-rate of a/x (realism 0, effort 1)" in done.out.decode()
    assert {path.name for path in Path("c").iterdir()} == {"a_x.json", "b_x.json"}


def test_features_are_loaded_from_a_file_and_missing_ones_are_5(run: Run, photos: Path) -> None:
    stages = {f"vgg16low.stages.{stage}.{place}": size for stage, place, size in [
        (0, 0, (64, 3)), (0, 1, (64, 64)), (1, 1, (128, 64)), (1, 2, (128, 128)),
    ]}  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    tensors = {f"{key}.weight": 0.1 * torch.randn(*size, 3, 3, generator=generator) for key, size in stages.items()}
    tensors |= {f"{key}.bias": torch.zeros(size[0]) for key, size in stages.items()}
    tensors |= {f"vgg16low.heads.{index}": torch.ones(width) for index, width in enumerate((64, 128))}
    save_file(tensors, "net.safetensors")
    options = ["eval", photos, "--qualities", "10,90", "--against", "none", "--features"]
    done = run(*options, "net.safetensors")
    assert done.code == 0 and "distance (vgg16low)" in done.out.decode()
    assert run(*options, "none.safetensors").code == 5


def test_published_curves_join_for_kodak(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "KODAK_SIDES_PX", {64, 48})
    (folder / "kodak").mkdir()
    for name in KODAK_NAMES:
        Image.fromarray(photo_like(64, 48)).save(folder / "kodak" / name)
    done = run("eval", "kodak", "--qualities", "0,50,100", "--against", "none", "--reference", "kodak")
    assert done.code == 0 and "cheng2020-attn (published)" in done.out.decode()
    with (folder / "kodak" / "kodim07.png").open("r+b") as file:
        file.truncate(200)  # its header is whole, its pixels are not
    done = run("eval", "kodak", "--qualities", "0,50,100", "--against", "none", "--reference", "kodak")
    assert done.code == SOME_FAILED and "(published)" not in done.out.decode()
    assert any("published curves are left out" in line for line in done.lines)


def test_report_with_pictures_survives_a_broken_namesake(run: Run, photos: Path, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "photo0.png").write_bytes(b"broken")
    options = ["--qualities", "10,90", "--against", "webp", "--plot", "r.html"]
    done = run("eval", photos, other, photos / "photo1.png", *options)
    assert done.code == SOME_FAILED and "Means over 2 pictures" in done.out.decode()
    page = Path("r.html").read_text(encoding="utf-8")
    assert page.count("data:image/webp;base64,") == 2 * 3 and "other/photo0.png" in page


def test_curves_and_report_are_drawn_from_one_measurement(run: Run, folder: Path, codecs: FakeCodec) -> None:
    Image.fromarray(photo_like(48, 40)).save("a.png")
    options = ["--qualities", "10,90", "--against", "none", "--metrics", "psnr"]
    done = run("eval", "a.png", *options, "--plot", "curves.png", "--plot", "report.html", "--report-pictures", "0")
    assert done.code == 0
    with Image.open("curves.png") as image:
        assert image.format == "PNG"
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert codecs.files_made == 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--plot", "same.png", "--plot", "same.png"], "same.png"),
        (["--plot", "same.html", "--plot", "other.png", "--plot", "./same.html"], "same.html"),
        (["--plot", "curves.png", "--plot", "curves.xyz"], "curves.xyz"),
        (["--plot", "curves.png", "--plot", "missing/curves.png"], "missing"),
    ],
    ids=["the same twice", "the same in other words", "second is no kind of plot", "second has no folder"],
)
def test_every_plot_is_checked_before_anything_is_measured(
    run: Run, photos: Path, codecs: FakeCodec, options: list[str], named: str
) -> None:
    done = run("eval", photos, *options)
    assert (done.code, done.out, codecs.files_made) == (2, b"", 0)
    assert named in done.lines[-1]
    assert not list(Path().glob("*.png"))


def test_devices_are_not_replaced_and_links_stay_links(run: Run, photos: Path, folder: Path) -> None:
    Path("target.csv").write_text("old")
    Path("link.csv").symlink_to("target.csv")
    options = ["eval", photos, "--qualities", "50", "--against", "none"]
    assert run(*options, "--csv", "link.csv").code == 0
    assert Path("link.csv").is_symlink() and "photo0.png" in Path("target.csv").read_text()
    os.mkfifo("pipe")
    done = run(*options, "--json", "pipe")
    assert done.code == 1 and "is not a regular file" in done.err and Path("pipe").is_fifo()


def test_small_pictures_have_a_note(run: Run, photos: Path) -> None:
    Image.fromarray(photo_like(100, 80)).save(photos / "small.png")
    text = run("eval", photos, "--qualities", "10,90", "--against", "none").out.decode()
    assert "No MS-SSIM: 1 of 3 pictures too small for it, such as small.png." in text


def test_the_choices_are_those_of_the_evaluation() -> None:
    assert eval_options.METRICS == columns.NAMES
    assert tuple(classical.CLASSICAL) == eval_options.AGAINST
    shown = {name: each.default for name, each in inspect.signature(measuring_commands.evaluate).parameters.items()}
    default = {each.name: each.default for each in dataclasses.fields(request.EvalRequest)}
    assert eval_options.numbers("", shown["qualities"]) == list(default["qualities"])
    assert eval_options.numbers("", shown["realism"]) == list(default["realisms"])
    assert eval_options.efforts("", shown["effort"]) == list(default["efforts"])
    assert eval_options.names("", shown["against"]) == list(default["against"])
    assert eval_options.names("", shown["metrics"]) == list(default["metrics"])
    assert shown["report_pictures"] == default["report_pictures"]


def test_two_pictures_are_compared(run: Run, folder: Path) -> None:
    picture = photo_like(192, 168)
    Image.fromarray(picture).save("a.png")
    lighter = picture.copy()
    lighter[:84] += np.uint8(3)
    Image.fromarray(lighter).save("b.png")
    done = run("compare", "a.png", "b.png", "--metrics", "psnr,ms-ssim,ssimulacra2", "--difference", "d.png")
    text = done.out.decode()
    assert done.code == 0
    assert "PSNR dB: 41.60" in text and "MS-SSIM: 0.99" in text and "SSIMULACRA2: " in text
    assert "greatest difference of a sample: 3 of 255" in text
    with Image.open("d.png") as image:
        assert image.getpixel((5, 5)) == (24, 24, 24) and image.getpixel((5, 160)) == (0, 0, 0)
    row = run("compare", "a.png", "a.png", "--json").rows[0]
    assert row["psnr"] is None and row["ms-ssim"] == 1 and row["greatest_difference"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("eval", "a.png", "--codec", "photo", "--codec=extreme"),
        ("eval", "a.png", "--effort", "0", "--against", "none", "--effort", "3"),
        ("bench", "--sizes", "64x64", "--sizes", "128x128"),
        ("train", "--lambda-x", "6", "--lambda-x", "12"),
    ],
)
def test_a_list_given_in_parts_is_refused(run: Run, folder: Path, arguments: tuple[str, ...]) -> None:
    """The last part alone would count."""
    done = run(*arguments)
    assert done.code == 2 and len(done.lines) == 1
    assert "given more than once" in done.lines[0] and "commas" in done.lines[0]


def test_what_stands_behind_a_double_dash_is_no_option(run: Run, folder: Path) -> None:
    done = run("eval", "--codec", "photo", "--", "--codec")
    assert "given more than once" not in done.lines[-1]


def test_a_measure_that_small_pictures_do_not_have_says_so(run: Run, folder: Path) -> None:
    Image.fromarray(photo_like(96, 80)).save("a.png")
    done = run("compare", "a.png", "a.png", "--metrics", "psnr,ms-ssim")
    assert done.code == 0
    assert "MS-SSIM: – (not defined for pictures as small as these)" in done.out.decode()
    assert run("compare", "a.png", "a.png", "--json").rows[0]["ms-ssim"] is None


@pytest.mark.parametrize(
    ("names", "options", "code"),
    [
        (("a.png", "none.png"), [], 3),
        (("a.png", "broken.png"), [], 3),
        (("a.png", "broken.gnc"), [], 4),
        (("a.png", "small.png"), [], 2),
        (("a.png", "a.png"), ["--metrics", "fid"], 2),
        (("a.png", "a.png"), ["--difference", "d.xyz"], 2),
        (("a.png", "a.png"), ["--difference", "missing/d.png"], 1),
        (("a.png", "b.png"), ["--difference", "b.png"], 2),
        (("a.png", "a.png"), ["--metrics", "FID"], 2),
        (("a.png", "a.png"), ["--realism", "3"], 2),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    run: Run, folder: Path, names: tuple[str, str], options: list[str], code: int, codecs: FakeCodec
) -> None:
    sys.modules["gancodec.codec"].Codec.for_file = staticmethod(lambda data, device: _read_header(data))  # type: ignore[attr-defined]
    Image.fromarray(photo_like(64, 48)).save("a.png")
    Image.fromarray(photo_like(64, 48)).save("b.png")
    Image.fromarray(photo_like(48, 64)).save("small.png")
    Path("broken.png").write_bytes(b"no")
    Path("broken.gnc").write_bytes(b"no")
    done = run("compare", *names, *options)
    assert (done.code, done.out) == (code, b"")
    assert len(done.lines) == 1
    assert not list(folder.glob(".*gncpart*"))


def _read_header(data: bytes) -> None:
    from gancodec.container import read_header

    read_header(data)
