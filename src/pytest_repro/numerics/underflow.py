"""Gradual underflow during a measurement, even if the code under test has switched flush-to-zero on.

With flush-to-zero (``torch.set_flush_denormal(True)``, ``-ffast-math`` libraries) the processor computes
``1e-310 - 2e-310`` as 0 and even widens a subnormal float32 to 0, so a difference would be measured as 0.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pytest_repro.errors import ReproError

# fenv_t has 32 bytes on x86-64 and 8 on arm64. This is enough for any platform.
_FENV_BYTES = 512
_SMALLEST = np.array([5e-324])
_ONE = np.array([1.0])


def is_flushing() -> bool:
    """Return whether this thread treats subnormal numbers as zero."""
    return not (_SMALLEST * _ONE).view(np.uint64)[0]


@contextmanager
def gradual_underflow() -> Iterator[None]:
    """Switch flush-to-zero off in this thread, and restore it afterwards.

    Raises
    ------
    ReproError
        If it is on and cannot be switched off on this platform.
    """
    if not is_flushing():
        yield
        return
    libm, default = _floating_environment()
    saved = ctypes.create_string_buffer(_FENV_BYTES)
    if libm is not None:
        libm.fegetenv(saved)
        libm.fesetenv(default)
    try:
        if is_flushing():
            raise ReproError(
                "flush-to-zero is on in this thread and cannot be switched off on this platform, so differences between"
                " subnormal numbers cannot be measured; call torch.set_flush_denormal(False) before comparing"
            )
        yield
    finally:
        if libm is not None:
            libm.fesetenv(saved)


@functools.cache
def _floating_environment() -> tuple[Any, Any]:
    """Return the C library's <fenv.h> and its FE_DFL_ENV, or (None, None)."""
    if os.name == "nt":
        return None, None
    try:
        libm = ctypes.CDLL("libm.so.6" if sys.platform == "linux" else None)
    except OSError:  # musl keeps <fenv.h> in libc, which is already loaded
        libm = ctypes.CDLL(None)
    if not hasattr(libm, "fesetenv"):
        return None, None
    if sys.platform == "darwin":
        return libm, ctypes.byref(ctypes.c_byte.in_dll(libm, "_FE_DFL_ENV"))
    return libm, ctypes.c_void_p(-1)  # glibc and musl: FE_DFL_ENV is ((const fenv_t *) -1)
