"""The commands that measure: eval, compare, bench."""

from __future__ import annotations

from typing import Annotated

import typer

from gancodec.cli import bench_options, benchmarking, eval_options, evaluating
from gancodec.cli.app import DeviceOption, Json, Task, app
from gancodec.cli.bench_options import BenchOptions
from gancodec.cli.completing import codec_names
from gancodec.cli.eval_options import EvalOptions
from gancodec.cli.exit_codes import of_command
from gancodec.cli.options import Device
from gancodec.defaults import DEFAULT_CODEC, DEFAULT_EFFORT


@app.command("eval", epilog=of_command("eval"))
def evaluate(
    inputs: eval_options.Inputs,
    codec: eval_options.Codecs = DEFAULT_CODEC,
    qualities: eval_options.Qualities = "0,15,30,45,60,75,90,100",
    realism: eval_options.Realisms = "0",
    effort: eval_options.Efforts = str(DEFAULT_EFFORT),
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
    gancodec eval photos --effort 0,1,2,3 --qualities 15,40,65,90 --against none
    gancodec eval kodak --reference kodak --plot curves.png --json curves.json
    """
    given = EvalOptions(
        inputs=inputs, codec=codec, qualities=qualities, realism=realism, effort=effort, against=against,
        metrics=metrics, features=features, reference=reference, at_bpp=at_bpp, device=device.value, json=json,
        curves=curves, csv=csv, markdown=markdown, plot=plot, save_images=save_images, report_pictures=report_pictures,
    )  # fmt: skip
    return lambda: evaluating.evaluate(given)


@app.command(epilog=of_command("compare"))
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


@app.command(epilog=of_command("bench"))
def bench(
    pictures: bench_options.Pictures = None,
    codec: Annotated[
        str,
        typer.Option("--codec", metavar="NAME|PATH", help="See `gancodec models`.", autocompletion=codec_names),
    ] = DEFAULT_CODEC,
    quality: bench_options.Quality = None,
    effort: bench_options.Effort = DEFAULT_EFFORT,
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
        pictures=pictures or (), codec=codec, quality=quality, effort=effort, device=device.value, sizes=sizes,
        batch=batch, threads=threads, runs=runs, against=against, memory=not no_memory,
    )  # fmt: skip
    return lambda: benchmarking.bench(given, as_json=json)
