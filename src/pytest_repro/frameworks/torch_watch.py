"""torch's operations and modules in a watched run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_repro.frameworks.torch_live import default_state, digest_tensor

__all__ = ["OperationWatch", "default_state"]

#: Operations whose output is unwritten memory: its content means nothing until it is written.
UNINITIALISED = frozenset(
    {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "resize_"}
)
#: Operations that compute no value: a view of one, or bookkeeping.
_SILENT = frozenset({"detach", "view", "alias", "t", "transpose", "unsqueeze", "squeeze", "expand", "_unsafe_view"})
_BOOKKEEPING = frozenset({"profiler", "prim"})


def _find_compiler_switch() -> Any:
    """Return the function that turns torch's compiler off and on for this thread, which is loaded without it.

    None for a release that lacks it, or the means to have the compiler pass over one function.
    """
    compiler: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
    return getattr(compiler, "set_eval_frame", None) if hasattr(compiler, "set_code_exec_strategy") else None


def _hide_from_compiler(function: Any) -> None:
    """Have torch's compiler pass over a function, as ``torch._dynamo.eval_frame.skip_code`` does."""
    compiler: Any = torch._C._dynamo.eval_frame
    strategy = compiler._FrameExecStrategy(compiler._FrameAction.SKIP, compiler._FrameAction.DEFAULT)
    compiler.set_code_exec_strategy(function.__code__, strategy)


_switch_compiler = _find_compiler_switch()


class OperationWatch:
    """Watch of the operations and modules that this thread runs.

    Parameters
    ----------
    sink : callable
        Takes kind, module, operation, inputs' digest, outputs' digest.
    wants : callable
        Returns whether operations are recorded now. Otherwise they cost next to nothing.
    """

    def __init__(self, sink: Callable[[str, str, str, str, str], None], wants: Callable[[], bool]) -> None:
        self._sink = sink
        self._wants = wants
        self._stack = ExitStack()
        self._modules: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        try:
            self._stack.enter_context(_Operations(self))
            self._stack.enter_context(self._module_hooks())
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        """Stop watching."""
        self._stack.close()

    @contextmanager
    def _module_hooks(self) -> Iterator[None]:
        from torch.nn.modules import module as hooks

        handles = [
            hooks.register_module_forward_pre_hook(self._begin_module),
            hooks.register_module_forward_hook(self._end_module, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin_module(self, module: Any, args: Any) -> None:
        if not self._modules:
            self._names = {id(child): name for name, child in module.named_modules()}
        name = self._names.get(id(module), "") or type(module).__name__
        self._modules.append((name, _digest_tree(args) if self._wants() else ""))

    def _end_module(self, module: Any, args: Any, output: Any) -> None:
        if not self._modules:
            return
        name, inputs = self._modules.pop()
        if inputs and self._wants():
            self._sink("module", name, type(module).__name__, inputs, _digest_tree(output))

    def run(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation and report it."""
        origin, _, packet = function._schema.name.partition("::")
        if packet in _SILENT or origin in _BOOKKEEPING or not self._wants():
            return function(*args, **kwargs)
        inputs = "" if packet in UNINITIALISED else _digest_tree((args, kwargs))
        output = function(*args, **kwargs)
        if packet not in UNINITIALISED:
            module = self._modules[-1][0] if self._modules else ""
            self._sink("operation", module, str(function), inputs, _digest_tree(output))
        return output


class _Operations(TorchDispatchMode):  # type: ignore[misc]
    def __init__(self, watch: OperationWatch) -> None:
        super().__init__()
        self._watch = watch

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return whether torch is to keep its compiler away, for which it imports it in each watched run (2 s of CPU).

        Otherwise :meth:`__torch_dispatch__` does so by itself.
        """
        return _switch_compiler is None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _switch_compiler is None:
            return self._watch.run(func, args, kwargs or {})
        before = _switch_compiler(None)
        try:
            return self._watch.run(func, args, kwargs or {})
        finally:
            _switch_compiler(before)


if _switch_compiler is not None:
    _hide_from_compiler(_Operations.__torch_dispatch__)


def _digest_tree(tree: Any, depth: int = 0) -> str:
    """Digest the tensors and plain numbers of nested arguments."""
    if issubclass(type(tree), torch.Tensor):
        return digest_tensor(tree)
    if depth < 4 and issubclass(type(tree), (list, tuple)):
        return f"[{','.join(_digest_tree(item, depth + 1) for item in tree[:64])}]"
    if depth < 4 and issubclass(type(tree), dict):
        return f"{{{','.join(_digest_tree(item, depth + 1) for item in list(dict.values(tree))[:64])}}}"
    if type(tree) in (int, float, bool, str, type(None)) or issubclass(
        type(tree), (torch.dtype, torch.device, torch.layout)
    ):
        return repr(tree)
    return f"?{type(tree).__name__}"
