"""Which library's kernels are to blame, once the axis `isa` is: each library's switch varied by itself."""

from __future__ import annotations

from collections.abc import Callable

from pytest_repro.axes import find_axis
from pytest_repro.model import JSON, Condition

#: Library -> the switches that it alone obeys.
_SWITCHES = {
    "numpy": ("NPY_DISABLE_CPU_FEATURES",),
    "openblas": ("OPENBLAS_CORETYPE",),
    "aten": ("ATEN_CPU_CAPABILITY",),
    "mkl": ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    "onednn": ("ONEDNN_MAX_CPU_ISA",),
    "libm": ("GLIBC_TUNABLES",),
    "numba": ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"),
}


def find_libraries(differs: Callable[[Condition], bool], value: JSON) -> list[str]:
    """Return the libraries whose switch alone makes a run differ; empty if only several together do.

    Parameters
    ----------
    differs : callable (Condition) -> bool
        Runs the test under the baseline's condition overlaid with this one, and tells whether it diverges.
    value : JSON
        The value of the axis that diverged: a level, or a dict of switches.
    """
    level = find_axis("isa").environment(value)
    found = []
    for library, names in _SWITCHES.items():
        own: dict[str, JSON] = {name: text for name in names if (text := level.get(name)) is not None}
        if own and differs(Condition((("isa", own),))):
            found.append(library)
    return found
