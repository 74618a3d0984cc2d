"""torch's tensors of every layout, modules, optimizers, schedulers and generators."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from pytest_repro.frameworks import torch_live
from pytest_repro.frameworks.attributes import (
    COMPILER_NOTES,
    is_library_class,
    library_names,
    package_of,
    read_dict,
)
from pytest_repro.frameworks.base_values import (
    Branch,
    Captured,
    Elsewhere,
    FreshLeaf,
    Handler,
    Held,
    Internal,
    NotComparableError,
    Passing,
    Traits,
    text_leaf,
)
from pytest_repro.frameworks.object_values import named_attributes
from pytest_repro.model import Leaf

#: dtypes that NumPy has by itself. All others travel in an unsigned integer of their width. A list and not
#: `np.sctypeDict`: importing ml_dtypes or JAX adds bfloat16 there, which torch still cannot convert to NumPy.
_NUMPY_NAMES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
_NUMPY_NAMES += ["float16", "float32", "float64", "complex64", "complex128"]
_numpy_dtypes = {getattr(torch, name) for name in _NUMPY_NAMES if hasattr(torch, name)}
_carriers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_names: dict[torch.dtype, str] = {}
_traits: dict[tuple[str, bool], Traits] = {}


def dtype_name(dtype: torch.dtype) -> str:
    """Name a dtype without torch's prefix, as NumPy and ml_dtypes name the same format."""
    name = _names.get(dtype)
    if name is None:
        name = _names[dtype] = str(dtype).removeprefix("torch.")
    return name


def _traits_of(tensor: torch.Tensor, *more: tuple[str, str]) -> Traits:
    key = (str(tensor.device), tensor.requires_grad)
    traits = _traits.get(key)
    if traits is None:
        traits = _traits[key] = (("device", key[0]), ("requires_grad", str(key[1])))
    return tuple(sorted((*traits, *more))) if more else traits


def capture_tensor(tensor: torch.Tensor) -> Captured:
    """Capture a tensor of any layout with its gradient, sharing the memory of a strided one on the CPU."""
    captured, added = _capture_content(tensor), _passing_of(tensor)
    if not added and not tensor.__dict__:
        return captured
    # Libraries mark tensors under names with an underscore, and so may the user.
    added += [
        (name, Internal(part) if name.startswith("_") else part)
        for name, part in read_dict(tensor)
        if name not in COMPILER_NOTES
    ]
    return _with_additions(captured, added)


def _passing_of(tensor: torch.Tensor) -> list[tuple[str, Any]]:
    """Return the gradient and the hooks of a tensor."""
    if not tensor.requires_grad:
        return []
    added: list[tuple[str, Any]] = []
    if tensor.is_leaf and (grad := tensor.grad) is not None:
        added.append(("grad", Passing(grad, "gradient")))
    return added + list(_iterate_hooks(tensor, _TENSOR_HOOKS))


def _iterate_hooks(value: Any, registers: tuple[str, ...]) -> Iterator[tuple[str, Passing]]:
    for name in registers:
        hooks = [hook for hook in (getattr(value, name, None) or {}).values() if not _is_torch_code(hook)]
        if hooks:
            yield name.strip("_"), Passing(hooks, "hook")


def _with_additions(captured: Captured, added: list[tuple[str, Any]]) -> Branch:
    if isinstance(captured, Leaf):
        return Branch(captured.type_name, added, is_object=True, own_leaf=captured)
    assert isinstance(captured, Branch)
    captured.children = [*captured.children, *((f".{name}", part) for name, part in added)]
    captured.is_object = True
    return captured


def _capture_content(tensor: torch.Tensor) -> Captured:
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized:
        return _capture_layout(tensor)
    return _capture_strided(tensor, type(tensor).__name__, _traits_of(tensor))


def _capture_strided(tensor: torch.Tensor, type_name: str, traits: Traits) -> Leaf:
    data, is_fresh = to_numpy(tensor)
    leaf = FreshLeaf if is_fresh else Leaf
    return leaf("array", data, type_name, dtype_name(tensor.dtype), data.shape, traits)


def to_numpy(tensor: torch.Tensor) -> tuple[np.ndarray[Any, Any], bool]:
    """View a strided tensor as an ndarray.

    Returns
    -------
    data : ndarray, shape of the tensor
        Own dtype, or an unsigned integer of its width where NumPy has none.
    is_fresh : bool
        Whether the memory is a copy (another device, conjugate or negative bit).
    """
    plain = tensor.detach()
    is_fresh = False
    if plain.device.type != "cpu":
        if plain.device.type == "meta":
            raise NotComparableError("a tensor on the meta device has no data; create it on a real device")
        plain, is_fresh = plain.cpu(), True
    if plain.is_neg() or plain.is_conj():
        plain, is_fresh = plain.resolve_conj().resolve_neg(), True
    if plain.dtype in _numpy_dtypes:
        return plain.numpy(), is_fresh
    width = plain.element_size()
    return plain.view(_carriers[width]).numpy().view(f"u{width}"), is_fresh


