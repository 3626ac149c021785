"""Reading ahead: in order, not too far, and never more than the budget and one large picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from gancodec.cli.ahead import Budget, ahead

SOON = 20.0


def test_results_come_in_the_items_order_whichever_is_ready_first() -> None:
    later = [threading.Event() for _ in range(10)]

    def work(item: int) -> int:
        if item + 1 < len(later) and item % 2 == 0:
            assert later[item + 1].wait(SOON)  # the next one is ready before this
        later[item].set()
        return item

    with ThreadPoolExecutor(4) as executor:
        assert list(ahead(executor, work, range(10), depth=4)) == list(range(10))


@pytest.mark.parametrize("depth", [1, 4])
def test_no_more_items_than_the_depth_are_begun_before_one_is_taken(depth: int) -> None:
    """The items are an iterator that counts: what it was not asked for cannot have been begun."""
    asked: list[int] = []

    def items() -> Iterator[int]:
        for item in range(30):
            asked.append(item)
            yield item

    with ThreadPoolExecutor(8) as executor, closing(ahead(executor, lambda i: i, items(), depth=depth)) as results:
        for taken, _ in enumerate(results, 1):
            assert len(asked) == min(30, taken + depth - 1)


def test_work_goes_on_while_the_caller_is_busy() -> None:
    begun = [threading.Event() for _ in range(6)]

    def work(item: int) -> None:
        begun[item].set()

    with ThreadPoolExecutor(1) as executor, closing(ahead(executor, work, range(6), depth=3)) as results:
        next(results)
        assert all(event.wait(SOON) for event in begun[:3])
        assert not any(event.wait(0.05) for event in begun[3:])


def test_items_that_may_block_are_worked_by_the_caller_when_it_is_their_turn() -> None:
    begun: list[int] = []

    def work(item: int) -> str:
        begun.append(item)
        return threading.current_thread().name

    with ThreadPoolExecutor(2) as executor:
        results = ahead(executor, work, range(3), depth=3, here=lambda item: item == 1)
        first = next(results)
        assert 1 not in begun
        second, third = results
    assert second == threading.current_thread().name
    assert second not in (first, third)


def test_closing_drops_what_has_not_begun() -> None:
    begun: list[int] = []
    gate = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        assert item == 0 or gate.wait(SOON)
        return item

    with ThreadPoolExecutor(1) as executor:
        results = ahead(executor, work, range(10), depth=5)
        assert next(results) == 0
        results.close()
        gate.set()
    assert len(begun) <= 2


def taking(budget: Budget, number: int, share: int) -> threading.Event:
    taken = threading.Event()

    def work() -> None:
        budget.take(number, share)
        taken.set()

    threading.Thread(target=work, daemon=True).start()
    return taken


def test_shares_are_granted_in_order_of_their_numbers() -> None:
    budget = Budget(100)
    second = taking(budget, 1, 1)
    assert not second.wait(0.05)
    assert taking(budget, 0, 1).wait(SOON)
    assert second.wait(SOON)


@pytest.mark.parametrize(("held", "share", "granted"), [(60, 40, True), (60, 41, False), (0, 1000, True)])
def test_a_share_fits_or_waits_until_nothing_is_held(held: int, share: int, granted: bool) -> None:
    budget = Budget(100)
    budget.take(0, held)
    taken = taking(budget, 1, share)
    assert taken.wait(SOON if granted else 0.05) == granted
    budget.give(held)
    assert taken.wait(SOON)


def test_the_caller_is_told_before_it_has_to_wait() -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        assert list(ahead(executor, lambda item: gate.wait(SOON), range(2), depth=2, idle=gate.set)) == [True, True]


def test_the_caller_is_not_told_where_it_need_not_wait() -> None:
    ready = [threading.Event() for _ in range(3)]
    told: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        results = ahead(executor, lambda item: ready[item].set(), range(3), depth=3, idle=lambda: told.append("idle"))
        next(results)
        told.clear()
        executor.submit(lambda: None).result()  # the only thread: what was before it is over
        for _ in results:
            pass
    assert told == []


def test_all_that_is_held_is_never_more_than_the_budget() -> None:
    budget, lock, held, most = Budget(100), threading.Lock(), 0, 0
    shares = [7 * number % 61 for number in range(60)]

    def work(number: int) -> None:
        nonlocal held, most
        budget.take(number, shares[number])
        with lock:
            held += shares[number]
            most = max(most, held)
        time.sleep(0.001)
        with lock:
            held -= shares[number]
        budget.give(shares[number])

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(60)))
    assert max(shares) < most <= 100
    assert held == 0


def test_nobody_waits_for_a_closed_budget() -> None:
    budget = Budget(1)
    budget.take(0, 10)
    waiting = [taking(budget, number, 10) for number in (1, 2, 5)]
    budget.close()
    assert all(each.wait(SOON) for each in waiting)
