"""numba's compiled functions, by the Python function that was compiled, and its typed containers."""

from __future__ import annotations

from typing import Any

from numba.core.dispatcher import Dispatcher
from numba.np.ufunc.dufunc import DUFunc
from numba.typed import Dict, List

from pytest_repro.frameworks.base_values import Branch, Handler


def capture_dispatcher(value: Any) -> Branch:
    """Capture a compiled function by its Python function and options. What was compiled so far depends on its use."""
    options = tuple((str(name), str(option)) for name, option in sorted(value.targetoptions.items()))
    return Branch("compiled function", [("function", value.py_func)], options, is_object=True)


HANDLERS: dict[type, Handler] = {
    Dispatcher: capture_dispatcher,
    DUFunc: lambda value: Branch("compiled ufunc", [("function", value.py_func)], is_object=True),
    List: lambda value: Branch("List", [(str(i), part) for i, part in enumerate(value)], whole=False),
    Dict: lambda value: Branch("Dict", [("entries", dict(value.items()))], whole=False),
}