def _capture_layout(tensor: torch.Tensor) -> Captured:
    if tensor.is_nested:
        traits = _traits_of(tensor, ("layout", str(tensor.layout).removeprefix("torch.")))
        parts = [(str(i), part.detach()) for i, part in enumerate(tensor.unbind())]
        return Branch(type(tensor).__name__, parts, traits)
    if tensor.is_quantized:
        return _capture_quantized(tensor)
    if tensor.layout in _sparse_parts:
        return _capture_sparse(tensor)
    raise NotComparableError(f"a tensor of layout {tensor.layout} hides its elements; return tensor.to_dense()")


def _capture_quantized(tensor: torch.Tensor) -> Captured:
    scheme = str(tensor.qscheme()).removeprefix("torch.")
    stored = tensor.detach().int_repr().cpu()
    data = stored.numpy()
    name = dtype_name(tensor.dtype)
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        more = (("qscheme", scheme), ("scale", tensor.q_scale().hex()), ("zero_point", str(tensor.q_zero_point())))
        return FreshLeaf("array", data, type(tensor).__name__, name, data.shape, _traits_of(tensor, *more))
    traits = _traits_of(tensor, ("axis", str(tensor.q_per_channel_axis())), ("qscheme", scheme))
    children = [
        ("int_repr", FreshLeaf("array", data, "Tensor", name, data.shape)),
        ("scales", tensor.q_per_channel_scales()),
        ("zero_points", tensor.q_per_channel_zero_points()),
    ]
    return Branch(type(tensor).__name__, children, traits)


_sparse_parts = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def _capture_sparse(tensor: torch.Tensor) -> Branch:
    # As stored: sorting or summing duplicates would hide a difference that the next product shows.
    plain = tensor.detach()
    more = [("layout", str(tensor.layout).removeprefix("torch.")), ("shape", str(tuple(tensor.shape)))]
    if tensor.layout is torch.sparse_coo:
        more.append(("coalesced", str(tensor.is_coalesced())))
    children = [(name.strip("_"), getattr(plain, name)()) for name in _sparse_parts[tensor.layout]]
    return Branch(type(tensor).__name__, children, _traits_of(tensor, *more))


def capture_tensor_subclass(tensor: torch.Tensor) -> Captured:
    """Capture a wrapper subclass by its inner tensors, and any other by its own elements, with its gradient.

    Its attributes are added by what finds handlers of subclasses.
    """
    captured = _capture_subclass(tensor)
    with torch._C.DisableTorchFunctionSubclass():
        added = _passing_of(tensor)
    # With attributes, too: its path must not depend on whether it has a gradient.
    return _with_additions(captured, added) if added or read_dict(tensor) else captured


def _capture_subclass(tensor: torch.Tensor) -> Captured:
    kind = type(tensor)
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise NotComparableError("its shape is not known yet; run the module once before returning it")
    if kind.__name__ == "MaskedTensor" and kind.__module__.startswith("torch."):
        return _capture_masked(tensor)
    if kind.__name__ == "DTensor":
        raise NotComparableError("a distributed tensor holds a shard only; return tensor.full_tensor()")
    if tensor.is_nested:
        return _capture_layout(tensor)
    if hasattr(tensor, "__tensor_flatten__"):
        names, context = tensor.__tensor_flatten__()
        return Branch(kind.__name__, [(name, getattr(tensor, name)) for name in names] + [("context", context)])
    if kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise NotComparableError("this tensor subclass intercepts every operation and does not describe its content")
    with torch._C.DisableTorchFunctionSubclass():
        plain = torch.Tensor.detach(tensor).as_subclass(torch.Tensor)
        if plain.layout is not torch.strided or plain.is_quantized:
            return _capture_layout(plain)
        return _capture_strided(plain, kind.__name__, _traits_of(tensor))


def _capture_masked(tensor: Any) -> Branch:
    # Masked elements are not part of the value: a kernel may leave anything there.
    data, mask = tensor.get_data().detach(), tensor.get_mask()
    if data.layout is torch.strided:
        data = data.masked_fill(~mask, 0)
    more = ("requires_grad", str(tensor.requires_grad))
    return Branch(type(tensor).__name__, [("data", data), ("mask", mask)], (("device", str(tensor.device)), more))


