"""No more is let in than the device can do in time."""

from __future__ import annotations

import math

import pytest

from service.admission import MOST_RETRY_AFTER_S, RETRY_AFTER_S, Budget
from service.batcher import Job
from service.pace import TELLING_COST, Pace
from service.problems import QueueFull

TELLING_PIXELS = int(TELLING_COST)


def batch(*, pixels: int, seconds: float, pictures: int = 2) -> list[Job]:
    jobs = [Job("key", None, pixels, math.inf) for _ in range(pictures)]
    for job in jobs:
        job.ran_s, job.is_done = seconds, True
    return jobs


def test_pace_is_that_of_the_last_batches_that_tell() -> None:
    pace = Pace()
    assert pace.pixels_per_s == math.inf
    pace.batch(batch(pixels=TELLING_PIXELS // 4, seconds=1))
    assert pace.pixels_per_s == math.inf
    pace.batch(batch(pixels=TELLING_PIXELS, seconds=1))
    assert pace.pixels_per_s == 2 * TELLING_PIXELS
    for _ in range(30):
        pace.batch(batch(pixels=TELLING_PIXELS, seconds=4))
    assert pace.pixels_per_s == pytest.approx(TELLING_PIXELS / 2, rel=0.01)


def test_pace_is_that_of_the_cost() -> None:
    pace = Pace()
    jobs = batch(pixels=TELLING_PIXELS // 4, seconds=2, pictures=1)
    jobs[0].relative_time = 5.0
    pace.batch(jobs)
    assert pace.pixels_per_s == TELLING_PIXELS * 5 / 4 / 2


def test_what_ended_early_says_nothing_about_the_pace() -> None:
    pace = Pace()
    pace.batch(batch(pixels=TELLING_PIXELS, seconds=1))
    jobs = batch(pixels=1000 * TELLING_PIXELS, seconds=1)
    jobs[1].is_done = False
    pace.batch(jobs)
    assert pace.pixels_per_s == 2 * TELLING_PIXELS


@pytest.mark.parametrize(
    ("per_s", "wait"), [(math.inf, RETRY_AFTER_S), (100.0, RETRY_AFTER_S), (2.0, 10), (0.01, MOST_RETRY_AFTER_S)]
)
def test_who_is_refused_is_told_when_there_may_be_room(per_s: float, wait: int) -> None:
    budget = Budget(math.inf, "pixels", room=lambda: 100.0, per_s=lambda: per_s)
    with budget.hold(80), pytest.raises(QueueFull, match="80 of 100 pixels are in work") as caught, budget.hold(40):
        pass
    assert caught.value.headers == {"Retry-After": str(wait)}


def test_a_slow_device_is_given_less_than_the_queue_holds() -> None:
    room = math.inf
    budget = Budget(100, "pixels", room=lambda: room)
    with budget.hold(60):
        room = 70
        with pytest.raises(QueueFull, match="60 of 70 pixels are in work"), budget.hold(20):
            pass
        with budget.hold(10):
            assert budget.held == 70


def test_one_request_is_let_in_however_slow_the_device_is() -> None:
    budget = Budget(100, "pixels", room=lambda: 1.0)
    with budget.hold(80), pytest.raises(QueueFull), budget.hold(1):
        pass
    with pytest.raises(QueueFull), budget.hold(101):
        pass
