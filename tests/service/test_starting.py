"""Settings that do not fit end the start, and say which and why."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra `service`")

from gancodec.errors import ConfigError, MissingModelError, WrongModelError
from service.settings import PREFIX, Settings, variable
from service.starting import check, refuse_unknown, settings_from_environment
from tests.service.conftest import TINY

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the tests says."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigError) as caught:
        settings_from_environment()
    return str(caught.value)


def test_a_variable_that_nobody_knows_is_named_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, QUEUE_PIXEL="1")
    assert told == (
        "GANCODEC_SERVICE_QUEUE_PIXEL is no setting of the service; did you mean GANCODEC_SERVICE_QUEUE_PIXELS?"
    )


@pytest.mark.parametrize("name", ["GANCODEC_SERVICE_", "GANCODEC_SERVICE_ZZZ", "gancodec_service_codec"])
def test_a_variable_that_nobody_knows_ends_the_start(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is no setting"):
        refuse_unknown(["PATH", name])


def test_other_variables_are_nobodys_business() -> None:
    # The last three are what Kubernetes tells every container of a service that is called gancodec.
    known = [variable(each) for each in Settings.model_fields]
    kubernetes = [PREFIX + each for each in ("HOST", "PORT", "PORT_8000_TCP_ADDR")]
    refuse_unknown([*known, *(each.lower() for each in known), "GANCODEC_CODECS", "PATH", *kubernetes])


TIMES = ["DEADLINE_S", "BODY_TIMEOUT_S", "HEAD_TIMEOUT_S", "WRITE_TIMEOUT_S", "BATCH_DELAY_MS"]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "1e300", "soon"])
def test_times_are_finite(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert refused(monkeypatch, **{name: value}).startswith(f"{PREFIX}{name}: Input should be")


@pytest.mark.parametrize(
    ("queue", "single"), [("QUEUE_PIXELS", "MAX_PIXELS"), ("QUEUE_BYTES", "MAX_BODY_BYTES")]
)
def test_a_queue_that_holds_no_request_is_refused_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch, queue: str, single: str
) -> None:
    told = refused(monkeypatch, **{queue: "1000", single: "1001"})
    assert f"{PREFIX}{queue} is 1000, less than {PREFIX}{single}, 1001" in told


@pytest.mark.parametrize("keys", ["good,s€cret", "two words", "good,s\u00fccret"])
def test_a_key_that_not_every_client_can_send_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    told = refused(monkeypatch, API_KEYS=keys)
    assert told.startswith("GANCODEC_SERVICE_API_KEYS: a key has characters")
    assert not any(key in told for key in keys.split(","))
    with pytest.raises(ValueError, match="api_keys") as caught:
        Settings()
    assert not any(key in str(caught.value) for key in keys.split(","))


def test_devices_and_codecs_that_are_not_there_are_refused(tmp_path: Path) -> None:
    check(Settings(device="cpu", codecs=[TINY]))
    with pytest.raises(ConfigError, match=r"'gpu' is unknown.*--device or GANCODEC_SERVICE_DEVICE"):
        check(Settings(device="gpu", codecs=[TINY]))
    with pytest.raises(MissingModelError, match=r"'nope'.*--codec or GANCODEC_SERVICE_CODECS"):
        check(Settings(device="cpu", codecs=[TINY, "nope"]))
    (tmp_path / "no.safetensors").write_bytes(b"no weights")
    with pytest.raises(WrongModelError, match=r"no\.safetensors.*--codec or GANCODEC_SERVICE_CODECS"):
        check(Settings(device="cpu", codecs=[str(tmp_path / "no.safetensors")]))


def test_codecs_of_one_name_are_refused(tmp_path: Path) -> None:
    twin = shutil.copy(TINY, tmp_path / "twin.safetensors")
    check(Settings(device="cpu", codecs=[TINY, TINY]))
    with pytest.raises(ConfigError, match="are both called"):
        check(Settings(device="cpu", codecs=[TINY, str(twin)]))


def test_without_any_codec_there_is_nothing_to_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.starting.shipped_models", list)
    with pytest.raises(MissingModelError, match="no codecs are shipped"):
        check(Settings(device="cpu"))


@pytest.mark.parametrize(
    ("name", "value", "status", "told"),
    [("DEVICE", "gpu", 2, "'gpu' is unknown"), ("CODECS", "nope", 5, "'nope'"), ("DEVISE", "cpu", 2, "did you mean")],
)
def test_gancodec_serve_ends_before_it_says_that_it_serves(name: str, value: str, status: int, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # a port that cannot be bound: it is not come to
        code = (
            "from gancodec.cli import serving; from gancodec.errors import GancodecError; import sys\n"
            f"try: serving.serve(host='127.0.0.1', port={taken.getsockname()[1]}, codecs=None, device=None,"
            " open_access=False)\n"
            "except GancodecError as exc: print(exc); sys.exit(exc.exit_code)"
        )
        environment = os.environ | {PREFIX + name: value}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
        )
    assert done.returncode == status, done.stderr
    assert told in done.stdout and "serving on" not in done.stdout + done.stderr


@pytest.mark.parametrize("origin", ["https://example.org/", "example.org", "https://example.org/path", "null"])
def test_an_origin_that_matches_nothing_is_refused(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANCODEC_SERVICE_CORS_ORIGINS", origin)
    with pytest.raises(ConfigError, match=r"GANCODEC_SERVICE_CORS_ORIGINS: .* is no origin"):
        settings_from_environment()
