"""The commands that run for long: train, serve."""

from __future__ import annotations

from typing import Annotated

import typer

from gancodec.cli import serving, train_options, training
from gancodec.cli.app import DeviceOption, Json, Task, app
from gancodec.cli.completing import codec_lists
from gancodec.cli.exit_codes import of_command
from gancodec.cli.options import Device
from gancodec.cli.train_options import StageChoice, TrainOptions


@app.command(epilog=of_command("train"))
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
    lambda_grid: train_options.LambdaGrid = None,
    adversarial: train_options.AdversarialLoss = None,
    distortion: train_options.DistortionLoss = None,
    generator_scales: train_options.Scales = None,
    stage: train_options.WhichStage = StageChoice.ALL,
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
        lambda_adv=lambda_adv, lambda_p=lambda_p, lambda_c=lambda_c, lambda_grid=lambda_grid,
        adversarial=adversarial, distortion=distortion, generator_scales=generator_scales, stage=stage,
        channels=channels, features=features, init=init, resume=resume, max_minutes=max_minutes, device=device.value,
        seed=seed, batch=batch, crop=crop, preset=preset, name=name, licence=licence,
    )  # fmt: skip
    return lambda: training.train(given, as_json=json)


@app.command(epilog=of_command("serve"))
def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port to listen on.")] = 8000,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec", metavar="NAME|PATH[,...]", help="Default: all that are shipped.", show_default=False,
            autocompletion=codec_lists,
        ),
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
