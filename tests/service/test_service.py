"""The service over HTTP, as its clients see it."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gancodec.client import Client, ServiceError
from gancodec.codec import Codec
from gancodec.container import MAGIC, ColourMode, read_header, write_container
from service.problems import PROBLEMS
from service.work import noticed
from tests.service.conftest import SOON, TINY, TINY_EXTREME, Service, serving
from tests.tiny import made_picture

WHEN_FULL = 2_000.0
"""Of batch_delay_ms, where batches are full before: a busy machine gets them together as well."""


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(height: int = 90, width: int = 70, seed: int = 1) -> Image.Image:
    return Image.fromarray(made_picture(seed, height, width))


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).astype(int)


def send(
    service: Service, path: str, body: bytes = b"", *, method: str = "POST", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*service.address, timeout=SOON)
    try:
        connection.request(method, path, body if method == "POST" else None, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def problem(service: Service, path: str, body: bytes = b"", **options: Any) -> dict[str, Any]:
    status, headers, data = send(service, path, body, **options)
    assert headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(data)
    assert found["status"] == status and {"type", "title", "detail", "code", "request_id"} <= found.keys()
    assert found["code"] in {each.code for each in PROBLEMS}
    return found


def test_there_and_back(service: Service, client: Client) -> None:
    image = picture()
    file = client.compress(file_of(image), quality=70)
    assert (file.codec, file.width, file.height) == ("tiny", 70, 90)
    assert file.bpp == pytest.approx(8 * len(file.data) / (70 * 90), abs=1e-4)
    assert file.queue_ms >= 0 and file.compute_ms > 0
    alone = Codec.load(TINY, "cpu")
    back = client.decompress(file.data)
    assert back.media_type == "image/png" and not back.warning
    assert np.abs(pixels(back.data) - np.asarray(alone.decompress(file.data)).astype(int)).max() <= 1
    assert client.info(file.data)["quality"] == 70


def test_every_codec_is_served_and_files_find_theirs(client: Client) -> None:
    found = {each["name"]: each for each in client.codecs()}
    assert [each["has_quality"] for each in found.values()] == [True, False]
    file = client.compress(file_of(picture()), codec=list(found)[1])
    assert client.decompress(file.data).codec == list(found)[1]


def test_targets_hold(client: Client) -> None:
    image = file_of(picture(200, 220))
    limit = len(client.compress(image, quality=50).data)
    assert 0.9 * limit < len(client.compress(image, target_size=limit).data) <= limit
    assert client.compress(image, target_bpp=1.0).bpp <= 1.0


def test_form_and_body_are_the_same(service: Service) -> None:
    image = file_of(picture())
    form = (
        b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        + image + b"\r\n--x--\r\n"
    )  # fmt: skip
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    _, _, raw = send(service, "/v1/compress?quality=30", image)
    status, headers, made = send(service, "/v1/compress?quality=30", form, headers=kind)
    assert status == 200 and headers["content-type"] == "application/vnd.gancodec" and made == raw
    assert problem(service, "/v1/compress", b"--x--\r\n", headers=kind)["code"] == "parameter"
    assert problem(service, "/v1/compress", b"\x00\xff", headers=kind)["code"] == "parameter"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/png", "PNG"), ("image/jpeg", "JPEG"), ("image/webp", "WEBP"), ("image/avif", "AVIF"), ("*/*", "PNG"),
        ("image/webp;q=0.2, image/jpeg;q=0.9", "JPEG"), ("image/*;q=0.5, image/png;q=0", "WEBP"), ("", "PNG"),
    ],
)  # fmt: skip
def test_the_picture_comes_in_the_format_that_is_liked_best(service: Service, accept: str, kind: str) -> None:
    file = service.client().compress(file_of(picture()))
    status, headers, data = send(service, "/v1/decompress", file.data, headers={"Accept": accept})
    assert status == 200
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == kind and headers["content-type"] == f"image/{kind.lower()}"


def test_alpha_is_kept_and_never_given_as_jpeg(service: Service, client: Client) -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.fromarray(made_picture(3, 90, 70)[..., 0]))
    file = client.compress(file_of(image))
    assert np.array_equal(pixels(client.decompress(file.data).data)[..., 3], np.asarray(image)[..., 3])
    found = problem(service, "/v1/decompress", file.data, headers={"Accept": "image/jpeg"})
    assert (found["status"], found["code"]) == (406, "not_acceptable")


def test_other_codecs_at_the_same_size(service: Service) -> None:
    image = file_of(picture(200, 220))
    limit = len(send(service, "/v1/others/webp?target_size=1000000", image)[2]) // 3
    for name, kind in (("webp", "WEBP"), ("avif", "AVIF"), ("jpeg", "JPEG")):
        status, headers, data = send(service, f"/v1/others/{name}?target_size={limit}", image)
        assert status == 200 and headers["content-type"] == f"image/{name}"
        assert len(data) <= limit or headers["gancodec-quality"] == "5"
        with Image.open(io.BytesIO(data)) as shown:
            assert shown.format == kind and shown.size == (220, 200)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/compress", b"", 400, "parameter"),
        ("/v1/compress", b"not a picture", 415, "unsupported_type"),
        ("/v1/compress", file_of(picture(), "PPM"), 415, "unsupported_type"),
        ("/v1/compress", file_of(picture())[:300], 422, "picture"),
        ("/v1/compress", file_of(Image.new("RGB", (1000, 400))), 422, "too_many_pixels"),
        ("/v1/compress", bytes(2_000_001), 413, "body_too_large"),
        ("/v1/compress?quality=101", file_of(picture()), 400, "parameter"),
        ("/v1/compress?quality=nan", file_of(picture()), 400, "parameter"),
        ("/v1/compress?quality=1&quality=2", file_of(picture()), 400, "parameter"),
        ("/v1/compress?quality=1&target_bpp=1", file_of(picture()), 400, "parameter"),
        ("/v1/compress?Quality=1", file_of(picture()), 400, "parameter"),
        ("/v1/compress?target_size=5", file_of(picture()), 422, "out_of_reach"),
        ("/v1/compress?codec=none", file_of(picture()), 400, "parameter"),
        ("/v1/decompress", b"", 400, "parameter"),
        ("/v1/decompress", b"\x89PNG", 415, "unsupported_type"),
        ("/v1/decompress", b"\x89GNC", 422, "stream"),
        ("/v1/decompress?realism=2", b"x", 400, "parameter"),
        ("/v1/info", b"no", 415, "unsupported_type"),
        ("/v1/info", b"\x89GNC\xf0 a later version", 422, "stream"),
        ("/v1/others/bpg?target_size=9", b"x", 400, "parameter"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_status_and_a_code(
    service: Service, path: str, body: bytes, status: int, code: str
) -> None:
    found = problem(service, path, body)
    assert (found["status"], found["code"]) == (status, code), found


def test_damaged_files_and_foreign_models_are_told_apart(service: Service, client: Client) -> None:
    data = client.compress(file_of(picture())).data
    assert problem(service, "/v1/decompress", data[:-3])["code"] == "stream"
    assert problem(service, "/v1/decompress?realism=1", data)["code"] == "parameter"  # the tiny codec has no realism
    with serving(codecs=[TINY_EXTREME]) as other:
        assert problem(other, "/v1/decompress", data)["code"] == "model"


def test_a_damaged_or_cut_header_is_a_corrupt_stream_and_another_file_is_not(service: Service) -> None:
    data = service.client().compress(file_of(picture())).data
    size = read_header(data).payload_offset
    for path in ("/v1/decompress", "/v1/info"):
        for place in range(len(MAGIC), size):
            spoilt = bytearray(data)
            spoilt[place] ^= 0x55
            damaged = path == "/v1/decompress" or place < size - 8  # info does not look at the sums of what follows
            if damaged:
                found = problem(service, path, bytes(spoilt))
                assert (found["status"], found["code"]) == (422, "stream"), place
        for length in range(1, size):
            assert problem(service, path, data[:length])["code"] == "stream", length
        found = problem(service, path, b"\0" + data)
        assert (found["status"], found["code"]) == (415, "unsupported_type")


@pytest.mark.filterwarnings("ignore::gancodec.picture.Converted16BitWarning")
def test_pictures_that_are_changed_before_are_told_of(service: Service, client: Client) -> None:
    deep = Image.frombytes("I;16", (40, 30), bytes(range(240)) * 10)
    assert client.compress(file_of(deep)).notice == "reduced to 8 bits a sample"
    assert client.compress(file_of(picture().convert("CMYK"), "JPEG")).notice == "converted from CMYK to RGB"
    assert client.compress(file_of(picture())).notice == ""
    _, headers, _ = send(service, "/v1/others/webp?target_size=9000", file_of(deep))
    assert headers["gancodec-notice"] == "reduced to 8 bits a sample"


def test_what_a_header_says_is_printable_ascii() -> None:
    assert noticed([]) == {}
    assert noticed(["a\r\nSet-Cookie: b", "é\x00"]) == {"Gancodec-Notice": "a?Set-Cookie: b; ?"}
    assert len(noticed(["a" * 5000])["Gancodec-Notice"]) == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/codecs", "/openapi.json", "/", "/page/main.js"])
def test_what_can_be_got_can_be_asked_for_its_head(service: Service, path: str) -> None:
    status, got, _ = send(service, path, method="GET")
    with socket.create_connection(service.address, timeout=SOON) as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        heard = b""
        while more := connection.recv(10_000):
            heard += more
    head, _, body = heard.partition(b"\r\n\r\n")
    assert status == 200 and b" 200 " in head and not body
    assert f"content-type: {got['content-type']}".encode() in head.lower()


def test_a_method_that_a_path_does_not_know_is_told_which_it_knows(service: Service) -> None:
    for method, path, allowed in (
        ("HEAD", "/v1/compress", "POST"), ("POST", "/livez", "GET, HEAD"), ("POST", "/", "GET, HEAD"),
    ):  # fmt: skip
        status, headers, _ = send(service, path, method=method)
        assert status == 405 and headers["allow"] == allowed


def test_libraries_log_nothing_of_a_body(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    form = b'--x\r\nContent-Disposition: form-data; name="secret"; filename="a"\r\n\r\nsecret\r\n--x--\r\nsecret'
    with caplog.at_level("DEBUG"):
        send(service, "/v1/compress", form, headers=kind)
        send(service, "/v1/compress", form[:-20], headers=kind)
        send(service, "/v1/compress", file_of(picture(), "TIFF"))
        send(service, "/v1/compress", file_of(picture()))
    names = {record.name.split(".")[0] for record in caplog.records}
    assert not names & {"python_multipart", "multipart", "PIL"}, names
    assert "secret" not in caplog.text


def test_the_metric_of_requests_says_what_is_in_it(service: Service) -> None:
    text = send(service, "/metrics", method="GET")[2].decode()
    (line,) = [line for line in text.splitlines() if line.startswith("# HELP gancodec_request_seconds ")]
    assert "body in" in line and "answer out" in line


def test_given_up_requests_do_not_add_up_to_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread cannot be stopped: one that nobody waits for keeps its place until it is done."""
    with serving(codecs=[TINY], threads=2, deadline_s=0.4, max_effort=0) as service:
        now, most, lock = [0], [0], threading.Lock()

        def slow(*_: Any) -> Any:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.9)
            with lock:
                now[0] -= 1

        monkeypatch.setattr(service.app.state.work, "other", slow)
        with ThreadPoolExecutor(6) as pool:
            path = "/v1/others/webp?target_size=900"
            statuses = [found[0] for found in pool.map(lambda _: send(service, path, b"x"), range(12))]
        assert set(statuses) == {504} and most[0] == 2
        deadline = time.monotonic() + SOON
        while now[0] and time.monotonic() < deadline:
            time.sleep(0.01)


