"""What a process says of its own memory, and which errors say that there was too little."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gancodec.evaluation.memory import HOST, is_out_of_memory, peak_bytes

MIB = 1 << 20
STATM = Path("/proc/self/statm")


@pytest.mark.skipif(not STATM.exists(), reason="no /proc, which says how large the process is now")
def test_the_peak_is_at_least_what_the_process_has_now() -> None:
    touched = bytearray(b"x") * (64 * MIB)
    now_bytes = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = peak_bytes()[HOST]
    assert len(touched) <= now_bytes <= peak + 4 * MIB  # kernels count pages in batches, processor by processor
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert peak <= machine_bytes


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = peak_bytes()[HOST]
    touched = bytearray(b"x") * (64 * MIB)
    held = peak_bytes()[HOST]
    del touched
    assert before <= held <= peak_bytes()[HOST]


@pytest.mark.parametrize(("platform", "unit_bytes"), [("linux", 1024), ("darwin", 1)])
def test_every_systems_count_becomes_bytes(monkeypatch: pytest.MonkeyPatch, platform: str, unit_bytes: int) -> None:
    resource = pytest.importorskip("resource", reason="Windows does not say it")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=3000))
    assert peak_bytes()[HOST] == 3000 * unit_bytes


def test_a_system_that_does_not_say_has_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert HOST not in peak_bytes()


def test_every_gpu_has_its_own_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: (index + 5) * MIB)
    found = peak_bytes()
    found.pop(HOST, None)
    assert found == {"cuda:0": 5 * MIB, "cuda:1": 6 * MIB}


def test_torch_is_not_loaded_to_ask_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert set(peak_bytes()) <= {HOST}
    assert "torch" not in sys.modules


def test_what_torch_says_when_the_cpu_has_too_little_is_recognised() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 62, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 4 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 4 bytes"),
    ],
    ids=["Python", "torch on a GPU", "the driver", "torch on the CPU"],
)  # fmt: skip
def test_too_little_memory_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape '[2, 3]' is invalid for input of size 5"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("Expected all tensors to be on the same device"),
        OSError(28, "No space left on device"),
    ],
    ids=["wrong shape", "wrong access", "wrong device", "full disk"],
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)
