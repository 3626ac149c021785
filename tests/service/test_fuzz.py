"""Damaged and hostile bodies: whatever is sent, the answer is a result or a problem, and memory stays bounded.

More of them: GANCODEC_FUZZ=2000 pytest tests/service/test_fuzz.py
"""

from __future__ import annotations

import gc
import http.client
import io
import json
import os
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from gancodec.container import read_container, write_container
from service.problems import PROBLEMS
from tests.conftest import GOLDEN
from tests.service.conftest import SOON, Service, serving
from tests.tiny import made_picture

BODIES = int(os.environ.get("GANCODEC_FUZZ", "400"))
SECONDS_A_BODY = 0.3
WARM_UP = 60
GROWTH_BYTES = 100 << 20
CODES = {each.code for each in PROBLEMS}
HEADER_BYTES = 64
"""Half of the changes fall here, where the lengths and kinds are."""
LOADED = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF]
"""Numbers that upset parsers."""

PATHS = {
    "/v1/compress": ["", "?quality=0", "?quality=100", "?target_bpp=0.5", "?target_size=700", "?codec=tiny-extreme"],
    "/v1/decompress": ["", "?realism=0"],
    "/v1/info": [""],
    "/v1/others/webp": ["?target_size=500", "?target_size=100000"],
}
ACCEPTED = ["*/*", "image/png", "image/jpeg", "image/webp", "image/avif;q=0.1, image/*;q=x", ";;,q=", "text/html"]