def test_a_client_that_breaks_off_while_it_sends_is_no_failure(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "gancodec.service"):
        with socket.create_connection(service.address, timeout=SOON) as connection:
            connection.sendall(b"POST /v1/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
            time.sleep(0.2)
        deadline = time.monotonic() + SOON
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    (line,) = [record for record in caplog.records if record.name == "gancodec.service.access"]
    assert json.loads(line.message)["status"] == 499 and line.levelname == "INFO"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_bomb_is_refused_by_its_header(service: Service) -> None:
    """The header promises more pixels than may be decoded; nothing behind it is looked at."""
    data = service.client().compress(file_of(picture())).data
    large = file_of(Image.new("1", (16_000, 16_000)))
    assert problem(service, "/v1/compress", large)["code"] == "too_many_pixels"
    crafted = write_container(
        mode=ColourMode.RGB, width=16_000, height=16_000, model_id=read_header(data).model_id, quality=60,
        uniform_tables=False, payload=b"", symbol_crc=0, alpha=None, metadata={},
    )  # fmt: skip
    assert problem(service, "/v1/decompress", crafted)["code"] == "too_many_pixels"
    assert problem(service, "/v1/decompress", data[:40])["code"] == "stream"


def test_a_body_is_counted_while_it_streams_in(service: Service) -> None:
    """Without a length that would say so before."""
    with socket.create_connection(service.address, timeout=SOON) as connection:
        connection.sendall(b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n" % 65_536 + bytes(65_536) + b"\r\n"
        sent = 0
        try:
            for _ in range(200):
                connection.sendall(chunk)
                sent += 65_536
        except OSError:
            pass
        assert sent > 0 and b" 413 " in connection.recv(200)
    assert service.client().is_ready()


def test_slow_bodies_are_given_up() -> None:
    with serving(codecs=[TINY], body_timeout_s=0.3) as service, socket.create_connection(service.address) as connection:
        connection.settimeout(SOON)
        connection.sendall(b"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        assert b" 408 " in connection.recv(200)


def test_pictures_of_one_size_go_through_together() -> None:
    with serving(codecs=[TINY], batch_delay_ms=WHEN_FULL, batch_pictures=4) as service:
        images = [file_of(picture(seed=seed)) for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda image: send(service, "/v1/compress?quality=40", image), images))
        assert {headers["gancodec-batch"] for _, headers, _ in answers} == {"4"}
        codec = Codec.load(TINY, "cpu")
        for seed, (status, _, data) in enumerate(answers):
            assert status == 200
            error = np.abs(np.asarray(codec.decompress(data)).astype(int) - made_picture(seed, 90, 70)).mean()
            alone = codec.decompress(codec.compress(picture(seed=seed), quality=40))
            assert error <= np.abs(np.asarray(alone).astype(int) - made_picture(seed, 90, 70)).mean() + 0.5


def test_beyond_the_queue_there_is_429_and_the_others_are_served() -> None:
    with serving(codecs=[TINY], max_pixels=70_000, queue_pixels=130_000, batch_delay_ms=300.0) as service:
        image = file_of(picture(250, 250))
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: send(service, "/v1/compress", image), range(6)))
        statuses = sorted(status for status, _, _ in answers)
        assert statuses[0] == 200 and statuses[-1] == 429
        refused = next(headers for status, headers, _ in answers if status == 429)
        assert int(refused["retry-after"]) >= 1
        assert len(service.client(retries=5).compress(image).data) > 0


