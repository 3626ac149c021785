"""Children that measure: started one at a time, listened to, and killed if we are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

from gancodec import errors
from gancodec.errors import GancodecError

ROOT: Final = Path(__file__).resolve().parents[3]
Job = Mapping[str, Any]


class ChildDiedError(GancodecError):
    """A process that measures ended without a result."""

    def __init__(self, reason: str, contender: str) -> None:
        super().__init__(f"a process that measures ended early: {reason}", hint="set GANCODEC_TRACEBACK=1 to see more")
        self.reason = reason
        self.contender = contender
        """Whose turn it was; empty if it was nobody's."""


def command(job: Job) -> list[str]:
    """What a child is started with."""
    # -P: a torch.py in the working folder is not meant.
    return [sys.executable, "-P", "-m", "gancodec.evaluation.bench.measure", json.dumps(job)]


def run_child(job: Job, *, say: Callable[[str], None], show_tracebacks: bool) -> Any:
    """The result of one job of measure.py, done in a process of its own.

    say: is given the child's progress, one line at a time.  show_tracebacks: its stderr is ours, or else its last line
    becomes the reason of a death.  Raises the GancodecError that the child raised, ChildDiedError if it ended by
    anything else.
    """
    contender, reason, result = "", "", None
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command(job),
            env=_environment(job.get("threads")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if show_tracebacks else complaints,
        ) as child,
    ):
        try:
            assert child.stdout is not None
            for line in child.stdout:
                message = _message(line)
                contender = message.get("contender", contender)
                if "say" in message:
                    say(message["say"])
                if "error" in message:
                    raise _error(message["error"])
                reason = message.get("died", reason)
                result = message.get("result", result)
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()  # after Ctrl-C, Popen itself would wait for a quarter of a second only
            raise
        if code or result is None:
            raise ChildDiedError(reason or _last_words(code, complaints), contender)
    return result


def _environment(threads: int | None) -> dict[str, str]:
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    if threads is not None:  # pools that torch.set_num_threads does not reach
        environment.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    return environment


def _message(line: bytes) -> dict[str, Any]:
    """One line of the child's; nothing if death cut it short."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _error(error: Mapping[str, str]) -> GancodecError:
    """The child's error as our own, with its exit code."""
    kind = getattr(errors, error["type"], GancodecError)
    raised: GancodecError = kind(error["message"], hint=error["hint"])
    return raised


def _last_words(code: int, complaints: IO[bytes]) -> str:
    if code < 0:
        name = signal.strsignal(-code) or f"signal {-code}"
        return f"{name}, perhaps for its memory" if -code == signal.SIGKILL else name
    complaints.seek(0)
    lines = complaints.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")
