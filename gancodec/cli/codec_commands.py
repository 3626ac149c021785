"""The commands about .gnc files: compress, decompress, info, verify, models."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from gancodec.cli import inspecting, options, report
from gancodec.cli.app import DeviceOption, Json, Task, app
from gancodec.cli.batch import Batch
from gancodec.cli.completing import codec_names
from gancodec.cli.exit_codes import of_command
from gancodec.cli.inputs import GNC_SUFFIXES, PassedBy, Source, expand, without_repeats
from gancodec.cli.item import Policy
from gancodec.cli.loading import Decoders
from gancodec.cli.options import Device, Fallback, OnInterrupt, PictureFormat, Tune
from gancodec.cli.outputs import names_folder, nested_in, plan
from gancodec.cli.refinement import Refinement
from gancodec.defaults import DEFAULT_CODEC, DEFAULT_EFFORT, DEFAULT_QUALITY, EFFORT_MAX, PICTURE_SUFFIXES
from gancodec.errors import ConfigError

if TYPE_CHECKING:
    from gancodec.cli.compressing import OpenPicture
    from gancodec.pipeline import Symbols

LONG_EFFORT = 4
"""The level from which on iterations are shown: those below have a few quick ones."""
FOLDER_HINT = "use -r to take the files in it"

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT", help="Files; folders with -r; - is standard input.")]
GncFiles = Annotated[list[str], typer.Argument(metavar="FILE", help=".gnc files; - is standard input.")]
Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE|DIR|-", help="Where to write; default: beside the input.", show_default=False
    ),
]
DecoderName = Annotated[
    str | None,
    typer.Option(
        "--codec", metavar="NAME|PATH", help="Default: the codec that the file names.", show_default=False,
        autocompletion=codec_names,
    ),
]  # fmt: skip
Recursive = Annotated[
    bool, typer.Option("-r", "--recursive", help="Search folders; -o DIR mirrors the tree below each of them.")
]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite outputs that exist.")]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Pass over inputs whose output is there and whole; refuse outputs that may be somebody's only copy of "
        "something else. compress then marks each .gnc file with a digest of its source (26 bytes), by which it knows "
        "it again; without, size, mode, metadata, codec, rate and clocks decide.",
    ),
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on after a failure; exit code 7 at the end.")]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="Turn the picture upright and drop EXIF and XMP; the profile stays.")
]


@app.command(epilog=of_command("compress"))
def compress(
    inputs: Inputs,
    output: Output = None,
    quality: Annotated[
        float | None,
        typer.Option("-q", "--quality", metavar="0..100", help=f"Default: {DEFAULT_QUALITY:g}.", show_default=False),
    ] = None,
    target_bpp: Annotated[
        float | None,
        typer.Option("--target-bpp", metavar="BPP", help="Largest file in bits per pixel.", show_default=False),
    ] = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            "--target-size",
            metavar="SIZE",
            help="Largest file in bytes, such as 50000, 50k, 1.5M (k = 1000) or 50KiB (Ki = 1024).",
            show_default=False,
        ),
    ] = None,
    effort: Annotated[
        int,
        typer.Option(
            "--effort", metavar=f"0..{EFFORT_MAX}", min=0, max=EFFORT_MAX,
            help="Time to spend on a better file, which opens as fast as any: 0 is the fastest, 1 takes about twice as "
            "long, 4 tens and 9 thousands of times. Codecs of one rate, such as extreme, have nothing to spend it on.",
        ),
    ] = DEFAULT_EFFORT,
    tune: Annotated[
        Tune,
        typer.Option(
            "--tune",
            help="What effort is spent on: fidelity is for decompressing as it is, realism for --realism 1 and needs "
            "--features.",
        ),
    ] = Tune.FIDELITY,
    features: Annotated[
        str | None,
        typer.Option(
            "--features", metavar="vgg19|PATH[:NET]", show_default=False,
            help="Network of the perceptual distance of --tune realism; vgg19 is torchvision's.",
        ),
    ] = None,
    on_interrupt: Annotated[
        OnInterrupt,
        typer.Option(
            "--on-interrupt",
            help="What Ctrl-C does to pictures that effort is being spent on: write the best so far, and end, or write "
            "nothing of them. A second Ctrl-C discards. The exit code is 130 either way.",
        ),
    ] = OnInterrupt.DISCARD,
    codec: Annotated[
        str,
        typer.Option("--codec", metavar="NAME|PATH", help="See `gancodec models`.", autocompletion=codec_names),
    ] = DEFAULT_CODEC,
    device: DeviceOption = Device.AUTO,
    recursive: Recursive = False,
    force: Force = False,
    skip_existing: SkipExisting = False,
    keep_going: KeepGoing = False,
    fallback: Annotated[
        Fallback,
        typer.Option(
            "--fallback",
            help="Where the .gnc file is not smaller: write it, or keep the source alone; an older .gnc file is named "
            "then, and with -f removed.",
        ),
    ] = Fallback.WRITE,
    convert_16_bit: Annotated[
        bool, typer.Option("--convert-16-bit", help="Reduce pictures of 16 bits to 8 instead of refusing them.")
    ] = False,
    no_metadata: NoMetadata = False,
    json: Json = False,
) -> Task:
    """Compress pictures to .gnc files.

    \b
    gancodec compress photo.jpg                       writes photo.gnc
    gancodec compress photo.jpg -q 30 -o small.gnc    lower quality, other name
    gancodec compress photo.jpg --target-size 50k     at most 50,000 bytes
    gancodec compress photo.jpg --effort 7            takes its time, for a better file
    gancodec compress -r photos -o packed/            a whole tree
    gancodec compress -r photos -o packed/ --keep-going --skip-existing --fallback keep
    cat photo.jpg | gancodec compress - > photo.gnc   in a pipe
    """
    rate = options.rate_from(quality, target_bpp, target_size)
    refinement = Refinement(keeps=on_interrupt is OnInterrupt.KEEP, is_long=effort >= LONG_EFFORT)
    wanted = options.effort_from(effort, tune, features, refinement.step)
    passed = PassedBy()
    sources = _sources(inputs, output, recursive, PICTURE_SUFFIXES, passed)
    into_folder = names_folder(output, sources, GNC_SUFFIXES)
    keep_larger = fallback is Fallback.KEEP
    policy = _policy(force, skip_existing, keep_going, json, into_folder, writes_gnc=True, keep_larger=keep_larger)
    jobs = plan(
        sources, output, into_folder=into_folder, json=json, suffix=".gnc", replaces=None, keep_going=keep_going
    )
    if keep_larger and any(job.output is None and job.source.problem is None for job in jobs):
        raise ConfigError("--fallback keep has no meaning for standard output", hint="use -o FILE")

    def task() -> int:
        from gancodec.cli.compressing import Compression

        operation = Compression(
            rate=rate,
            codec_name=codec,
            device=device.value,
            effort=wanted,
            refinement=refinement,
            convert_16_bit=convert_16_bit,
            keep_metadata=not no_metadata,
            mark_source=skip_existing,
        )
        batch: Batch[OpenPicture, Symbols | bytes] = Batch(operation, policy, passed, refinement)
        return batch.run(jobs)

    return task


@app.command(epilog=of_command("decompress"))
def decompress(
    inputs: Inputs,
    output: Output = None,
    codec: DecoderName = None,
    realism: Annotated[
        float | None,
        typer.Option("--realism", metavar="0..1", help="0 is faithful, 1 invents fine detail.", show_default=False),
    ] = None,
    format: Annotated[
        PictureFormat | None,
        typer.Option("--format", help="Default: by the suffix of -o FILE, else png.", show_default=False),
    ] = None,
    device: DeviceOption = Device.AUTO,
    recursive: Recursive = False,
    force: Force = False,
    skip_existing: SkipExisting = False,
    keep_going: KeepGoing = False,
    no_metadata: NoMetadata = False,
    json: Json = False,
) -> Task:
    """Decompress .gnc files to pictures.

    \b
    gancodec decompress photo.gnc                     writes photo.png
    gancodec decompress photo.gnc -o view.webp        the suffix gives the format
    gancodec decompress photo.gnc --realism 1         with invented fine detail
    gancodec decompress -r packed -o photos/          a whole tree
    gancodec decompress - < photo.gnc > photo.png     in a pipe
    """
    if realism is not None:
        options.in_range("--realism", realism, 1)
    passed = PassedBy()
    sources = _sources(inputs, output, recursive, GNC_SUFFIXES, passed)
    into_folder = names_folder(output, sources, options.FORMAT_OF_SUFFIX)
    picture_format = options.format_from(format, output, output_is_folder=into_folder)
    policy = _policy(force, skip_existing, keep_going, json, into_folder)
    suffix = options.SUFFIX_OF_FORMAT[picture_format]
    jobs = plan(
        sources, output, into_folder=into_folder, json=json, suffix=suffix, replaces=".gnc", keep_going=keep_going
    )

    def task() -> int:
        from gancodec.cli.decompressing import Decompression

        operation = Decompression(
            decoders=Decoders(codec, device.value),
            format=picture_format,
            realism=realism,
            keep_metadata=not no_metadata,
        )
        return Batch(operation, policy, passed).run(jobs)

    return task


@app.command(epilog=of_command("info"))
def info(files: GncFiles, json: Json = False) -> Task:
    """Say what is in .gnc files.

    Checks them as far as that goes without the networks, and needs no torch.

    \b
    gancodec info photo.gnc
    gancodec info *.gnc --json
    """
    return lambda: inspecting.info(files, as_json=json)


@app.command(epilog=of_command("verify"))
def verify(files: GncFiles, codec: DecoderName = None, device: DeviceOption = Device.AUTO, json: Json = False) -> Task:
    """Check .gnc files completely.

    Every coded symbol is decoded and compared; no picture is made.

    \b
    gancodec verify photo.gnc              prints "photo.gnc: ok"
    """
    return lambda: inspecting.verify(files, decoders=Decoders(codec, device.value), as_json=json)


@app.command(epilog=of_command("models"))
def models(json: Json = False) -> Task:
    """List the codecs that are there.

    Those shipped, and those in the folders of GANCODEC_CODECS.

    \b
    GANCODEC_CODECS=~/codecs gancodec models
    """
    return lambda: inspecting.models(as_json=json)


def _sources(
    inputs: list[str], output: str | None, recursive: bool, suffixes: Collection[str], passed: PassedBy
) -> list[Source]:
    """The inputs, each once, and a word about those that were given again."""
    found = expand(inputs, recursive=recursive, suffixes=suffixes, folder_hint=FOLDER_HINT, passed=passed)
    sources = without_repeats(found, mirrored=output is not None)
    if repeats := len(found) - len(sources):
        report.say(f"{repeats} input{'' if repeats == 1 else 's'} given more than once, done once")
    if recursive and output is not None and (folder := nested_in(output, inputs)) is not None:
        what = "later runs with -r may take results for inputs"
        report.say(f"warning: -o {output} lies within the input {folder}: {what}")
    return sources


def _policy(
    force: bool, skip_existing: bool, keep_going: bool, json: bool, make_folders: bool, *,
    writes_gnc: bool = False, keep_larger: bool = False,
) -> Policy:  # fmt: skip
    return Policy(
        force=force, skip_existing=skip_existing, keep_going=keep_going, json=json, make_folders=make_folders,
        writes_gnc=writes_gnc, warn_larger=writes_gnc, keep_larger=keep_larger,
    )  # fmt: skip
