"""The options of `gancodec eval` and `compare`: names and choices.  Loads neither torch nor numpy."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gancodec.cli.completing import codec_lists
from gancodec.cli.suggestions import did_you_mean
from gancodec.defaults import EFFORT_MAX
from gancodec.errors import ConfigError

if TYPE_CHECKING:
    from gancodec.evaluation.request import EvalRequest

METRICS: Final = ("psnr", "ms-ssim", "ssimulacra2", "lpips", "dists", "fid")
"""Repeats those of gancodec.evaluation, which would load numpy for every --help; a test compares them.  So do the
others."""
AGAINST: Final = ("jpeg", "jpeg444", "webp", "avif", "jxl")
STDOUT: Final = "-"


class Reference(enum.StrEnum):
    """Pictures of which there are published curves."""

    KODAK = "kodak"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalOptions:
    """What the user gave."""

    inputs: list[Path]
    codec: str
    qualities: str
    realism: str
    effort: str
    against: str
    metrics: str
    features: str | None
    reference: Reference | None
    at_bpp: str | None
    device: str
    json: str | None
    curves: Path | None
    csv: Path | None
    markdown: Path | None
    plot: list[Path] | None
    save_images: Path | None
    report_pictures: int

    def request(self) -> EvalRequest:
        """What is to be measured.  Raises ConfigError, with the option's name, for what is no list of numbers."""
        from gancodec.evaluation.request import EvalRequest

        return EvalRequest(
            inputs=self.inputs,
            codecs=names("--codec", self.codec),
            qualities=numbers("--qualities", self.qualities),
            realisms=numbers("--realism", self.realism),
            efforts=efforts("--effort", self.effort),
            against=[] if self.against in ("none", "") else known("--against", self.against, AGAINST),
            metrics=known("--metrics", self.metrics, METRICS),
            features=self.features,
            reference=None if self.reference is None else self.reference.value,
            at_bpp=[] if self.at_bpp is None else numbers("--at-bpp", self.at_bpp),
            device=self.device,
            json=None if self.json in (None, STDOUT) else Path(self.json or ""),
            curves=self.curves,
            csv=self.csv,
            markdown=self.markdown,
            plots=self.plot or (),
            save_images=self.save_images,
            report_pictures=self.report_pictures,
        )


def numbers(option: str, text: str) -> list[float]:
    """The numbers of a list with commas.  Raises ConfigError for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as exc:
        raise ConfigError(f"{option} is {text!r}", hint="give numbers, with commas between them") from exc


def efforts(option: str, text: str) -> list[int]:
    """The whole numbers of a list with commas.  Raises ConfigError for anything but 0 to 9."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 <= effort <= EFFORT_MAX for effort in found):
        hint = f"give whole numbers from 0 to {EFFORT_MAX}, with commas between them"
        raise ConfigError(f"{option} is {text!r}", hint=hint)
    return found


def names(option: str, text: str) -> list[str]:
    """The words of a list with commas.  Raises ConfigError for none."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise ConfigError(f"{option} is {text!r}", hint="give at least one name")
    return found


def known(option: str, text: str, choices: Sequence[str]) -> list[str]:
    """The words of a list with commas, in lower case.  Raises ConfigError for one that is no choice."""
    words = [word.lower() for word in names(option, text)]
    for word in words:
        if word not in choices:
            hint = f"{did_you_mean(word, choices)} known are {', '.join(choices)}".lstrip()
            raise ConfigError(f"{option} has no {word!r}", hint=hint)
    return words


def _file(option: str, text: str, metavar: str = "F") -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(option, metavar=metavar, help=text, show_default=False)
    return info


Inputs = Annotated[
    list[Path], typer.Argument(metavar="DIR|FILE...", help="Pictures; of folders those in them, not below.")
]
Codecs = Annotated[
    str,
    typer.Option(
        "--codec", metavar="NAME|PATH[,...]", help="What is measured; the first is compared with all.",
        autocompletion=codec_lists,
    ),
]  # fmt: skip
Qualities = Annotated[str, typer.Option("--qualities", metavar="Q[,Q...]", help="Of codecs, 0 to 100.")]
Realisms = Annotated[
    str, typer.Option("--realism", metavar="R[,R...]", help="0 (faithful) to 1 (generated detail), a curve each.")
]
Efforts = Annotated[
    str,
    typer.Option(
        "--effort",
        metavar="E[,E...]",
        help=f"Time for smaller files, 0 to {EFFORT_MAX}, a curve each; all are compared with the first.",
    ),
]
Against = Annotated[
    str, typer.Option("--against", metavar="C[,C...]|none", help=f"Other codecs: any of {', '.join(AGAINST)}.")
]
Metrics = Annotated[
    str, typer.Option("--metrics", metavar="M[,M...]", help=f"Any of {', '.join(METRICS)}; some need weights.")
]
Features = Annotated[
    str | None,
    _file("--features", "Measure lpips with this network, not AlexNet.", "PATH[:NET]"),
]
References = Annotated[
    Reference | None,
    typer.Option("--reference", help="Compare with published curves on these pictures, too.", show_default=False),
]
AtBpp = Annotated[str | None, _file("--at-bpp", "Compare all curves at these rates.", "R[,R...]")]
JsonFile = Annotated[
    str | None, _file("--json", "Everything; CompressAI's plot draws it. - is standard output, in place of tables.")
]
Curves = Annotated[
    Path | None, _file("--curves", "A .json for each curve, as CompressAI's eval_model writes them.", "DIR")
]
Csv = Annotated[Path | None, _file("--csv", "A line for each file that was measured.")]
Markdown = Annotated[Path | None, _file("--markdown", "The tables.")]
Plot = Annotated[
    list[Path] | None,
    _file("--plot", "The curves; .html is a report with before/after pictures. As often as you like.", "F.png|F.html"),
]
SaveImages = Annotated[Path | None, _file("--save-images", "Every decoded picture as PNG.", "DIR")]
ReportPictures = Annotated[
    int, typer.Option("--report-pictures", metavar="N", min=0, help="Pictures in a .html report.")
]
OnePicture = Annotated[str, typer.Argument(metavar="A", help="The original: a picture, or a .gnc file.")]
OtherPicture = Annotated[str, typer.Argument(metavar="B", help="What became of it.")]
Difference = Annotated[Path | None, _file("--difference", "Write |A - B| times --gain as a picture.", "F.png")]
Gain = Annotated[float, typer.Option("--gain", metavar="X", min=0.01, help="How much the difference is brightened.")]
CompareMetrics = Annotated[
    str, typer.Option("--metrics", metavar="M[,M...]", help=f"Any of {', '.join(METRICS[:-1])}.")
]
