"""Batches: who goes with whom, who passes whom, and that everybody is answered once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import pytest

from service.batcher import Batcher, ClosedError, DeadlineError, GivenUpError, Job, Limits

SOON = 20.0
LIMITS = Limits(pictures=4, pixels=1000, delay_s=0.05, small_cost=50)


class Device:
    """Runs batches and remembers them; a gate holds it back."""

    def __init__(self) -> None:
        self.batches: list[tuple[Hashable, list[Any]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.during: Callable[[], None] = lambda: None

    def run(self, key: Hashable, items: Sequence[Any]) -> Sequence[Any]:
        self.batches.append((key, list(items)))
        self.entered.set()
        assert self.gate.wait(SOON)
        if key == "large":
            self.during()
        if key == "fails":
            raise ValueError("no")
        return [ValueError("own") if item == "bad" else f"{item}!" for item in items]


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device) -> Iterator[Batcher]:
    made = Batcher(device.run, LIMITS)
    device.during = made.between
    yield made
    device.gate.set()
    made.close()


@pytest.fixture
def endless(device: Device) -> Callable[[], Batcher]:
    """Makes one whose large jobs end between two pieces only."""

    def make() -> Batcher:
        made = Batcher(device.run, LIMITS)

        def pieces() -> None:
            until = time.monotonic() + SOON
            while time.monotonic() < until:
                made.between()
                time.sleep(0.01)

        device.during = pieces
        return made

    return make


def job(key: Hashable, item: Any, pixels: int = 10, left_s: float = SOON) -> Job:
    return Job(key, item, pixels, time.monotonic() + left_s)


def submitted(batcher: Batcher, *jobs: Job) -> list[Future[Any]]:
    return [batcher.submit(each) for each in jobs]


def held(device: Device, batcher: Batcher) -> Future[Any]:
    """Keep the device busy, so that what comes next is all there when its turn comes."""
    device.gate.clear()
    first = batcher.submit(job("busy", "first"))
    assert device.entered.wait(SOON)
    return first


def test_jobs_of_one_key_go_together_in_their_order(device: Device, batcher: Batcher) -> None:
    first = held(device, batcher)
    futures = submitted(batcher, job("a", 1), job("b", 2), job("a", 3), job("a", 4))
    device.gate.set()
    assert [each.result(SOON) for each in (first, *futures)] == ["first!", "1!", "2!", "3!", "4!"]
    assert device.batches[1:] == [("a", [1, 3, 4]), ("b", [2])]


def test_a_batch_has_limits(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    futures = submitted(batcher, *(job("a", n) for n in range(6)), *(job("c", n, pixels=400) for n in range(3)))
    futures += submitted(batcher, job("d", 0, pixels=5000))
    device.gate.set()
    wait(futures, SOON)
    assert [items for key, items in device.batches if key == "a"] == [[0, 1, 2, 3], [4, 5]]
    assert [items for key, items in device.batches if key == "c"] == [[0, 1], [2]]
    assert [items for key, items in device.batches if key == "d"] == [[0]]


def test_a_job_waits_a_moment_for_others_of_its_kind(device: Device, batcher: Batcher) -> None:
    one = batcher.submit(job("a", 1))
    two = batcher.submit(job("a", 2))
    assert (one.result(SOON), two.result(SOON)) == ("1!", "2!")
    assert device.batches == [("a", [1, 2])]
    started = time.monotonic()
    submitted(batcher, *(job("a", n) for n in range(3)))
    batcher.submit(job("a", 3)).result(SOON)
    assert time.monotonic() - started < SOON / 2  # a full batch does not wait


def test_what_is_measured_is_kept_with_the_job(device: Device) -> None:
    seen: list[int] = []
    batcher = Batcher(device.run, LIMITS, observe=lambda jobs: seen.append(len(jobs)))
    jobs = [job("a", 1), job("a", 2)]
    wait(submitted(batcher, *jobs), SOON)
    batcher.close()
    assert seen == [2]
    assert all(each.batch == 2 and each.waited_s >= 0 and each.ran_s >= 0 for each in jobs)


def test_cancelled_jobs_never_reach_the_device(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    gone, stays = submitted(batcher, job("a", "gone"), job("a", "stays"))
    assert gone.cancel()
    device.gate.set()
    assert stays.result(SOON) == "stays!"
    with pytest.raises(CancelledError):
        gone.result(SOON)
    assert device.batches[1:] == [("a", ["stays"])]


def test_late_jobs_never_reach_the_device(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    late, fine = submitted(batcher, job("a", "late", left_s=0.0), job("a", "fine"))
    device.gate.set()
    assert fine.result(SOON) == "fine!"
    with pytest.raises(DeadlineError):
        late.result(SOON)
    assert device.batches[1:] == [("a", ["fine"])]


def test_a_failed_batch_fails_for_all_of_it_and_for_nobody_else(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    futures = submitted(batcher, job("fails", 1), job("fails", 2), job("a", 3), job("a", "bad"))
    device.gate.set()
    for future in futures[:2]:
        with pytest.raises(ValueError, match="no"):
            future.result(SOON)
    assert futures[2].result(SOON) == "3!"
    with pytest.raises(ValueError, match="own"):
        futures[3].result(SOON)


def test_small_jobs_pass_a_large_one(device: Device, batcher: Batcher) -> None:
    order: list[str] = []
    held(device, batcher)
    futures = submitted(
        batcher, job("large", "L", pixels=900), job("a", "s1"), job("b", "middle", pixels=100), job("a", "s2")
    )
    for future, name in zip(futures, ("L", "s1", "middle", "s2"), strict=True):
        future.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
    device.gate.set()
    wait(futures, SOON)
    assert order == ["s1", "s2", "L", "middle"]
    assert device.batches[1:] == [("large", ["L"]), ("a", ["s1", "s2"]), ("b", ["middle"])]


def test_what_is_small_and_takes_long_passes_nobody(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    slow = Job("slow", "s", 10, time.monotonic() + SOON, 6.0)
    futures = submitted(batcher, job("large", "L", pixels=900), slow, job("a", "quick"))
    assert slow.cost == 60
    device.gate.set()
    wait(futures, SOON)
    assert device.batches[1:] == [("large", ["L"]), ("a", ["quick"]), ("slow", ["s"])]


def test_what_passes_is_not_counted_as_time_of_what_is_passed(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    large, small = job("large", "L", pixels=900), job("fails", "s")
    device.during = lambda: (time.sleep(0.05), batcher.between())[1]
    run = batcher._run
    batcher._run = lambda key, items: (time.sleep(0.3 * (key == "fails")), run(key, items))[1]
    futures = submitted(batcher, large, small)
    device.gate.set()
    wait(futures, SOON)
    assert small.ran_s >= 0.3 and 0.05 <= large.ran_s < 0.3


def test_there_is_time_as_long_as_nobody_would_be_refused_for_it(device: Device) -> None:
    batcher = Batcher(device.run, Limits(pictures=4, pixels=5000, delay_s=0.05, small_cost=50))
    gone, stays = job("large", "gone", pixels=900, left_s=5 * SOON), job("large", "stays", pixels=900)
    found: list[bool] = []

    def during() -> None:
        found.extend(batcher.has_time(seconds) for seconds in (0.0, 2 * SOON))
        gone.give_up()
        found.extend(batcher.has_time(seconds) for seconds in (0.0, 2 * SOON))
        stays.give_up()
        with pytest.raises(GivenUpError):
            batcher.has_time(0.0)

    device.during = during
    wait(submitted(batcher, gone, stays), SOON)
    batcher.close()
    assert found == [True, False, True, False]


def test_small_jobs_that_were_given_up_take_no_turn(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    large = batcher.submit(job("large", "L", pixels=900))
    given_up = [batcher.submit(job(f"gone {number}", number)) for number in range(20)]
    small = batcher.submit(job("a", "s"))
    for future in given_up:
        assert future.cancel()
    done_before_large = []
    small.add_done_callback(lambda _: done_before_large.append(not large.done()))
    device.gate.set()
    wait([large, small], SOON)
    assert done_before_large == [True]
    assert device.batches[1:] == [("large", ["L"]), ("a", ["s"])]


def test_many_small_jobs_do_not_keep_a_large_one_from_its_half_of_the_time(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    tiles, small = 3, 60

    def work() -> None:
        for _ in range(tiles):
            time.sleep(0.06)
            batcher.between()

    device.during = work
    passed: list[int] = []
    large = batcher.submit(job("large", "L", pixels=900))
    large.add_done_callback(lambda _: passed.append(len(device.batches) - 2))
    waits = [batcher.submit(job(f"small {number}", "slow")) for number in range(small)]
    run = batcher._run
    batcher._run = lambda key, items: (time.sleep(0.02 * (items == ["slow"])), run(key, items))[1]
    device.gate.set()
    wait([large, *waits], SOON)
    assert tiles <= passed[0] < small  # about three a tile; one at least, however slow the machine is


def test_nobody_else_may_let_small_ones_pass(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    future = batcher.submit(job("a", 1))
    batcher.between()  # from another thread than the batcher's
    assert not future.done()


def test_closing_takes_no_more_and_fails_what_has_not_begun(device: Device) -> None:
    batcher = Batcher(device.run, LIMITS)
    first = held(device, batcher)
    future = batcher.submit(job("a", 1))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    with pytest.raises(ClosedError):
        future.result(SOON)
    with pytest.raises(ClosedError):
        batcher.submit(job("a", 2))
    device.gate.set()
    closing.join(SOON)
    assert first.result(0) == "first!" and not closing.is_alive()


def test_closing_ends_what_is_under_way_between_two_pieces(device: Device, endless: Callable[[], Batcher]) -> None:
    batcher = endless()
    large = batcher.submit(job("large", "L", pixels=900))
    assert device.entered.wait(SOON)
    batcher.close()
    with pytest.raises(ClosedError):
        large.result(0)
    assert not batcher._thread.is_alive()


def test_closing_does_not_wait_without_end_for_a_single_piece(device: Device) -> None:
    batcher = Batcher(device.run, LIMITS)
    stuck = held(device, batcher)
    batcher.close(mercy_s=0.05)
    with pytest.raises(ClosedError):
        stuck.result(0)
    device.gate.set()
    batcher._thread.join(SOON)
    assert not batcher._thread.is_alive()


def test_what_nobody_waits_for_ends_between_two_pieces(device: Device, endless: Callable[[], Batcher]) -> None:
    batcher = endless()
    large = job("large", "L", pixels=900)
    batcher.submit(large)
    assert device.entered.wait(SOON)
    large.give_up()
    with pytest.raises(GivenUpError):
        large.future.result(SOON)
    assert batcher.submit(job("a", 1)).result(SOON) == "1!"
    batcher.close()


def test_what_is_too_late_ends_between_two_pieces(endless: Callable[[], Batcher]) -> None:
    batcher = endless()
    large = batcher.submit(job("large", "L", pixels=900, left_s=0.2))
    with pytest.raises(DeadlineError):
        large.result(SOON)
    batcher.close()


def test_what_was_given_up_holds_nothing(device: Device, batcher: Batcher) -> None:
    held(device, batcher)
    given_up, done = job("a", "gone", pixels=900), job("b", "done")
    submitted(batcher, given_up, done)
    given_up.give_up()
    assert (batcher.waiting, given_up.item) == (1, None)
    device.gate.set()
    assert done.future.result(SOON) == "done!" and done.item is None


def test_a_batch_goes_on_for_those_who_still_wait(device: Device) -> None:
    batcher = Batcher(device.run, Limits(pictures=4, pixels=5000, delay_s=0.05, small_cost=50))
    device.during = batcher.between
    device.gate.clear()
    gone, stays = job("large", "gone", pixels=900), job("large", "stays", pixels=900)
    submitted(batcher, gone, stays)
    assert device.entered.wait(SOON)
    gone.give_up()
    device.gate.set()
    assert stays.future.result(SOON) == "stays!"
    batcher.close()


def test_what_cannot_be_counted_is_answered_all_the_same(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    batcher = Batcher(device.run, LIMITS, observe=lambda jobs: [][len(jobs)])
    assert [batcher.submit(job("a", number)).result(SOON) for number in range(2)] == ["0!", "1!"]
    assert "could not be counted" in caplog.text
    batcher.close()


def test_under_fire_everybody_is_answered_exactly_once(device: Device, batcher: Batcher) -> None:
    rng = random.Random(1)
    answers: list[int] = []
    lock = threading.Lock()

    def client(seed: int) -> None:
        own = random.Random(seed)
        for number in range(40):
            key = own.choice(["a", "b", "large", "fails"])
            pixels = 600 if key == "large" else own.choice([5, 200])
            future = batcher.submit(job(key, number, pixels=pixels, left_s=own.choice([0.0, SOON, SOON])))
            future.add_done_callback(lambda _: _count())
            if own.random() < 0.2:
                future.cancel()

    def _count() -> None:
        with lock:
            answers.append(1)

    clients = [threading.Thread(target=client, args=(rng.random(),)) for _ in range(8)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(SOON)
    deadline = time.monotonic() + SOON
    while len(answers) < 320 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(answers) == 320 and batcher.waiting == 0
