"""torch's objects and operations as a watched run sees them: read from memory, with no operation of torch's own."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from pytest_repro.numerics.array_digest import describe_array, feed_bytes

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
#: Carriers by element size: bits are compared, not values.
_CARRIERS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}
#: Operations whose output holds what memory held before: it says nothing until it is written.
UNINITIALISED = frozenset(
    {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "resize_"}
)
#: Operations that make no value: a view of one, or bookkeeping.
_SILENT = frozenset({"detach", "view", "alias", "t", "transpose", "unsqueeze", "squeeze", "expand", "_unsafe_view"})
#: ``CPUGeneratorImplState`` of ATen: seed, position, 624 words, three doubles, a flag, a float, a flag.
_CPU_STATE_BYTES = 5056
_BOOKKEEPING = frozenset({"profiler", "prim"})
#: dtypes whose elements NumPy can show.
_SHOWN = {
    torch.float64: np.float64,
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
    torch.complex128: np.complex128,
    torch.complex64: np.complex64,
}


def read_bits(tensor: Any) -> Any:
    """Return a tensor's bits as an array of unsigned integers that shares its memory; None where it has none.

    Notes
    -----
    By pointer: an operation of torch's would be seen by the user's own modes, and by ours.
    """
    if type(tensor) not in _PLAIN_TYPES:
        return None
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return None
    if not tensor.is_cpu:
        return _read_from_device(tensor)
    size = tensor.element_size()
    carrier = _CARRIERS.get(size)
    if carrier is None:
        return None
    shape, strides = tuple(tensor.shape), tuple(s * size for s in tensor.stride())
    if not tensor.numel():
        return np.empty(shape, carrier)
    pointer = tensor.data_ptr()
    if not pointer:
        return None
    extent = size + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    memory = (ctypes.c_char * extent).from_address(pointer)
    return np.ndarray(shape, carrier, memory, 0, strides)


def _read_from_device(tensor: Any) -> Any:
    if tensor.device.type == "meta":
        return None
    with _disable_current_modes(), torch.no_grad():
        copied = tensor.detach().cpu()
        # Copied: the array below shares the memory of a tensor that ends here.
        bits = read_bits(copied)
        return None if bits is None else bits.copy()


def feed(hasher: Any, value: Any) -> bool:
    """Feed a tensor, a generator or a dtype; tell whether it was one."""
    if issubclass(type(value), torch.Tensor):
        is_kept = issubclass(type(value), torch.nn.Parameter)
        hasher.update((_digest_kept_tensor if is_kept else _digest_tensor)(value).encode())
        return True
    if issubclass(type(value), (torch.dtype, torch.device, torch.Size)):
        hasher.update(str(value).encode())
        return True
    if issubclass(type(value), torch.Generator):
        hasher.update(_generator_state(value))
        return True
    return False


def parts(value: Any) -> Iterable[tuple[str, Any]] | None:
    """Return a module's parameters and buffers by path, or an optimizer's parameters and state."""
    if issubclass(type(value), torch.nn.Module):
        return list(_module_parts(value, ""))
    if issubclass(type(value), torch.optim.Optimizer):
        return list(_optimizer_parts(value))
    return None


def text(value: Any) -> str | None:
    """Say a tensor in short; None for anything else, of which the type says enough."""
    if not issubclass(type(value), torch.Tensor):
        return None
    name, dtype = type(value).__name__, str(value.dtype).removeprefix("torch.")
    bits = _bits_or_none(value)
    if bits is None:
        return f"{name} {dtype} {tuple(value.shape)}"
    first = np.array([bits.flat[i] for i in range(min(5, bits.size))], bits.dtype)
    if value.dtype is torch.bfloat16:
        shown = (first.astype(np.uint32) << 16).view(np.float32)
    else:
        shown = first.view(_SHOWN.get(value.dtype, first.dtype))
    head = describe_array(shown, name, dtype).partition(": ")[2]
    return f"{name} {dtype} {tuple(value.shape)}: {head}"


def default_state() -> bytes:
    """Return the state of the CPU's default generator."""
    return _generator_state(torch.default_generator)


def _generator_state(generator: torch.Generator) -> bytes:
    # The only operation that is needed; modes of the user's must not see it.
    with _disable_current_modes():
        state = generator.get_state()
        bits = read_bits(state)
        data = b"" if bits is None else bytes(bits.tobytes())
    if len(data) != _CPU_STATE_BYTES:
        return data
    # Behind the twister's words stand a second normal sample and padding, which hold anything while they are not used.
    has_double, has_float = data[5040:5044] != bytes(4), data[5052] != 0
    return data[:5016] + (data[5016:5040] if has_double else b"") + (data[5048:5052] if has_float else b"")


