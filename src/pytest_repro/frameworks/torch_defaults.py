"""torch's defaults while the plugin's own code computes, whatever the test has set."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def set_defaults() -> list[Callable[[], object]]:
    """Set the default dtype and device, and leave inference mode, and return what undoes it."""
    torch: Any = sys.modules.get("torch")
    undo: list[Callable[[], object]] = []
    if torch is None or not hasattr(torch, "get_default_dtype"):  # it is being imported
        return undo
    dtype = torch.get_default_dtype()
    if dtype is not torch.float32:
        torch.set_default_dtype(torch.float32)
        undo.append(lambda: torch.set_default_dtype(dtype))
    if torch.is_inference_mode_enabled():
        _enter(torch.inference_mode(False), undo)
    if torch._C._len_torch_function_stack():
        # A device that was set as the default is such a mode, and another one on top of it overrides it.
        _enter(torch.device("cpu"), undo)
    return undo


def _enter(context: Any, undo: list[Callable[[], object]]) -> None:
    context.__enter__()
    undo.append(lambda: context.__exit__(None, None, None))
