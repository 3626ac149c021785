"""Progress on stderr, for those who watch: only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LONG_S: Final = 3600.0
"""Where files are refined, the speed is that of so many seconds: a single iteration may last longer than rich's 30."""


class Progress:
    """Shows nothing."""

    def done(self, label: str) -> None:
        """A file is done."""

    @contextmanager
    def refining(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Yield a function to be called with the iterations done, and of how many; label: whose they are."""
        yield lambda done, of: None


class _Shown(Progress):
    """A bar of files, and while a picture is refined one of its iterations."""

    def __init__(self, bars: Bars, total: int) -> None:
        self._bars = bars
        self._files = bars.add_task("", total=total)
        self._done = 0

    def done(self, label: str) -> None:
        self._done += 1
        self._bars.update(self._files, completed=self._done, description=label)

    @contextmanager
    def refining(self, label: str) -> Iterator[Callable[[int, int], None]]:
        task = None

        def show(done: int, of: int) -> None:
            nonlocal task
            if task is None:  # not before: what the networks do else takes no iterations
                task = self._bars.add_task(f"iterations, {label}", total=of)
            elif done <= 1:  # a search for a size refines several times
                self._bars.reset(task, total=of)
            self._bars.update(task, completed=done)

        try:
            yield show
        finally:
            if task is not None:
                self._bars.remove_task(task)


@contextmanager
def progress(total: int, *, shown: bool, refines: bool = False) -> Iterator[Progress]:
    """Yield what is to be told of `total` files.  refines: they take iterations that are worth being shown."""
    if not shown or not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),  # names may have brackets
    )
    # stdout carries data; stderr is redirected by rich, so that messages do not tear the bar.
    bars = Bars(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        speed_estimate_period=LONG_S if refines else 30.0,
    )
    with bars:
        yield _Shown(bars, total)