def test_the_deadline_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(codecs=[TINY], deadline_s=0.4, max_effort=0) as service:
        codec = next(iter(service.app.state.engine.codecs.values()))
        quantise = codec.pipeline.quantise
        monkeypatch.setattr(codec.pipeline, "quantise", lambda *given: (time.sleep(1.0), quantise(*given))[1])
        started = time.monotonic()
        found = problem(service, "/v1/compress", file_of(picture()))
        assert (found["status"], found["code"]) == (504, "deadline")
        assert time.monotonic() - started < 0.9


def test_a_client_that_went_away_costs_no_device_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(codecs=[TINY], max_effort=0) as service:
        codec = next(iter(service.app.state.engine.codecs.values()))
        seen: list[int] = []
        quantise, gate = codec.pipeline.quantise, threading.Event()

        def slow(pictures: Any, qualities: Any) -> Any:
            seen.append(pictures[0].shape[1])
            gate.wait(SOON)
            return quantise(pictures, qualities)

        monkeypatch.setattr(codec.pipeline, "quantise", slow)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(send, service, "/v1/compress", file_of(picture(90, 65)))
            while not seen:
                time.sleep(0.01)
            body = file_of(picture(90, 200))
            with socket.create_connection(service.address, timeout=SOON) as connection:
                head = f"POST /v1/compress HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
                deadline = time.monotonic() + SOON
                while service.app.state.engine.waiting == 0 and time.monotonic() < deadline:
                    time.sleep(0.01)
            time.sleep(0.8)  # the service looks every now and then
            gate.set()
            assert first.result(SOON)[0] == 200
        assert service.client().compress(file_of(picture(90, 65))).width == 65
        assert 200 not in seen


