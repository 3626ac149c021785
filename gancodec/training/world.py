"""The processes and threads of a training run; ``torchrun`` starts several processes, else there is a world of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """``network`` with gradients averaged over all processes, and everyone's weights those of rank 0."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network)

    def agree(self, values: list[float], device: torch.device) -> list[float]:
        """Rank 0's values, in every process: clocks differ, and the schedule may not."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.broadcast(tensor, 0)
        return tensor.tolist()

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        tensor = torch.tensor(float(flag), device=device)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return bool(tensor.item())

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


def join_world(device: torch.device) -> World:
    """The world that ``torchrun`` describes in the environment; without it, a world of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if not distributed.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
            distributed.init_process_group("nccl", device_id=device)
        else:
            distributed.init_process_group("gloo")
    return World(rank=distributed.get_rank(), size=size)


def leave_world() -> None:
    """Undo ``join_world``."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def fast_arithmetic(device: torch.device, threads: int | None = None) -> Iterator[None]:
    """Use ``threads`` cores (None: all that this process may use, or as many as OMP_NUM_THREADS says) while training.

    Denormal floats cost the CPU a hundredfold, so they become zero; a GPU multiplies in TF32.  What the caller had set
    is restored.
    """
    threads_before, precision_before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    if threads is not None or "OMP_NUM_THREADS" not in os.environ:
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(threads or affinity or 1)
    for kind in (np.float32, np.float64):
        np.finfo(kind)  # numpy looks for the smallest denormal once, and warns if there is none any more
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads_before)
        torch.set_float32_matmul_precision(precision_before)


def device_for(device: torch.device) -> torch.device:
    """CUDA: the one that ``torchrun`` gave this process."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def detached(terms: dict[str, Tensor]) -> dict[str, float]:
    """Numbers for the log, with one wait for the device instead of one for each."""
    values = torch.stack([value.detach().float().reshape(()) for value in terms.values()]).tolist()
    return dict(zip(terms, values, strict=True))