def capture_module(module: torch.nn.Module) -> Branch:
    """Capture parameters, buffers and extra state by the names of the state dict.

    Notes
    -----
    Buffers that are not saved count too: the next forward pass reads them. The mode (`training`), which tensors are
    one, gradients and hooks count between runs alone: a trained model and the same model loaded from its checkpoint
    hold the same weights. All attributes that a class of
    the user's own sets count, and of those that a library's base class sets the numbers and arrays; of torch's own
    modules, what they print of themselves.
    """
    parts = list(_walk(module, "", ()))
    children = [*_iterate_state(parts), *_iterate_attributes(parts), *_iterate_modes(parts)]
    structure = hashlib.sha256("\n".join(_describe(prefix, part) for prefix, part in parts).encode()).hexdigest()[:16]
    return Branch(type(module).__name__, children, (("structure", structure),), named=True, is_object=True)


def _walk(module: torch.nn.Module, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, torch.nn.Module]]:
    # By torch's own registers: a module may override the functions that list its parts. Duplicates stay: tied weights
    # are listed under both names, so that untying them shows.
    yield prefix, module
    for name, part in module._modules.items():
        if part is not None and id(part) not in above:
            yield from _walk(part, f"{prefix}{name}.", (*above, id(module)))


def _describe(prefix: str, part: torch.nn.Module) -> str:
    kind = type(part)
    text = part.extra_repr() if package_of(kind) == "torch" else ""
    return f"{prefix}{kind.__qualname__}({text})"


def _iterate_modes(parts: list[tuple[str, torch.nn.Module]]) -> Iterator[tuple[str, Any]]:
    """Yield the mode of the whole, and that of each part in another one."""
    # One of TorchScript keeps it in compiled code.
    modes = [
        (prefix, own["training"] if "training" in (own := vars(part)) else getattr(part, "training", True))
        for prefix, part in parts
    ]
    for prefix, mode in modes:
        if not prefix or mode != modes[0][1]:
            yield f"{prefix}training", Passing(mode, "mode", is_told=False)


def _iterate_attributes(parts: list[tuple[str, torch.nn.Module]]) -> Iterator[tuple[str, Any]]:
    for prefix, part in parts:
        kind: Any = type(part)
        owned, is_own = library_names(kind), package_of(kind) == "torch"
        # What torch.compile makes of a module holds that module, and the compiler's own state.
        is_compiled = kind.__module__ == "torch._dynamo.eval_frame"
        for name, value in [] if is_compiled else named_attributes(part, (*_MODULE_NAMES, "_is_torch_compile")):
            if name not in owned or name == "forward":  # which somebody has replaced
                yield f"{prefix}{name}", value
            elif not is_own and _holds_numbers(value):
                yield f"{prefix}{name}", Internal(value)
            elif is_own and _is_function(value):
                yield f"{prefix}{name}", _passing_function(value)
        yield from ((f"{prefix}{name}", hooks) for name, hooks in _iterate_hooks(part, _HOOKS))
        if any(base.__module__.startswith("torch.fx") for base in kind.__mro__):
            yield f"{prefix}code", getattr(part, "code", "")


#: Registers of functions that run with a module, a tensor or an optimizer.
_HOOKS = tuple(f"_{when}_hooks" for when in ("forward", "forward_pre", "backward", "backward_pre"))
_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
_OPTIMIZER_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def _is_function(value: Any) -> bool:
    """Return whether a value is called and is no module, as the averaging of `AveragedModel` that the user wrote."""
    if isinstance(value, (types.FunctionType, functools.partial)):
        return True
    if isinstance(value, types.MethodType):
        return not is_library_class(type(value.__self__))
    return callable(value) and not isinstance(value, type) and not is_library_class(type(value))


def _passing_function(value: Any) -> Passing:
    # torch's own function is told where it has closed over something, as a decay; that may be what cannot be captured.
    function = value.func if isinstance(value, functools.partial) else value
    if isinstance(function, types.FunctionType) and _is_torch_code(function):
        return Passing(Internal(value), "function", is_told=bool(function.__closure__))
    return Passing(value, "function")


def _is_torch_code(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).partition(".")[0] == "torch"


def _holds_numbers(value: Any) -> bool:
    # Lists of tensors too, in which torchmetrics gathers predictions.
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, torch.Tensor) for item in value)
    return isinstance(value, (torch.Tensor, np.ndarray, float, int))


#: Attributes of every module. Parameters, buffers and modules are captured by name; the others hold no result.
_MODULE_NAMES = tuple(vars(torch.nn.Module()))


