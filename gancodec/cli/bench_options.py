"""The options of `gancodec bench`: what they are called, what they may be, what they are without being given.

Loads neither torch nor numpy: children measure their memory from the size of this process upwards.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import typer

from gancodec.cli.failures import InputError, wants_traceback
from gancodec.cli.inputs import expand
from gancodec.cli.options import in_range
from gancodec.defaults import EFFORT_MAX, PICTURE_SUFFIXES
from gancodec.errors import ConfigError
from gancodec.evaluation.bench.plan import (
    DEFAULT_PEERS,
    DEFAULT_QUALITY,
    DEFAULT_SIZES,
    MAX_SIDE_PX,
    PEERS,
    Request,
)
from gancodec.registry import resolve

NOBODY: Final = ("", "none")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchOptions:
    """What the user gave; None is what was not given."""

    pictures: Sequence[str]
    codec: str
    quality: float | None
    effort: int
    device: str
    sizes: str | None
    batch: str
    threads: int | None
    runs: int
    against: str
    memory: bool

    def request(self) -> Request:
        """What is to be measured.  Raises ConfigError, ModelError for the codec, InputError for missing pictures."""
        batches, peers = self._batches(), self._peers()
        if self.pictures and self.sizes is not None:
            raise ConfigError("--sizes is for generated pictures", hint="leave it out, or the pictures")
        sizes = DEFAULT_SIZES if self.sizes is None else self._sizes(self.sizes)
        entry = resolve(self.codec)
        if self.quality is not None:
            in_range("--quality", self.quality, 100)
            if not entry.has_quality:
                raise ConfigError(f"codec {entry.name!r} has one rate only", hint="leave --quality out")
        default_quality = DEFAULT_QUALITY if entry.has_quality else None
        return Request(
            codec=self.codec,
            label=f"gancodec {entry.name}",
            quality=default_quality if self.quality is None else self.quality,
            effort=self.effort if entry.has_quality else None,
            device=self.device,
            pictures=self._pictures(),
            sizes=sizes,
            batches=batches,
            threads=self.threads,
            runs=self.runs,
            peers=peers,
            memory=self.memory,
            show_tracebacks=wants_traceback(),
        )

    def _pictures(self) -> tuple[str, ...]:
        if not self.pictures:
            return ()
        sources = expand(self.pictures, recursive=False, suffixes=PICTURE_SUFFIXES)
        for source in sources:
            # Children read them, so only what needs no reading is looked at here.
            if source.path is None:
                raise ConfigError("bench does not read standard input", hint="name a file")
            if source.problem is not None:
                raise InputError(f"{source.name}: {source.problem.message}", hint=source.problem.hint)
            if not source.path.exists():
                raise InputError(f"{source.name}: no such file", hint="check the name")
        return _once("picture", [source.name for source in sources])

    @staticmethod
    def _sizes(text: str) -> tuple[tuple[int, int], ...]:
        sizes = []
        for part in _parts(text):
            match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", part)
            sides = tuple(map(int, match.groups())) if match else (0, 0)
            if not all(0 < side <= MAX_SIDE_PX for side in sides):
                raise ConfigError(
                    f"--sizes has {part!r}", hint=f"give WIDTHxHEIGHT such as 768x512, at most {MAX_SIDE_PX} each"
                )
            sizes.append((sides[0], sides[1]))
        return _once("--sizes", sizes)

    def _batches(self) -> tuple[int, ...]:
        parts = _parts(self.batch)
        if not all(re.fullmatch(r"[1-9][0-9]{0,3}", part) for part in parts):
            raise ConfigError(f"--batch is {self.batch!r}", hint="give numbers of pictures, such as 1 or 1,4")
        return _once("--batch", [int(part) for part in parts])

    def _peers(self) -> tuple[str, ...]:
        if self.against.strip() in NOBODY:
            return ()
        names = _parts(self.against)
        for name in names:
            if name not in PEERS:
                near = difflib.get_close_matches(name, PEERS, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ConfigError(
                    f"--against has {name!r}, which is not in compressai.zoo",
                    hint=f"{hint}known names: {', '.join(PEERS)}; none for no peers",
                )
        return _once("--against", names)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _once(option: str, values: Sequence[T]) -> tuple[T, ...]:
    """Raises ConfigError for a value that is there twice: tables would show it as two."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ConfigError(f"{option} has {value} twice", hint="give it once")
    return tuple(values)


Pictures = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE", help="In place of generated ones; colours only.", show_default=False),
]
Quality = Annotated[
    float | None,
    typer.Option(
        "--quality",
        metavar="0..100",
        help=f"Of ours; its price of bits is that of the peers' quality 4 at the default, {DEFAULT_QUALITY:g}.",
        show_default=False,
    ),
]
Effort = Annotated[
    int,
    typer.Option("--effort", metavar=f"0..{EFFORT_MAX}", min=0, max=EFFORT_MAX, help="Of ours; 0 is plain encoding."),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        metavar="WxH[,WxH...]",
        help=f"Of generated pictures. Default: {','.join(f'{w}x{h}' for w, h in DEFAULT_SIZES)}.",
        show_default=False,
    ),
]
Batches = Annotated[str, typer.Option("--batch", metavar="N[,N...]", help="Pictures that are decoded together.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, help="Of torch; default: as many as it takes.", show_default=False),
]
Runs = Annotated[int, typer.Option("--runs", metavar="N", min=1, help="Timed, after one to warm up.")]
Against = Annotated[
    str, typer.Option("--against", metavar="NAMES", help=f"Peers, separated by commas: none, or {', '.join(PEERS)}.")
]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Times only.")]
DEFAULT_AGAINST: Final = ",".join(DEFAULT_PEERS)
