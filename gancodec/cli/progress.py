"""A progress bar on stderr, for those who watch: only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function to be called with the name of each of `total` files when it is done."""
    if not shown or not sys.stderr.isatty():
        yield lambda label: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),  # names may have brackets
    )
    # stdout carries data; stderr is redirected by rich, so that messages do not tear the bar.
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    with bar:
        task = bar.add_task("", total=total)
        finished = 0

        def done(label: str) -> None:
            nonlocal finished
            finished += 1
            bar.update(task, completed=finished, description=label)

        yield done