def test_without_memory_batches_are_halved_then_tiles_and_the_service_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    def two(service: Service) -> list[tuple[int, bytes]]:
        with ThreadPoolExecutor(2) as pool:
            bodies = [file_of(picture(seed=seed)) for seed in range(2)]
            answers = pool.map(lambda body: send(service, "/v1/compress", body), bodies)
            return [(status, data) for status, _, data in answers]

    with serving(codecs=[TINY], batch_delay_ms=WHEN_FULL, batch_pictures=2, max_effort=0) as service:
        codec = next(iter(service.app.state.engine.codecs.values()))
        quantise, calls = codec.pipeline.quantise, []

        def scarce(pictures: Any, qualities: Any) -> Any:
            calls.append((len(pictures), codec.pipeline.tile_px))
            if len(pictures) > 1 or codec.pipeline.tile_px > 512:
                raise torch.OutOfMemoryError("no")
            return quantise(pictures, qualities)

        monkeypatch.setattr(codec.pipeline, "quantise", scarce)
        assert [status for status, _ in two(service)] == [200, 200]
        assert calls[0] == (2, 1024) and (1, 512) in calls and codec.pipeline.tile_px == 1024

        def none(pictures: Any, qualities: Any) -> Any:
            raise MemoryError

        monkeypatch.setattr(codec.pipeline, "quantise", none)
        assert [json.loads(data)["code"] for _, data in two(service)] == ["out_of_memory"] * 2
        monkeypatch.setattr(codec.pipeline, "quantise", quantise)
        assert [status for status, _ in two(service)] == [200, 200]


