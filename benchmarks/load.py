"""Load for a running service, from a process of its own: throughput, latency, refusals and batch sizes.

    gancodec serve                                                       # in one terminal
    python benchmarks/load.py http://127.0.0.1:8000 kodak/*.png          # in another
    python benchmarks/load.py http://127.0.0.1:8000 kodak/*.png --decompress --seconds 20 --concurrency 8
    python benchmarks/load.py --bare photo kodak/*.png                   # the codec without the service

Every client waits for its answer before it asks again; one that is refused with 429 waits a moment.  A key is taken
from GANCODEC_API_KEY.  With --bare URL is the name or path of a codec, and its pictures go through it, --batch at a
time, in this process; only that imports more than the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

BARE_BATCH = 8
REFUSED_WAIT_S = 0.05
TIMEOUT_S = 120.0


@dataclass(slots=True)
class Tally:
    """What the clients of one run saw."""

    seconds_by_status: dict[int, list[float]] = field(default_factory=dict)
    """0 stands for connections that broke."""
    pixels: int = 0
    """Of answers with 200."""
    batches: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, seconds: float, pixels: int, batch: int) -> None:
        with self.lock:
            self.seconds_by_status.setdefault(status, []).append(seconds)
            if status == 200:
                self.pixels += pixels
                self.batches[batch] += 1


class Target:
    """Where requests go, and with what."""

    def __init__(self, url: str, query: dict[str, str], *, decompress: bool, key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SystemExit(f"{url!r} is no address of a service: give http://HOST:PORT")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        given = f"?{urlencode(query)}" if query else ""
        self.base = parts.path.rstrip("/")
        self.path = f"{self.base}/v1/{'decompress' if decompress else 'compress'}{given}"
        self.headers = {"Content-Type": "application/octet-stream", "Accept": "*/*"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"

    def connect(self) -> http.client.HTTPConnection:
        return self._kind(self._host, self._port, timeout=TIMEOUT_S)

    def send(self, connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, Any, bytes]:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # What is refused early has its answer before all of it was sent; without one getresponse raises.
            connection.request("POST", path, body, self.headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def compressed(self, body: bytes, query: dict[str, str]) -> bytes:
        """The .gnc file of a picture, so that it can be decompressed.  Ends the program where that fails."""
        connection = self.connect()
        given = f"?{urlencode(query)}" if query else ""
        status, _, data = self.send(connection, f"{self.base}/v1/compress{given}", body)
        connection.close()
        if status != 200:
            raise SystemExit(f"compressing a picture failed with {status}: {data[:300]!r}")
        return data


def client(target: Target, bodies: Sequence[bytes], first: int, until: float, tally: Tally) -> None:
    """Ask again and again on one connection."""
    connection = target.connect()
    for body in itertools.islice(itertools.cycle(bodies), first, None):
        started = time.perf_counter()
        if started >= until:
            break
        status, pixels, batch = 0, 0, 0
        try:
            status, headers, _ = target.send(connection, target.path, body)
            if status == 200:
                pixels = int(headers["Gancodec-Width"]) * int(headers["Gancodec-Height"])
                batch = int(headers["Gancodec-Batch"])
        except (OSError, http.client.HTTPException):
            connection.close()
            connection = target.connect()
        tally.add(status, time.perf_counter() - started, pixels, batch)
        if status != 200:
            time.sleep(REFUSED_WAIT_S)
    connection.close()


def run(target: Target, bodies: Sequence[bytes], concurrency: int, seconds: float) -> dict[str, Any]:
    """One run of so many clients.  What was asked within the time counts, with the time until it was answered."""
    tally, started = Tally(), time.perf_counter()
    threads = [
        threading.Thread(target=client, args=(target, bodies, number, started + seconds, tally))
        for number in range(concurrency)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    took = time.perf_counter() - started
    good = sorted(tally.seconds_by_status.get(200, []))
    return {
        "concurrency": concurrency,
        "seconds": took,
        "requests_per_s": len(good) / took,
        "mpixel_per_s": tally.pixels / took / 1e6,
        "p50_ms": quantile(good, 0.5),
        "p99_ms": quantile(good, 0.99),
        "max_ms": quantile(good, 1.0),
        "refused": len(tally.seconds_by_status.get(429, [])),
        "statuses": {str(status): len(times) for status, times in sorted(tally.seconds_by_status.items())},
        "batches": {str(size): count for size, count in sorted(tally.batches.items())},
        "mean_batch": sum(size * count for size, count in tally.batches.items()) / max(1, tally.batches.total()),
    }


def quantile(ordered_s: Sequence[float], share: float) -> float | None:
    """Milliseconds: the smallest value that is not below so large a share of them.  None of nothing."""
    return 1000 * ordered_s[max(0, math.ceil(share * len(ordered_s)) - 1)] if ordered_s else None


def bare(
    codec_name: str, bodies: Sequence[bytes], quality: float, seconds: float, *,
    decompress: bool, batch_pictures: int = BARE_BATCH,
) -> dict[str, Any]:  # fmt: skip
    """The codec in batches: reading picture files, entropy coding and, to decompress, writing PNG are part of it.

    Pictures of one padded size go together.  All work is done one step after the other, so the service, which reads,
    codes and computes at the same time, may well be faster.
    """
    from gancodec.codec import Codec
    from gancodec.errors import GancodecError
    from gancodec.picture import encode_alpha, read_picture, write_picture

    codec = Codec.load(codec_name)
    quality_256 = round(256 * quality) if codec.pipeline.has_quality else 0

    def compressed(batch: Sequence[bytes]) -> list[bytes]:
        pictures = [read_picture(body) for body in batch]
        made = codec.quantise(pictures, [quality_256] * len(pictures))
        alphas = [None if each.alpha_HW is None else encode_alpha(each.alpha_HW) for each in pictures]
        parts = zip(pictures, alphas, made, strict=True)
        return [codec.write(picture, alpha, symbols, quality_256) for picture, alpha, symbols in parts]

    def decompressed(batch: Sequence[bytes]) -> None:
        for each in codec.decode([codec.open(body) for body in batch]):
            if isinstance(each, GancodecError):
                raise each
            write_picture(each)

    sizes = [(picture.width, picture.height) for picture in map(read_picture, bodies)]
    groups: dict[tuple[int, int], list[int]] = {}
    for number, size in enumerate(sizes):
        groups.setdefault(codec.padded_size(*size), []).append(number)
    batches = [list(itertools.islice(itertools.cycle(group), batch_pictures)) for group in groups.values()]
    files = [compressed([body])[0] for body in bodies] if decompress else list(bodies)
    work = decompressed if decompress else compressed
    work([files[number] for number in batches[0]])  # to warm up
    pictures = pixels = 0
    started = time.perf_counter()
    for batch in itertools.cycle(batches):
        if time.perf_counter() - started >= seconds:
            break
        work([files[number] for number in batch])
        pictures += len(batch)
        pixels += sum(sizes[number][0] * sizes[number][1] for number in batch)
    took = time.perf_counter() - started
    return {
        "bare": codec_name,
        "device": codec.device,
        "batch": batch_pictures,
        "seconds": took,
        "requests_per_s": pictures / took,
        "mpixel_per_s": pixels / took / 1e6,
    }


def line(row: dict[str, Any]) -> str:
    """A run as one line of the table."""
    others = sum(count for status, count in row["statuses"].items() if status not in ("200", "429"))
    p50, p99 = ("-" if row[name] is None else f"{row[name]:.0f}" for name in ("p50_ms", "p99_ms"))
    batches = " ".join(f"{size}×{count}" for size, count in row["batches"].items())
    return (
        f"{row['concurrency']:7d} {row['requests_per_s']:10.2f} {row['mpixel_per_s']:10.2f} {p50:>8} {p99:>8} "
        f"{row['statuses'].get('200', 0):7d} {row['refused']:6d} {others:6d} {row['mean_batch']:6.2f}  {batches}"
    )


HEADINGS = (
    f"{'clients':>7} {'requests/s':>10} {'Mpixel/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'200':>7} {'429':>6} "
    f"{'others':>6} {'batch':>6}  requests by batch size"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a run had no answer with 200, or any with neither 200 nor 429."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", metavar="URL", help="http://HOST:PORT; with --bare a codec")
    parser.add_argument("pictures", metavar="PICTURE", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run (60)")
    parser.add_argument("--concurrency", default="1,8,32", help="clients at once, a run for each number (1,8,32)")
    parser.add_argument("--quality", type=float, help="0 to 100; the codec's default if not given")
    parser.add_argument("--codec", help="one of /v1/codecs; the first one if not given")
    parser.add_argument("--decompress", action="store_true", help="compress once, then measure decompressing to PNG")
    parser.add_argument("--bare", action="store_true", help="no service: the codec alone")
    parser.add_argument("--batch", type=int, default=BARE_BATCH, help=f"pictures at once, with --bare ({BARE_BATCH})")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures there")
    args = parser.parse_args(argv)
    try:
        clients = [int(number) for number in args.concurrency.split(",")]
    except ValueError:
        clients = [0]
    if min(clients) < 1:
        parser.error(f"--concurrency is {args.concurrency!r}: give numbers from 1, such as 1,8,32")
    bodies = [path.read_bytes() for path in args.pictures]
    rows: list[dict[str, Any]] = []
    if args.bare:
        quality = 60.0 if args.quality is None else args.quality
        way = {"decompress": args.decompress, "batch_pictures": args.batch}
        rows.append(bare(args.url, bodies, quality, args.seconds, **way))
        row = rows[0]
        print(f"{row['requests_per_s']:.2f} pictures/s, {row['mpixel_per_s']:.2f} Mpixel/s on {row['device']}")
    else:
        query = {} if args.quality is None else {"quality": f"{args.quality:g}"}
        query |= {} if args.codec is None else {"codec": args.codec}
        options = {"decompress": args.decompress, "key": os.environ.get("GANCODEC_API_KEY")}
        target = Target(args.url, {} if args.decompress else query, **options)
        if args.decompress:
            bodies = [target.compressed(body, query) for body in bodies]
        print(HEADINGS)
        for number in clients:
            rows.append(run(target, bodies, number, args.seconds))
            print(line(rows[-1]), flush=True)
    if args.json is not None:
        facts = {"pictures": len(bodies), "decompress": args.decompress, "quality": args.quality, "runs": rows}
        args.json.write_text(json.dumps(facts, indent=1) + "\n")
    statuses = [set(row["statuses"]) for row in rows if not args.bare]
    return 0 if all({"200"} <= seen <= {"200", "429"} for seen in statuses) else 1


if __name__ == "__main__":
    sys.exit(main())
