"""Settings of torch for the axes. Imported only if torch is loaded."""

from __future__ import annotations

import hashlib

import torch


def get_threads() -> int:
    """Return the number of threads within an operation."""
    return int(torch.get_num_threads())


def set_threads(count: int) -> None:
    """Set the number of threads within an operation, also of OpenMP and MKL, without MKL's dynamic reduction."""
    torch.set_num_threads(count)


def read_cpu_kernels() -> dict[str, str]:
    """Return values that identify the instruction sets used by torch and the libraries inside it.

    ``torch`` is torch's own report. MKL and oneDNN, which are linked into it, report nothing. Instead, a digest of
    their results for fixed inputs on one thread changes with their kernels.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            values = torch.arange(64 * 512, dtype=torch.float64, device="cpu").mul_(0.7310).sin_().float()
            left, right = values.view(64, 512), values.view(512, 64)
            image, kernel = values[: 4 * 8 * 144].view(4, 8, 12, 12), values[-8 * 8 * 9 :].view(8, 8, 3, 3)
            # Both dtypes, because MKL's AVX2 branch changes only float64 on some processors.
            products = torch.cat([torch.mm(left, right).double(), torch.mm(left.double(), right.double())])
            filtered = torch.nn.functional.conv2d(image, kernel)
    finally:
        torch.set_num_threads(count)
    return {
        "torch": torch.backends.cpu.get_cpu_capability(),
        "torch matmul": _digest(products),
        "torch convolution": _digest(filtered),
    }


def read_new_memory() -> str:
    """Return the distinct bytes of new uninitialised tensors, small and large, in hexadecimal."""
    found: set[int] = set()
    for size in (64, 4096, 1 << 20):
        found.update(torch.empty(size, dtype=torch.uint8, device="cpu").numpy().tobytes())
    return bytes(sorted(found)[:4]).hex()


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]
