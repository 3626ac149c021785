"""The commands and their options.

Each command checks what it was given and returns the work to be done, as a function without arguments that returns
the exit code; main.py calls it.  Modules that load numpy or Pillow are imported inside the commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import gancodec
from gancodec.cli import (
    bench_options,
    benchmarking,
    eval_options,
    evaluating,
    inspecting,
    options,
    report,
    serving,
    train_options,
    training,
)
from gancodec.cli.batch import Batch, Policy
from gancodec.cli.bench_options import BenchOptions
from gancodec.cli.eval_options import EvalOptions
from gancodec.cli.inputs import GNC_SUFFIXES, expand
from gancodec.cli.loading import Decoders
from gancodec.cli.options import Device, PictureFormat
from gancodec.cli.outputs import names_folder, plan
from gancodec.cli.train_options import StageChoice, TrainOptions
from gancodec.defaults import DEFAULT_CODEC, DEFAULT_QUALITY, PICTURE_SUFFIXES

Task = Callable[[], int]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

FOLDER_HINT = "use -r to take the files in it"

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT", help="Files; folders with -r; - is standard input.")]
GncFiles = Annotated[list[str], typer.Argument(metavar="FILE", help=".gnc files; - is standard input.")]
Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE|DIR|-", help="Where to write; default: beside the input.", show_default=False
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes CUDA if there is one.")]
DecoderName = Annotated[
    str | None,
    typer.Option("--codec", metavar="NAME|PATH", help="Default: the codec that the file names.", show_default=False),
]
Recursive = Annotated[
    bool, typer.Option("-r", "--recursive", help="Search folders; -o DIR mirrors the tree below each of them.")
]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite outputs that exist.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Pass over inputs whose output exists.")]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on after a failure; exit code 7 at the end.")]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="Turn the picture upright and drop EXIF and XMP; the profile stays.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        report.data(f"gancodec {gancodec.__version__}")
        raise typer.Exit


@app.callback()
def gancodec_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learned image compression: pictures to small .gnc files and back.

    \b
    gancodec compress photo.jpg            writes photo.gnc
    gancodec decompress photo.gnc          writes photo.png
    gancodec info photo.gnc                says what is in it

    \b
    Exit codes: 0 done, 1 internal error or output not writable, 2 options,
    3 input unreadable or unsupported, 4 .gnc file damaged or too new,
    5 model missing or wrong, 6 limit exceeded, 7 some of several files failed,
    130 interrupted.
    """