def _iterate_state(parts: list[tuple[str, torch.nn.Module]]) -> Iterator[tuple[str, Any]]:
    for register in ("_parameters", "_buffers"):
        for prefix, part in parts:
            yield from (
                (f"{prefix}{name}", Held(value, _place_of(value)))
                for name, value in getattr(part, register).items()
                if value is not None
            )
    for prefix, part in parts:
        if type(part).get_extra_state is not torch.nn.Module.get_extra_state:
            yield f"{prefix}_extra_state", part.get_extra_state()


def _place_of(value: Any) -> tuple[str, int] | None:
    """Return where the first element of a tensor lies, or None if it has no memory of its own."""
    try:
        with torch._C.DisableTorchFunctionSubclass():
            place = value.data_ptr() if value.numel() else 0
    except (RuntimeError, NotImplementedError, TypeError, AttributeError):
        return None  # sparse, not initialised yet, or a wrapper around others
    return (str(value.device), place) if place else None


def capture_storage(value: torch.UntypedStorage | torch.TypedStorage) -> Captured:
    """Capture a storage by its bytes."""
    untyped = value if isinstance(value, torch.UntypedStorage) else value._untyped_storage
    return capture_tensor(torch.empty(0, dtype=torch.uint8, device=untyped.device).set_(untyped))


def capture_state_dict(value: Any) -> Branch:
    """Capture an optimizer, a scheduler or a gradient scaler by its state dict, as torch's own class makes it.

    The parameters that an optimizer updates count where no module in the tree holds them, and so do attributes that
    the user has set on an object of torch's own class.
    """
    kind = type(value)
    own = next(base for base in kind.__mro__ if package_of(base) == "torch")
    state = own.state_dict(value)  # type: ignore[attr-defined]
    children = [(str(name), part) for name, part in state.items()]
    if isinstance(value, torch.optim.Optimizer):
        groups = value.param_groups
        children += [
            (f"parameters/{i}/{j}", Elsewhere(part))
            for i, group in enumerate(groups)
            for j, part in enumerate(group["params"])
        ]
        children += _iterate_hooks(value, _OPTIMIZER_HOOKS)
    elif isinstance(value, torch.optim.lr_scheduler.LRScheduler):
        children += _iterate_functions(value)
    if own is kind:
        owned = library_names(kind)
        set_on = [(name, part) for name, part in named_attributes(value) if name not in owned and name not in _PATCHED]
        children += [(f".{name}", Internal(part) if name.startswith("_") else part) for name, part in set_on]
    return Branch(kind.__name__, children, is_object=True)


def _iterate_functions(scheduler: Any) -> Iterator[tuple[str, Any]]:
    """Yield the functions of a scheduler, which its state dict leaves out, and those of the schedulers that it runs."""
    for name, part in read_dict(scheduler):
        parts = part if isinstance(part, (list, tuple)) else [part]
        if name != "optimizer" and any(_is_function(item) for item in parts):
            functions = [_passing_function(item) for item in parts if _is_function(item)]
            yield f".{name}", Passing(functions, "function", is_told=any(function.is_told for function in functions))
        for i, item in enumerate(parts):
            if isinstance(item, torch.optim.lr_scheduler.LRScheduler):
                yield from ((f".{name}/{i}/{inner}", found) for inner, found in _iterate_functions(item))


#: Attributes of an optimizer that a scheduler replaces or adds.
_PATCHED = frozenset(["step", "_step_count", "_opt_called"])


def capture_generator(value: torch.Generator) -> Branch:
    """Capture a generator by its state."""
    return Branch("Generator", [("state", value.get_state())], (("device", str(value.device)),))


HANDLERS: dict[type, Handler] = {
    torch.Tensor: capture_tensor,
    torch.nn.Parameter: capture_tensor,
    torch.nn.Module: capture_module,
    torch.optim.Optimizer: capture_state_dict,
    torch.optim.lr_scheduler.LRScheduler: capture_state_dict,
    torch.amp.GradScaler: capture_state_dict,
    torch.Size: lambda value: Branch("Size", [(str(i), n) for i, n in enumerate(value)]),
    torch.dtype: text_leaf,
    torch.device: text_leaf,
    torch.layout: text_leaf,
    torch.memory_format: text_leaf,
    torch.Generator: capture_generator,
    torch.UntypedStorage: capture_storage,
    torch.TypedStorage: capture_storage,
}

SUBCLASS_HANDLERS: dict[type, Handler] = dict.fromkeys([torch.Tensor, torch.nn.Parameter], capture_tensor_subclass)

#: Types whose handler reads every attribute of a subclass too.
COMPLETE = (torch.nn.Module,)

READERS = torch_live.READERS

#: torch.optim and torch.utils.data keep their state in plain attributes.
READABLE = ("torch.optim", "torch.utils.data")