def test_keys_are_asked_for() -> None:
    with serving(codecs=[TINY], api_keys="one,two") as service:
        found = problem(service, "/v1/codecs", method="GET")
        assert (found["status"], found["code"]) == (401, "unauthorised")
        for key in ("three", "", "one,two"):
            with pytest.raises(ServiceError) as caught:
                service.client(api_key=key).codecs()
            assert caught.value.status == 401
        assert service.client(api_key="two").codecs()
        assert send(service, "/metrics", method="GET")[0] == 401
        assert send(service, "/livez", method="GET")[0] == 200
    with serving(codecs=[TINY]) as service:
        assert send(service, "/v1/codecs", method="GET")[0] == 200
        # Behind a proxy the address says nothing.
        assert send(service, "/v1/codecs", method="GET", headers={"X-Forwarded-For": "127.0.0.1"})[0] == 401
    with serving(codecs=[TINY], open_access=True) as service:
        assert send(service, "/v1/codecs", method="GET", headers={"X-Forwarded-For": "8.8.8.8"})[0] == 200


def test_answers_carry_an_id_and_security_headers(service: Service) -> None:
    status, headers, _ = send(service, "/v1/codecs", method="GET", headers={"X-Request-Id": "mine-1"})
    assert status == 200 and headers["x-request-id"] == "mine-1"
    assert headers["x-content-type-options"] == "nosniff" and "default-src 'none'" in headers["content-security-policy"]
    _, headers, _ = send(service, "/v1/codecs", method="GET", headers={"X-Request-Id": "bad id\t"})
    assert headers["x-request-id"] != "bad id"
    assert (
        "access-control-allow-origin"
        not in send(service, "/v1/codecs", method="GET", headers={"Origin": "https://elsewhere.example"})[1]
    )


def test_other_sites_may_call_if_they_are_named() -> None:
    with serving(codecs=[TINY], cors_origins="https://friend.example") as service:
        for origin, allowed in (("https://friend.example", True), ("https://elsewhere.example", False)):
            _, headers, _ = send(service, "/v1/codecs", method="GET", headers={"Origin": origin})
            assert ("access-control-allow-origin" in headers) is allowed


