"""Every setting of the service, from the environment: ``GANCODEC_SERVICE_…``, lists as JSON or with commas."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX: Final = "GANCODEC_SERVICE_"
MIB: Final = 1 << 20
Listed = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """What the service is run with; what is wrong is said before it starts."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

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
    batch_pixels: int = Field(default=8_000_000, ge=1)
    """Most pixels of them, padding included; a single picture may have more."""
    batch_delay_ms: float = Field(default=3.0, ge=0)
    """How long a picture waits for others of its size."""
    small_pixels: int = Field(default=1_500_000, ge=0)
    """Pictures up to this size pass between the tiles of larger ones."""
    deadline_s: float = Field(default=60.0, gt=0)
    """From the end of a request's body to its answer."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """For a request's body to come in."""
    threads: int = Field(default=16, ge=1)
    """Requests that are in work at once: reading and writing pictures, entropy coding."""
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

    @field_validator("codecs", "api_keys", "cors_origins", "input_formats", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("queue_pixels")
    @classmethod
    def _holds_one(cls, value: int, info: Any) -> int:
        if value < info.data.get("max_pixels", 0):
            raise ValueError("queue_pixels is less than max_pixels: the largest picture would never be taken")
        return value
