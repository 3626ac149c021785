"""Every setting of the service, from the environment: ``GANCODEC_SERVICE_…``, lists with commas."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from PIL import Image
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gancodec.defaults import DEFAULT_EFFORT, EFFORT_MAX

PREFIX: Final = "GANCODEC_SERVICE_"
MIB: Final = 1 << 20
DAY_S: Final = 86_400
Listed = Annotated[list[str], NoDecode]
Seconds = Annotated[float, Field(gt=0, le=DAY_S, allow_inf_nan=False)]
"""Timers of the operating system and of Python know no infinity, and nobody waits for a day."""


class Settings(BaseSettings):
    """What the service is run with; what is wrong is said before it starts."""

    # Inputs are hidden because a key may be among them.
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    codecs: Listed = []
    """Names or paths of weights; none: all that are shipped.  The first one compresses where no codec is named."""
    max_body_bytes: int = Field(default=64 * MIB, ge=1)
    """Of a request, counted while it streams in."""
    max_pixels: int = Field(default=64_000_000, ge=1)
    """Of a picture, in both directions."""
    queue_pixels: int = Field(default=128_000_000, ge=1)
    """Of all requests in work together; one more is answered with 429."""
    batch_pictures: int = Field(default=8, ge=1)
    """Most pictures that go through the networks together."""
    batch_pixels: int | None = Field(default=None, ge=1)
    """Most pixels of them, padding included; a single picture may have more.  None: what the device gains by."""
    batch_delay_ms: float = Field(default=3.0, ge=0, le=60_000, allow_inf_nan=False)
    """How long a picture waits for others of its size."""
    small_pixels: int = Field(default=1_500_000, ge=0)
    """Pictures up to this size pass between the tiles of larger ones; with effort, up to less, by the time it takes."""
    max_effort: int = Field(default=3, ge=0, le=EFFORT_MAX)
    """Most effort that may be asked for; where none is, it is the usual one, or this if it is less."""
    deadline_s: Seconds = 60.0
    """From the end of a request's body to its answer."""
    body_timeout_s: Seconds = 30.0
    """For a request's body to come in."""
    queue_bytes: int = Field(default=512 * MIB, ge=1)
    """Of the bodies of all requests together, as they come in and until nobody works on them any more."""
    threads: int = Field(default=16, ge=1)
    """Requests that are in work at once: reading and writing pictures, entropy coding."""
    queue_requests: int = Field(default=64, ge=0)
    """Requests that may wait for one of these threads."""
    max_connections: int = Field(default=512, ge=1)
    """Open at once; for one more, the one that has been idle for longest is closed."""
    head_timeout_s: Seconds = 10.0
    """For a request's line and headers, from the beginning of a connection or the end of the answer before."""
    write_timeout_s: Seconds = 60.0
    """For a client to take its answer, and a second more for each 16 KiB of it."""
    api_keys: Annotated[list[SecretStr], NoDecode] = []
    """Any of them opens the service: ``Authorization: Bearer KEY``."""
    open_access: bool = False
    """Whether everybody may use it who has no key.  Without keys and this, only the own machine may."""
    cors_origins: Listed = []
    """Other sites whose pages may call it."""
    input_formats: Listed = ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"]
    """Of pictures, by Pillow's names."""
    page: bool = True
    """Whether / shows the page."""

    @property
    def default_effort(self) -> int:
        """Where none is asked for."""
        return min(DEFAULT_EFFORT, self.max_effort)

    @field_validator("codecs", "api_keys", "cors_origins", "input_formats", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError(f"{origin!r} is no origin: write https://example.org, without a path or a last slash")
        return value

    @field_validator("input_formats")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        Image.init()
        names = [name.upper() for name in value]
        if unknown := [name for name in names if name not in Image.OPEN]:
            raise ValueError(f"Pillow reads no {', '.join(unknown)}")
        return names

    @field_validator("api_keys")
    @classmethod
    def _sendable(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(re.fullmatch(r"[!-~]+", key.get_secret_value()) is None for key in value):
            raise ValueError("a key has characters that not every client can send: use ASCII letters, digits and signs")
        return value

    @model_validator(mode="after")
    def _hold_one(self) -> Settings:
        for queue, single in (("queue_pixels", "max_pixels"), ("queue_bytes", "max_body_bytes")):
            room, most = getattr(self, queue), getattr(self, single)
            if room < most:
                raise ValueError(
                    f"{variable(queue)} is {room}, less than {variable(single)}, {most}: "
                    "the queue would never take what a single request may have"
                )
        return self


def variable(setting: str) -> str:
    """The environment's name of a setting."""
    return PREFIX + setting.upper()
