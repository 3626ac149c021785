"""Effort in the service: who may ask for how much, what it counts, when it ends, and that it spoils nothing."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import torch

from gancodec.codec import Codec
from gancodec.effort.levels import LEVELS
from gancodec.effort.request import Effort
from gancodec.networks.half import Halvable
from gancodec.picture import Picture
from service.app import create_app
from service.batcher import GivenUpError, Job
from service.engine import DECODE, QUANTISE, Engine, Key, Ticket
from service.measures import Measures
from service.refining import Watch
from service.settings import Settings
from service.work import CUT_SHORT, REFINEMENTS, SEARCHES, passes
from tests.service.conftest import SOON, TINY, Service, serving
from tests.service.test_giving_up import held_pixels, wait_for
from tests.service.test_service import file_of, picture, problem, send
from tests.tiny import made_picture


@pytest.fixture
def levels(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of effort, that come to the device."""
    found: list[int] = []
    for codec in service.app.state.engine.codecs.values():
        monkeypatch.setattr(codec, "quantise", noted(codec.quantise, found))
    return found


def noted(quantise: Callable[..., Any], found: list[int]) -> Any:
    def noting(pictures: Any, qualities: Any, effort: Effort | None) -> Any:
        found.append(0 if effort is None else effort.level)
        return quantise(pictures, qualities, effort)

    return noting


@pytest.mark.parametrize(("query", "level"), [("", 1), ("?effort=0", 0), ("?effort=3&quality=30", 3)])
def test_effort_is_spent(service: Service, levels: list[int], query: str, level: int) -> None:
    status, headers, data = send(service, f"/v1/compress{query}", file_of(picture()))
    assert status == 200 and headers["gancodec-effort"] == str(level) and levels == [level]
    assert Codec.load(TINY, "cpu").decompress(data).size == (70, 90)
    text = send(service, "/metrics", method="GET")[2].decode()
    assert f'gancodec_files_total{{effort="{level}"}}' in text


@pytest.mark.parametrize("effort", ["-1", "10", "1.5", "much", "", "1&effort=1"])
def test_effort_that_is_none_is_refused(service: Service, effort: str) -> None:
    found = problem(service, f"/v1/compress?effort={effort}", file_of(picture()))
    assert (found["status"], found["code"]) == (400, "parameter") and "effort" in found["detail"]


def test_more_than_the_service_allows_is_refused_with_the_most(service: Service) -> None:
    found = problem(service, "/v1/compress?effort=4", b"is not even looked at")
    assert (found["status"], found["code"]) == (400, "parameter")
    assert found["detail"] == "effort is 4, and 3 is the most here"


def test_a_service_may_allow_none() -> None:
    with serving(codecs=[TINY], max_effort=0) as service:
        _, headers, _ = send(service, "/v1/compress", file_of(picture()))
        assert headers["gancodec-effort"] == "0"
        assert "0 is the most" in problem(service, "/v1/compress?effort=1", file_of(picture()))["detail"]


def test_a_codec_of_one_rate_spends_none(service: Service, levels: list[int]) -> None:
    name = list(service.app.state.engine.codecs)[1]
    _, headers, _ = send(service, f"/v1/compress?effort=2&codec={name}", file_of(picture()))
    assert headers["gancodec-effort"] == "0" and levels == [0]
    assert [each["max_effort"] for each in service.client().codecs()] == [3, 0]


@pytest.mark.parametrize(("most", "default"), [(0, 0), (1, 1), (7, 1)])
def test_the_description_tells_the_most(most: int, default: int) -> None:
    description = json.loads(json.dumps(create_app(Settings(device="cpu", max_effort=most)).openapi()))
    parameters = description["paths"]["/v1/compress"]["post"]["parameters"]
    (schema,) = (each["schema"] for each in parameters if each["name"] == "effort")
    assert (schema["minimum"], schema["maximum"], schema["default"]) == (0, most, default)


