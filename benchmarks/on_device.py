#!/usr/bin/env python3
"""Measure how fast two tensors are compared on their device, and the same for torch.equal, in GB read per second.

    python benchmarks/on_device.py                       # the accelerator, 1 GiB a tensor
    python benchmarks/on_device.py --device cpu --mib 64

It has only been run on the CPU so far, because no accelerator was available.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from pytest_repro.frameworks.torch_comparing import compare_tensors
from pytest_repro.model import Tolerance

ROUNDS = 5


def find_device() -> str:
    """Return the accelerator that torch finds, or else the CPU."""
    kind = torch.accelerator.current_accelerator()
    return "cpu" if kind is None else str(kind.type)


def time_best(run: Callable[[], Any], device: str) -> float:
    """Return the shortest of several times [s], each measured until the device's queue is empty."""
    times = []
    for _ in range(ROUNDS):
        _wait(device)
        started = time.perf_counter()
        run()
        _wait(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _wait(device: str) -> None:
    if not device.startswith("cpu"):
        torch.accelerator.synchronize()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--device", default=find_device())
    parser.add_argument("--mib", type=int, default=1024, help="size of one tensor [MiB]")
    arguments = parser.parse_args()
    expected = torch.randn(arguments.mib * 2**18, device=arguments.device)
    one, all_ = expected.clone(), expected * 1.000001
    one[len(one) // 2] += 1
    gigabytes = 2 * expected.numel() * 4 / 1e9
    print(f"{arguments.device}, torch {torch.__version__}, {arguments.mib} MiB a tensor, best of {ROUNDS} [GB/s]")
    print(f"{'':<16}{'torch.equal':>12}{'compare':>12}")
    for name, actual in (("identical", expected.clone()), ("one differs", one), ("all differ", all_)):
        equal = time_best(lambda actual=actual: torch.equal(actual, expected), arguments.device)  # type: ignore[misc]
        compared = time_best(
            lambda actual=actual: compare_tensors(actual, expected, dtype="float32", bound=Tolerance()),  # type: ignore[misc]
            arguments.device,
        )
        print(f"{name:<16}{gigabytes / equal:>12.1f}{gigabytes / compared:>12.1f}")


if __name__ == "__main__":
    main()
