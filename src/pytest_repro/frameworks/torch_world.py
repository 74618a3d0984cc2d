"""torch's process group, opened around one rank's work."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def joined_world(backend: str, timeout_s: float) -> Iterator[tuple[int, int]]:
    """Join the process group that torchrun describes in the environment; give the rank and the number of ranks."""
    if backend == "nccl":
        torch.cuda.set_device(dist.get_node_local_rank())
    dist.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout_s))
    try:
        yield dist.get_rank(), dist.get_world_size()
        dist.barrier()  # none leaves while another still needs its store
    finally:
        dist.destroy_process_group()