def test_prometheus_sees_what_happened(service: Service, client: Client) -> None:
    client.decompress(client.compress(file_of(picture())).data)
    status, headers, data = send(service, "/metrics", method="GET")
    text = data.decode()
    assert status == 200 and headers["content-type"].startswith("text/plain")
    for name in (
        'gancodec_requests_total{path="/v1/compress",status="200"}', "gancodec_queue_seconds_count",
        "gancodec_batch_pictures_count", 'gancodec_part_seconds_total{part="network"}',
        'gancodec_part_seconds_total{part="entropy coding"}', 'gancodec_part_seconds_total{part="file"}',
        'gancodec_body_bytes_total{direction="out"}', "gancodec_bpp_count", "gancodec_held_pixels 0.0",
        "gancodec_queue_jobs 0.0", "gancodec_gpu_bytes",
    ):  # fmt: skip
        assert name in text, name


def test_bodies_and_queries_are_not_in_the_log(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "gancodec.service.access"):
        send(service, "/v1/compress?codec=secret-word", b"secret-body", headers={"X-Request-Id": "r1"})
        deadline = time.monotonic() + SOON
        while not caplog.records and time.monotonic() < deadline:  # it is written when the answer is out
            time.sleep(0.01)
    (line,) = [record.message for record in caplog.records if "r1" in record.message]
    assert "secret" not in line
    assert json.loads(line)["path"] == "/v1/compress" and json.loads(line)["status"] == 400


def test_closing_answers_what_is_in_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(codecs=[TINY], max_effort=0) as service:
        codec = next(iter(service.app.state.engine.codecs.values()))
        quantise, started = codec.pipeline.quantise, threading.Event()

        def slow(*given: Any) -> Any:
            started.set()
            time.sleep(0.5)
            return quantise(*given)

        monkeypatch.setattr(codec.pipeline, "quantise", slow)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(send, service, "/v1/compress", file_of(picture()))
            assert started.wait(SOON)
            service.stop()
            assert answer.result(SOON)[0] == 200


def test_bad_weights_leave_it_alive_and_unready() -> None:
    with pytest.raises(AssertionError, match="MissingModelError"), serving(codecs=["nowhere"]):
        pass


def test_without_codecs_the_service_says_why_and_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(codecs=[TINY]) as service:
        engine = service.app.state.engine
        for failure, why in (
            ("MissingModelError: no codec is called '/secret/place'", "the weights are not there"),
            ("WrongModelError: /secret/place is damaged", "the weights are damaged, or none of gancodec"),
            ("OutOfMemoryError: of /secret/place", "there is not enough memory for the weights"),
            ("SecretError: /secret/place", "something unexpected happened"),
        ):
            monkeypatch.setattr(engine, "failure", failure)
            monkeypatch.setattr(engine, "ready", False)
            for path, method in (("/readyz", "GET"), ("/v1/codecs", "GET"), ("/v1/compress", "POST")):
                found = problem(service, path, b"picture", method=method)
                assert (found["status"], found["code"]) == (503, "not_ready")
                assert found["detail"] == f"the codecs could not be started: {why}" and "log" in found["hint"]
                assert "secret" not in json.dumps(found).lower()
        monkeypatch.setattr(engine, "failure", "")
        status, headers, _ = send(service, "/v1/codecs", method="GET")
        assert (status, headers["retry-after"]) == (503, "2")  # weights are being loaded: it passes by itself
        assert problem(service, "/v1/codecs", method="GET")["detail"] == "weights are being loaded"
        monkeypatch.setattr(engine, "ready", True)
        assert service.client().codecs()