def pictures() -> dict[str, bytes]:
    """Small files of every format that is allowed, in several modes, some with metadata."""
    colour = Image.fromarray(made_picture(5, 56, 40))
    alpha = colour.convert("RGBA")
    alpha.putalpha(Image.fromarray(made_picture(6, 56, 40)[..., 0]))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photograph"
    noted = PngImagePlugin.PngInfo()
    noted.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>caption</x:xmpmeta>", zip=True)
    noted.add(b"iCCP", b"icc\0\0" + zlib.compress(bytes(400)))
    deep = Image.frombytes("I;16", (40, 56), bytes(2 * 40 * 56))
    made: dict[str, bytes] = {}
    for name, image, kind, options in (
        ("jpeg", colour, "JPEG", {"exif": exif}), ("jpeg progressive", colour, "JPEG", {"progressive": True}),
        ("jpeg cmyk", colour.convert("CMYK"), "JPEG", {}), ("png", colour, "PNG", {"pnginfo": noted, "exif": exif}),
        ("png alpha", alpha, "PNG", {}), ("png palette", colour.quantize(16), "PNG", {}), ("png deep", deep, "PNG", {}),
        ("png 1 bit", colour.convert("1"), "PNG", {}), ("webp", colour, "WEBP", {"exif": exif}),
        ("webp alpha", alpha, "WEBP", {"lossless": True}), ("avif", colour, "AVIF", {"exif": exif}),
        ("avif alpha", alpha, "AVIF", {}), ("tiff", colour, "TIFF", {}), ("tiff lzw", alpha, "TIFF", {"compression":
        "tiff_lzw"}), ("tiff jpeg", colour, "TIFF", {"compression": "jpeg"}), ("bmp", colour, "BMP", {}),
        ("bmp palette", colour.quantize(16), "BMP", {}), ("gif", colour.quantize(16), "GIF", {}),
        ("gif animated", colour.quantize(4), "GIF", {"save_all": True, "append_images": [colour.quantize(8)]}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made[name] = buffer.getvalue()
    return made


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(GOLDEN.glob("*.gnc"))}


def form(rng: random.Random, body: bytes) -> bytes:
    """A form with the body in it, itself damaged now and then."""
    made = (
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: image/png\r\n\r\n'
        + body + b"\r\n--xyz--\r\n"
    )  # fmt: skip
    return rng.choice([lambda _, data, __: data, flipped, cut, spliced])(rng, made, made)


def flipped(rng: random.Random, data: bytes, _: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 40])):
        changed[_place(rng, len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def stuttered(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A piece twice, or not at all."""
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:second] + data[first:] if rng.random() < 0.5 else data[:first] + data[second:]


def loaded(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A number in place of some bytes."""
    changed = bytearray(data)
    kind = rng.choice("BHIhi") if len(changed) >= 4 else "B"
    size = struct.calcsize(kind)
    value = rng.choice(LOADED) % (1 << (8 * size - kind.islower()))
    place = min(_place(rng, len(changed)), len(changed) - size)
    struct.pack_into(rng.choice("<>") + kind, changed, place, value)
    return bytes(changed)


def noise(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Random bytes, behind the true beginning or without it."""
    return data[: rng.choice([0, 4, 12, 30])] + rng.randbytes(rng.randrange(1, 3000))


def sealed(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A damaged .gnc or PNG file whose checksums are right: what guards them is not asked, what lies behind is."""
    if data.startswith(b"\x89PNG"):
        return _seal_png(flipped(rng, data, other))
    try:
        container = read_container(data)
    except Exception:
        return flipped(rng, data, other)
    change = rng.choice([flipped, cut, stuttered, noise])
    header, payload, alpha = container.header, container.payload, container.alpha
    if alpha and rng.random() < 0.5:
        alpha = change(rng, alpha, b"")
    elif payload:
        payload = change(rng, payload, b"")
    crooked = rng.random() < 0.3
    return write_container(
        mode=header.mode, width=header.width * (1 + crooked * rng.randrange(9)), height=header.height,
        model_id=header.model_id, quality=rng.choice([header.quality, 0.0, 100.0]),
        uniform_tables=header.uniform_tables, payload=payload, symbol_crc=container.header.symbol_crc, alpha=alpha,
        metadata={b"EXIF": rng.randbytes(70_000)} if rng.random() < 0.3 else None,
    )  # fmt: skip


def _seal_png(data: bytes) -> bytes:
    made, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        size = min(int.from_bytes(data[place : place + 4], "big"), len(data) - place - 12)
        body = data[place + 4 : place + 8 + size]
        made += size.to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        place += 12 + size
    return bytes(made)


def _place(rng: random.Random, size: int) -> int:
    return rng.randrange(min(size, HEADER_BYTES) if rng.random() < 0.5 else size)


Mutation = Callable[[random.Random, bytes, bytes], bytes]
MUTATIONS: tuple[Mutation, ...] = (flipped, flipped, cut, spliced, stuttered, loaded, loaded, noise, sealed, sealed)


def resident_bytes() -> int:
    """Memory of this process, service included."""
    try:
        import psutil
    except ImportError:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])
    return int(psutil.Process().memory_info().rss)


# Damaged and 16-bit pictures make warnings, which the suite would raise in the threads of the service.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(60 + SECONDS_A_BODY * BODIES)
def test_mutated_bodies_get_a_result_or_a_problem() -> None:
    rng = random.Random(20)
    images, streams = list(pictures().values()), list(files().values())
    seen: Counter[str] = Counter()
    resident = 0
    # Every request has its time: what hangs is found as a 504.
    with serving(max_body_bytes=200_000, max_pixels=100_000, queue_pixels=400_000, deadline_s=15) as service:
        connection = http.client.HTTPConnection(*service.address, timeout=SOON)
        for number in range(BODIES + WARM_UP):
            path = rng.choice(list(PATHS))
            own, others = (images, streams) if path in ("/v1/compress", "/v1/others/webp") else (streams, images)
            body = rng.choice(own if rng.random() < 0.95 else others)
            for _ in range(rng.choice([1, 1, 1, 2, 4]) if number >= len(own) else 0):
                body = rng.choice(MUTATIONS)(rng, body, rng.choice(own)) or b"\0"
            headers = {"Accept": rng.choice(ACCEPTED)}
            if rng.random() < 0.2:
                body = form(rng, body)
                headers["Content-Type"] = "multipart/form-data; boundary=xyz"
            target = path + rng.choice(PATHS[path])
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            data, what = answer.read(), f"number {number}: {target} {headers} {body[:2000].hex()}"
            assert answer.status < 500, f"{answer.status} {data[:500]!r} for {what}"
            if answer.status == 200:
                seen["200"] += 1
            else:
                assert answer.headers["Content-Type"] == "application/problem+json", what
                problem = json.loads(data)
                assert problem["status"] == answer.status and problem["code"] in CODES, what
                seen[problem["code"]] += 1
            if number == WARM_UP:
                gc.collect()
                resident = resident_bytes()
        connection.close()
        gc.collect()
        grown = resident_bytes() - resident
        check_alive(service, images[0])
    assert {"200", "picture", "stream", "unsupported_type"} <= seen.keys(), seen
    assert grown < GROWTH_BYTES, f"{grown:,} bytes more"


def check_alive(service: Service, picture: bytes) -> None:
    """A sound picture there and back, and nothing held."""
    client = service.client()
    file = client.compress(picture)
    assert (client.decompress(file.data).width, file.width) == (40, 40)
    assert b"gancodec_held_pixels 0.0" in service.app.state.measures.text()
