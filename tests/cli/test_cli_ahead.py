"""Reading ahead: in order, not too far, and never more than the budget and one large picture."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from gancodec.cli.ahead import Budget, ahead

SOON = 20.0


def test_results_come_in_order_and_only_so_many_items_are_begun() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.002 * (item % 3))
        return item * item

    taken = []
    with ThreadPoolExecutor(3) as executor, closing(ahead(executor, work, range(30), depth=4)) as results:
        for place, result in enumerate(results):
            taken.append(result)
            assert max(begun) <= place + 4
    assert taken == [item * item for item in range(30)]


def test_items_that_may_block_are_worked_by_the_caller() -> None:
    with ThreadPoolExecutor(2) as executor:
        work = ahead(executor, lambda item: threading.current_thread().name, range(3), depth=3, here=lambda i: i == 1)
        first, second, third = work
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


def test_nobody_waits_for_a_closed_budget() -> None:
    budget = Budget(1)
    budget.take(0, 10)
    waiting = [taking(budget, number, 10) for number in (1, 2, 5)]
    budget.close()
    assert all(each.wait(SOON) for each in waiting)