def test_the_bytes_of_a_body_count_as_long_as_a_thread_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was given up still holds its body: a thread cannot be stopped."""
    gate, body = threading.Event(), bytes(1000)
    with serving(codecs=[TINY], deadline_s=0.3, max_body_bytes=1000, queue_bytes=1500) as service:
        bodies = service.app.state.bodies
        monkeypatch.setattr(service.app.state.work, "info", lambda data: {"waited": gate.wait(SOON)})
        assert problem(service, "/v1/info", body)["code"] == "deadline"
        assert bodies.held == 1000
        assert problem(service, "/v1/info", body)["code"] == "queue_full"
        assert bodies.held == 1000  # what was refused holds nothing
        gate.set()
        deadline = time.monotonic() + SOON
        while bodies.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert bodies.held == 0
        assert send(service, "/v1/info", body)[0] == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_client_says_when_nobody_is_there(scheme: str) -> None:
    client = Client(f"{scheme}://127.0.0.1:9", timeout_s=2)
    assert not client.is_ready()
    with pytest.raises(ServiceError, match="cannot be reached"):
        client.codecs()


def test_many_small_requests_get_429_too() -> None:
    """Pixels alone would let them all wait for a thread until their deadline."""
    with serving(codecs=[TINY], threads=2, queue_requests=2, batch_delay_ms=200.0) as service:
        image = file_of(picture(20, 20))
        with ThreadPoolExecutor(16) as pool:
            statuses = [status for status, _, _ in pool.map(lambda _: send(service, "/v1/compress", image), range(16))]
        assert set(statuses) == {200, 429} and statuses.count(200) >= 4


def test_another_sites_page_may_not_use_the_own_machine(service: Service) -> None:
    for headers in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "localhost.evil.example:80"}):
        found = problem(service, "/v1/codecs", method="GET", headers=headers)
        assert (found["status"], found["code"]) == (401, "unauthorised")
    for host in ("localhost:1234", "127.0.0.1", "[::1]:80"):
        assert send(service, "/v1/codecs", method="GET", headers={"Host": host})[0] == 200


def test_what_fails_is_a_problem_with_an_id_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(codecs=[TINY]) as service:
        monkeypatch.setattr(service.app.state.work, "info", lambda data: 1 / 0)
        status, headers, data = send(service, "/v1/info", b"x", headers={"X-Request-Id": "it"})
        assert status == 500 and headers["x-request-id"] == "it" and "content-security-policy" in headers
        assert json.loads(data)["code"] == "internal" and b"ZeroDivision" not in data
        assert 'status="500"' in send(service, "/metrics", method="GET")[2].decode()


def test_damaged_metadata_is_told_of_to_whom_it_belongs(client: Client) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = client.compress(file_of(picture(), exif=exif)).data
    assert client.decompress(data).warning == ""
    spoilt = bytearray(data)
    spoilt[-6] ^= 0xFF  # in the last chunk: the metadata
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: client.decompress(bytes(spoilt) if n % 2 else data).warning, range(24)))
    assert [bool(text) for text in found] == [n % 2 == 1 for n in range(24)]


def test_a_format_that_cannot_hold_the_picture_is_passed_over(service: Service, client: Client) -> None:
    data = client.compress(file_of(wide())).data
    status, headers, _ = send(service, "/v1/decompress", data, headers={"Accept": "image/webp, image/png;q=0.5"})
    assert status == 200 and headers["content-type"] == "image/png"
    assert problem(service, "/v1/decompress", data, headers={"Accept": "image/webp"})["code"] == "not_acceptable"


def wide() -> Image.Image:
    """One pixel wider than WebP can be."""
    return Image.fromarray(made_picture(5, 16, 16_384))


def test_turned_photos_are_compared_upright(service: Service) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = file_of(picture(90, 60), "JPEG", exif=exif)
    _, _, data = send(service, "/v1/others/webp?target_size=100000", image)
    with Image.open(io.BytesIO(data)) as shown:
        assert shown.size == (90, 60)


def test_a_form_of_many_parts_is_refused(service: Service) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\nx\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    told = problem(service, "/v1/compress", part * 1000 + b"--b--\r\n", headers=kind)
    assert told["code"] == "parameter" and "more than 16 parts" in told["detail"]


def test_the_client_follows_no_redirect_with_its_key() -> None:
    seen: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/stolen")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(f"http://127.0.0.1:{server.server_port}", api_key="secret")
        with pytest.raises(ServiceError):
            client.compress(b"picture")
        with pytest.raises(ServiceError):
            client.codecs()
        server.shutdown()
    assert seen == ["/v1/compress", "/v1/codecs"]