def _bits_or_none(tensor: Any) -> Any:
    try:
        return read_bits(tensor)
    except (RuntimeError, TypeError, AttributeError, NotImplementedError):
        return None  # a wrapper of a transform, a fake tensor: it has no memory of its own


#: id -> (what tells that it may have changed, digest); for tensors beyond a few words.
_known: dict[int, tuple[tuple[Any, ...], str]] = {}
_SMALL_BYTES = 1024
_MAX_KNOWN = 10_000


def _digest_kept_tensor(tensor: Any) -> str:
    """Digest a tensor that a module or an optimizer keeps; read anew only where it may have changed.

    torch counts a tensor's changes in place. What goes past the count (``.data``, memory shared with NumPy) is told by
    some of its words.
    """
    bits = _bits_or_none(tensor)
    if bits is None or bits.nbytes <= _SMALL_BYTES or not bits.flags.c_contiguous or tensor.is_inference():
        return _digest_tensor(tensor)
    flat = bits.reshape(-1)
    fingerprint = (tensor._version, tensor.data_ptr(), flat.size, flat[:: max(1, flat.size // 16)].tobytes())
    known = _known.get(id(tensor))
    if known is not None and known[0] == fingerprint:
        return known[1]
    if len(_known) > _MAX_KNOWN:
        _known.clear()
    digest = _digest_tensor(tensor)
    _known[id(tensor)] = (fingerprint, digest)
    return digest


def _digest_tensor(tensor: Any) -> str:
    hasher = hashlib.sha1(usedforsecurity=False)
    flags = (tensor.is_conj(), tensor.is_neg()) if tensor.layout is torch.strided else ()
    hasher.update(f"{tensor.dtype}{tuple(tensor.shape)}{tensor.layout}{flags}".encode())
    bits = _bits_or_none(tensor)
    if bits is not None:
        feed_bytes(hasher, bits)
    return hasher.hexdigest()[:16]


def _module_parts(module: Any, prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    own = object.__getattribute__(module, "__dict__")
    for table in ("_parameters", "_buffers"):
        for name, tensor in own.get(table, {}).items():
            if tensor is not None:
                yield f"{prefix}{name}", tensor
                if table == "_parameters" and tensor.grad is not None:
                    yield f"{prefix}{name}.grad", tensor.grad
    for name, value in own.items():
        if type(value) in (int, float, str) or (name == "training"):
            yield f"{prefix}{name}", value
    if depth < 32:
        for name, child in own.get("_modules", {}).items():
            if child is not None:
                yield from _module_parts(child, f"{prefix}{name}.", depth + 1)


def _optimizer_parts(optimizer: Any) -> Iterator[tuple[str, Any]]:
    number = 0
    state = optimizer.state
    for group_number, group in enumerate(optimizer.param_groups):
        for name, value in group.items():
            if name != "params":
                yield f"param_groups[{group_number}].{name}", value
        for parameter in group["params"]:
            yield f"parameter[{number}]", parameter
            if parameter.grad is not None:
                yield f"parameter[{number}].grad", parameter.grad
            # By identity, as torch's own hash of a tensor is.
            for name, value in dict.get(state, parameter, {}).items():
                yield f"state[{number}].{name}", value
            number += 1


class OperationWatch:
    """Tells a sink the operations and modules that the thread which made it runs, with digests of what they take.

    Parameters
    ----------
    sink : callable
        Takes kind, module, operation, inputs' digest, outputs' digest.
    wants : callable
        Tells whether anybody listens just now; what is not asked for costs next to nothing.
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
        """Watch no more."""
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
        """Run an operation, and tell of it."""
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

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._watch.run(func, args, kwargs or {})


def _digest_tree(tree: Any, depth: int = 0) -> str:
    """Digest the tensors and plain numbers of nested arguments."""
    if issubclass(type(tree), torch.Tensor):
        return _digest_tensor(tree)
    if depth < 4 and issubclass(type(tree), (list, tuple)):
        return f"[{','.join(_digest_tree(item, depth + 1) for item in tree[:64])}]"
    if depth < 4 and issubclass(type(tree), dict):
        return f"{{{','.join(_digest_tree(item, depth + 1) for item in list(dict.values(tree))[:64])}}}"
    if type(tree) in (int, float, bool, str, type(None)) or issubclass(
        type(tree), (torch.dtype, torch.device, torch.layout)
    ):
        return repr(tree)
    return f"?{type(tree).__name__}"