def test_a_target_is_searched_for_without_effort(service: Service, levels: list[int]) -> None:
    image = file_of(picture(200, 220))
    limit = len(send(service, "/v1/compress?quality=50&effort=0", image)[2])
    levels.clear()
    status, headers, data = send(service, f"/v1/compress?target_size={limit}&effort=2", image)
    assert status == 200 and len(data) <= limit and headers["gancodec-effort"] == "2"
    refined = levels.count(2)
    assert 1 <= refined <= 4 and levels == [0] * (len(levels) - refined) + [2] * refined


def test_the_client_asks_for_it(service: Service, levels: list[int]) -> None:
    service.client().compress(file_of(picture()), effort=2)
    service.client().compress(file_of(picture()))
    assert levels == [2, 1]


# What it counts


def test_passes_are_those_of_the_search_and_of_the_effort() -> None:
    assert passes(0, is_searched=False) == 1 and passes(0, is_searched=True) == SEARCHES
    assert passes(3, is_searched=False) == LEVELS[3].relative_time > passes(1, is_searched=False) > 1
    assert passes(3, is_searched=True) == SEARCHES + REFINEMENTS * LEVELS[3].relative_time


def test_effort_counts_in_what_is_let_in() -> None:
    """A device that does three such pictures within its deadline does not do one of effort 3 beside another."""
    with serving(codecs=[TINY], deadline_s=10) as service:
        image = file_of(picture(200, 200))
        load = service.app.state.work._load
        service.app.state.engine.pace.pixels_per_s = pace = 3 * 200 * 200 / 10
        with load.hold(200 * 200):
            assert send(service, "/v1/compress?effort=0", image)[0] == 200
            assert send(service, "/v1/compress?effort=1", image)[0] == 200
            assert send(service, "/v1/compress?effort=0&target_bpp=3", image)[0] == 429
            status, headers, data = send(service, "/v1/compress?effort=3", image)
            assert status == 429 and "counted by their effort" in json.loads(data)["detail"]
            missing = 200 * 200 * (1 + LEVELS[3].relative_time) - max(
                3 * 200 * 200, 200 * 200 * LEVELS[3].relative_time
            )
            assert int(headers["retry-after"]) == max(2, -(-missing // pace))
        assert send(service, "/v1/compress?effort=3", image)[0] == 200  # alone, however slow the device is
        assert load.held == 0


def test_pictures_of_different_effort_do_not_go_through_together() -> None:
    with serving(codecs=[TINY], batch_delay_ms=2_000.0, batch_pictures=4) as service:
        image = file_of(picture())
        with ThreadPoolExecutor(4) as pool:
            paths = [f"/v1/compress?effort={level}" for level in (0, 2, 0, 2)]
            answers = list(pool.map(lambda path: send(service, path, image), paths))
        assert [headers["gancodec-batch"] for _, headers, _ in answers] == ["2"] * 4
        assert answers[0][2] == answers[2][2] and answers[1][2] == answers[3][2] != answers[0][2]


# When it ends


@pytest.fixture
def ends() -> list[str]:
    """What became of each refinement: "begun", then "done" or the name of what it raised."""
    return []


def watched(quantise: Callable[..., Any], ends: list[str]) -> Any:
    def watching(*given: Any) -> Any:
        ends.append("begun")
        try:
            made = quantise(*given)
        except Exception as exc:
            ends.append(type(exc).__name__)
            raise
        ends.append("done")
        return made

    return watching


def test_a_refinement_whose_client_has_gone_ends(ends: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(codecs=[TINY], max_effort=9) as service:
        (codec,) = service.app.state.engine.codecs.values()
        monkeypatch.setattr(codec, "quantise", watched(codec.quantise, ends))
        body = file_of(picture())
        with socket.create_connection(service.address, timeout=SOON) as connection:
            head = b"POST /v1/compress?effort=9 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)
            wait_for(lambda: "begun" in ends)
        wait_for(lambda: held_pixels(service) == 0)
        assert ends == ["begun", GivenUpError.__name__]
        assert service.client().compress(body).width == 70


@pytest.mark.parametrize("target", ["", "&target_bpp=3"])
def test_a_refinement_that_would_be_late_ends_with_the_best_so_far(target: str) -> None:
    with serving(codecs=[TINY], max_effort=9, deadline_s=3) as service:
        status, headers, data = send(service, f"/v1/compress?effort=9{target}", file_of(picture()))
        assert status == 200 and headers["gancodec-notice"] == CUT_SHORT
        assert Codec.load(TINY, "cpu").decompress(data).size == (70, 90)
        text = send(service, "/metrics", method="GET")[2].decode()
        assert "gancodec_effort_cut_short_total 1.0" in text


def test_a_watch_asks_for_as_long_as_the_longest_and_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    asked: list[float] = []
    watch = Watch(lambda seconds: bool(asked.append(seconds)) or seconds < 5)
    for number, seconds in enumerate((2.0, 0.5, 0.5, 6.0), 1):
        clock[0] += seconds
        goes_on = watch(number, 5)
        assert goes_on == (number < 4)
    assert asked == [4.0, 3.25, 3.0, 8.0] and (watch.done, watch.of) == (4, 5)
    assert watch(5, 5)  # nothing is left to be ended


def test_a_search_for_which_no_time_is_left_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    in_time, late, gone = Ticket(deadline=101.0), Ticket(deadline=99.0), Ticket(deadline=101.0, gone=True)
    assert in_time.step(5, 5) and late.step(5, 5) and not gone.step(5, 5)
    assert not (in_time.is_cut_short or late.is_cut_short)
    assert in_time.step(0, 5) and not late.step(0, 5)  # before another file
    assert not in_time.is_cut_short and late.is_cut_short
    assert not in_time.step(4, 5) and in_time.is_cut_short  # the device ended it


# That it spoils nothing


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Whose refinements round products, as they do on processors that are good at it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    made = Engine(Settings(device="cpu", codecs=[TINY], max_effort=5), Measures())
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("level", [3, 5])
def test_what_passes_a_refinement_is_as_exact_as_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    (codec,) = engine.codecs.values()
    between, batcher = codec.pipeline.between, engine._batcher
    assert batcher is not None
    small, large = (Picture(colour_HWC=made_picture(1, side, side)) for side in (128, 256))
    opened = codec.open(codec.compress(small, quality=40, effort=0))
    networks = codec.pipeline.weights.modules().values()
    layers = [each for network in networks for each in network.modules() if isinstance(each, Halvable)]

    def submitted(kind: str, item: Any, effort: int = 0, side: int = 128) -> Future[Any]:
        key = Key(kind, codec.entry.name, (side, side), effort)
        relative_time = LEVELS[effort].relative_time
        return batcher.submit(Job(key, item, side * side, time.monotonic() + SOON, relative_time))

    def refined() -> int:
        crc: int = submitted(QUANTISE, (large, 40 * 256), level, 256).result(SOON).symbols.crc
        return crc

    def small_ones() -> list[Future[Any]]:
        return [
            submitted(DECODE, opened), submitted(QUANTISE, (small, 40 * 256)),
            submitted(QUANTISE, (small, 40 * 256), 1),
        ]  # fmt: skip

    def results(futures: Sequence[Future[Any]]) -> tuple[bytes, int, int]:
        decoded, plain, better = (each.result(SOON) for each in futures)
        return decoded.colour_HWC.tobytes(), plain.symbols.crc, better.symbols.crc

    alone, refined_alone = results(small_ones()), refined()
    passed: list[list[Future[Any]]] = []

    calls = count()

    def let_pass() -> None:
        assert not any(layer.half_product for layer in layers)
        if len(batcher._running) == 1 and next(calls) % 5 == level % 5:
            passed.append(small_ones())
            while not all(each.done() for each in passed[-1]):
                between()
        between()

    monkeypatch.setattr(codec.pipeline, "between", let_pass)
    assert refined() == refined_alone
    assert len(passed) >= 5
    assert {results(each) for each in passed} == {alone}