@app.command()
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
    codec: Annotated[str, typer.Option("--codec", metavar="NAME|PATH", help="See `gancodec models`.")] = DEFAULT_CODEC,
    device: DeviceOption = Device.AUTO,
    recursive: Recursive = False,
    force: Force = False,
    skip_existing: SkipExisting = False,
    keep_going: KeepGoing = False,
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
    gancodec compress -r photos -o packed/            a whole tree
    cat photo.jpg | gancodec compress - > photo.gnc   in a pipe
    """
    rate = options.rate_from(quality, target_bpp, target_size)
    sources = expand(inputs, recursive=recursive, suffixes=PICTURE_SUFFIXES, folder_hint=FOLDER_HINT)
    into_folder = names_folder(output, sources, GNC_SUFFIXES)
    policy = _policy(force, skip_existing, keep_going, json, into_folder)
    jobs = plan(sources, output, into_folder=into_folder, json=json, suffix=".gnc", replaces=None)

    def task() -> int:
        from gancodec.cli.compressing import Compression

        operation = Compression(
            rate=rate,
            codec_name=codec,
            device=device.value,
            convert_16_bit=convert_16_bit,
            keep_metadata=not no_metadata,
        )
        return Batch(operation, policy).run(jobs)

    return task


@app.command()
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
    sources = expand(inputs, recursive=recursive, suffixes=GNC_SUFFIXES, folder_hint=FOLDER_HINT)
    into_folder = names_folder(output, sources, options.FORMAT_OF_SUFFIX)
    picture_format = options.format_from(format, output, output_is_folder=into_folder)
    policy = _policy(force, skip_existing, keep_going, json, into_folder)
    suffix = options.SUFFIX_OF_FORMAT[picture_format]
    jobs = plan(sources, output, into_folder=into_folder, json=json, suffix=suffix, replaces=".gnc")

    def task() -> int:
        from gancodec.cli.decompressing import Decompression

        operation = Decompression(
            decoders=Decoders(codec, device.value),
            format=picture_format,
            realism=realism,
            keep_metadata=not no_metadata,
        )
        return Batch(operation, policy).run(jobs)

    return task


@app.command()
def info(files: GncFiles, json: Json = False) -> Task:
    """Say what is in .gnc files.

    Checks them as far as that goes without the networks, and needs no torch.

    \b
    gancodec info photo.gnc
    gancodec info *.gnc --json
    """
    return lambda: inspecting.info(files, as_json=json)


@app.command()
def verify(
    files: GncFiles, codec: DecoderName = None, device: DeviceOption = Device.AUTO, json: Json = False
) -> Task:
    """Check .gnc files completely.

    Every coded symbol is decoded and compared; no picture is made.

    \b
    gancodec verify photo.gnc              prints "photo.gnc: ok"
    """
    return lambda: inspecting.verify(files, decoders=Decoders(codec, device.value), as_json=json)


@app.command()
def models(json: Json = False) -> Task:
    """List the codecs that are there.

    Those shipped, and those in the folders of GANCODEC_CODECS.

    \b
    GANCODEC_CODECS=~/codecs gancodec models
    """
    return lambda: inspecting.models(as_json=json)


@app.command("eval")
def evaluate(
    inputs: eval_options.Inputs,
    codec: eval_options.Codecs = DEFAULT_CODEC,
    qualities: eval_options.Qualities = "0,15,30,45,60,75,90,100",
    realism: eval_options.Realisms = "0",
    against: eval_options.Against = "jpeg,webp,avif",
    metrics: eval_options.Metrics = "psnr,ms-ssim",
    features: eval_options.Features = None,
    reference: eval_options.References = None,
    at_bpp: eval_options.AtBpp = None,
    device: DeviceOption = Device.AUTO,
    json: eval_options.JsonFile = None,
    curves: eval_options.Curves = None,
    csv: eval_options.Csv = None,
    markdown: eval_options.Markdown = None,
    plot: eval_options.Plot = None,
    save_images: eval_options.SaveImages = None,
    report_pictures: eval_options.ReportPictures = 8,
) -> Task:
    """Measure codecs on your pictures, beside JPEG, WebP, AVIF and JPEG XL.

    Every picture is encoded to whole files, decoded and compared; pictures that cannot be used are left out and
    listed (exit code 7). Needs the extra: pip install 'gancodec[eval]'.

    \b
    gancodec eval photos
    gancodec eval photos --realism 0,1 --metrics psnr,ssimulacra2 --plot report.html
    gancodec eval kodak --reference kodak --plot curves.png --json curves.json
    """
    given = EvalOptions(
        inputs=inputs, codec=codec, qualities=qualities, realism=realism, against=against, metrics=metrics,
        features=features, reference=reference, at_bpp=at_bpp, device=device.value, json=json, curves=curves, csv=csv,
        markdown=markdown, plot=plot, save_images=save_images, report_pictures=report_pictures,
    )  # fmt: skip
    return lambda: evaluating.evaluate(given)


@app.command()
def compare(
    a: eval_options.OnePicture,
    b: eval_options.OtherPicture,
    metrics: eval_options.CompareMetrics = "psnr,ms-ssim",
    features: eval_options.Features = None,
    difference: eval_options.Difference = None,
    gain: eval_options.Gain = 8.0,
    realism: Annotated[
        float | None, typer.Option("--realism", metavar="R", min=0, max=1, help="Of .gnc files.", show_default=False)
    ] = None,
    device: DeviceOption = Device.AUTO,
    json: Json = False,
) -> Task:
    """Say how far two pictures are apart.

    \b
    gancodec compare photo.png photo.gnc
    gancodec compare photo.png photo.webp --metrics psnr,ssimulacra2 --difference difference.png
    """
    return lambda: evaluating.compare(
        a, b, metrics=metrics, features=features, difference=difference, gain=gain, realism=realism,
        device=device.value, as_json=json,
    )  # fmt: skip


@app.command()
def train(
    codec: train_options.CodecFamily,
    data: train_options.Data,
    out: train_options.Out,
    valid: train_options.Valid = None,
    lambda_x: train_options.LambdaX = None,
    lambda_r: train_options.LambdaR = None,
    lambda_fm: train_options.LambdaFm = None,
    lambda_adv: train_options.LambdaAdv = None,
    lambda_p: train_options.LambdaP = None,
    lambda_c: train_options.LambdaC = None,
    adversarial: train_options.AdversarialLoss = None,
    distortion: train_options.DistortionLoss = None,
    generator_scales: train_options.Scales = None,
    stage: train_options.WhichStage = StageChoice.BOTH,
    channels: train_options.Channels = None,
    features: train_options.Features = None,
    init: train_options.Init = None,
    resume: train_options.Resume = False,
    max_minutes: train_options.MaxMinutes = 60.0,
    device: DeviceOption = Device.AUTO,
    seed: train_options.Seed = None,
    batch: train_options.Batch = None,
    crop: train_options.Crop = None,
    preset: train_options.PresetFile = None,
    name: train_options.Name = None,
    licence: train_options.Licence = None,
    json: Json = False,
) -> Task:
    """Train codecs on a folder of photos.

    Defaults come from the presets in gancodec/presets; docs/training.md says what every number does.

    \b
    gancodec train --codec photo --data photos --max-minutes 2 --out runs/mine
    gancodec train --codec photo --data photos --lambda-x 6,12,24 --out runs/three
    gancodec train --codec extreme --data photos --channels 4 --out runs/tiny
    gancodec compress --codec runs/mine photo.jpg     uses what came out
    """
    given = TrainOptions(
        codec=codec, data=data, out=out, valid=valid, lambda_x=lambda_x, lambda_r=lambda_r, lambda_fm=lambda_fm,
        lambda_adv=lambda_adv, lambda_p=lambda_p, lambda_c=lambda_c, adversarial=adversarial, distortion=distortion,
        generator_scales=generator_scales, stage=stage, channels=channels, features=features, init=init,
        resume=resume, max_minutes=max_minutes, device=device.value, seed=seed, batch=batch, crop=crop, preset=preset,
        name=name, licence=licence,
    )  # fmt: skip
    return lambda: training.train(given, as_json=json)


@app.command()
def bench(
    pictures: bench_options.Pictures = None,
    codec: Annotated[str, typer.Option("--codec", metavar="NAME|PATH", help="See `gancodec models`.")] = DEFAULT_CODEC,
    quality: bench_options.Quality = None,
    device: DeviceOption = Device.AUTO,
    sizes: bench_options.Sizes = None,
    batch: bench_options.Batches = "1",
    threads: bench_options.Threads = None,
    runs: bench_options.Runs = 5,
    against: bench_options.Against = bench_options.DEFAULT_AGAINST,
    no_memory: bench_options.NoMemory = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object in place of tables.")] = False,
) -> Task:
    """Measure speed and memory beside CompressAI's models.

    The peers have random weights: they cost what trained ones do, and nothing is downloaded.

    \b
    gancodec bench                                    two sizes, two peers
    gancodec bench --sizes 768x512 --no-memory        the quick look
    gancodec bench photo.jpg --against cheng2020-anchor
    gancodec bench --device cuda --batch 1,4 --json
    """
    given = BenchOptions(
        pictures=pictures or (), codec=codec, quality=quality, device=device.value, sizes=sizes, batch=batch,
        threads=threads, runs=runs, against=against, memory=not no_memory,
    )  # fmt: skip
    return lambda: benchmarking.bench(given, as_json=json)


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port to listen on.")] = 8000,
    codec: Annotated[
        str | None,
        typer.Option("--codec", metavar="NAME|PATH[,...]", help="Default: all that are shipped.", show_default=False),
    ] = None,
    device: Annotated[
        Device | None,
        typer.Option("--device", help="Default: GANCODEC_SERVICE_DEVICE, else auto.", show_default=False),
    ] = None,
    open_access: Annotated[
        bool, typer.Option("--open-access", help="Let everybody in who can reach it, without a key.")
    ] = False,
) -> Task:
    """Compress and decompress over HTTP, with a page to try it.

    Without keys in GANCODEC_SERVICE_API_KEYS only this machine may use it. docs/service.md has all settings.

    \b
    gancodec serve
    GANCODEC_SERVICE_API_KEYS=secret gancodec serve --host 0.0.0.0
    """
    chosen = None if device is None else device.value
    return lambda: serving.serve(host=host, port=port, codecs=codec, device=chosen, open_access=open_access)


def _policy(force: bool, skip_existing: bool, keep_going: bool, json: bool, make_folders: bool) -> Policy:
    return Policy(
        force=force, skip_existing=skip_existing, keep_going=keep_going, json=json, make_folders=make_folders
    )
