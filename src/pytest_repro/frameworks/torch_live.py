"""torch's objects as a watched run reads them: from memory, without an operation of torch."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import _disable_current_modes

from pytest_repro.frameworks.base_values import Parts, Reader
from pytest_repro.numerics.array_digest import describe_array, feed_bytes

_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
#: Carriers by element size: bits are compared, not values.
_CARRIERS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}
#: ``CPUGeneratorImplState`` of ATen: seed, position, 624 words, three doubles, a flag, a float, a flag.
_CPU_STATE_BYTES = 5056
#: dtypes whose elements NumPy can print.
_PRINTED = {
    getattr(torch, name): np.dtype(name)
    for name in ["float64", "float32", "float16", "int64", "int32", "uint8", "bool", "complex128", "complex64"]
}


def read_bits(tensor: Any) -> Any:
    """Return a tensor's bits as an array of unsigned integers that shares its memory, or None if it has none.

    Notes
    -----
    By pointer: an operation of torch would reach the modes that the test's code has entered, and ours.
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
        # Copied: the array shares the memory of a tensor that is freed here.
        bits = read_bits(copied)
        return None if bits is None else bits.copy()


def _tensor_text(value: Any) -> str:
    name, dtype = type(value).__name__, str(value.dtype).removeprefix("torch.")
    bits = _bits_or_none(value)
    if bits is None:
        return f"{name} {dtype} {tuple(value.shape)}"
    first = np.array([bits.flat[i] for i in range(min(5, bits.size))], bits.dtype)
    if value.dtype is torch.bfloat16:
        shown = (first.astype(np.uint32) << 16).view(np.float32)
    else:
        shown = first.view(_PRINTED.get(value.dtype, first.dtype))
    head = describe_array(shown, name, dtype).partition(": ")[2]
    return f"{name} {dtype} {tuple(value.shape)}: {head}"


def default_state() -> bytes:
    """Return the state of the CPU's default generator."""
    return _read_generator(torch.default_generator)


def _read_generator(generator: torch.Generator) -> bytes:
    # The only operation that is needed. Modes of the test's code must not see it.
    with _disable_current_modes():
        state = generator.get_state()
        bits = read_bits(state)
        data = b"" if bits is None else bytes(bits.tobytes())
    if len(data) != _CPU_STATE_BYTES:
        return data
    # After the twister's words come a second normal sample and padding, which are arbitrary while they are not used.
    has_double, has_float = data[5040:5044] != bytes(4), data[5052] != 0
    return data[:5016] + (data[5016:5040] if has_double else b"") + (data[5048:5052] if has_float else b"")


def _bits_or_none(tensor: Any) -> Any:
    try:
        return read_bits(tensor)
    except (RuntimeError, TypeError, AttributeError, NotImplementedError):
        return None  # a wrapper of a transform or a fake tensor, without memory of its own


#: id -> (what changes with the content, digest), for tensors of more than a few words.
_known: dict[int, tuple[tuple[Any, ...], str]] = {}
_SMALL_BYTES = 1024
_MAX_KNOWN = 10_000


def _digest_parameter(tensor: Any) -> str:
    """Digest a parameter, which is read again only if it may have changed.

    torch counts a tensor's changes in place. A change past that count (``.data``, memory shared with NumPy) shows in
    a sample of its words.
    """
    bits = _bits_or_none(tensor)
    if bits is None or bits.nbytes <= _SMALL_BYTES or not bits.flags.c_contiguous or tensor.is_inference():
        return digest_tensor(tensor)
    flat = bits.reshape(-1)
    fingerprint = (tensor._version, tensor.data_ptr(), flat.size, flat[:: max(1, flat.size // 16)].tobytes())
    known = _known.get(id(tensor))
    if known is not None and known[0] == fingerprint:
        return known[1]
    if len(_known) > _MAX_KNOWN:
        _known.clear()
    digest = digest_tensor(tensor)
    _known[id(tensor)] = (fingerprint, digest)
    return digest


def digest_tensor(tensor: Any) -> str:
    """Digest a tensor by its type and its bits, if it has memory."""
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


#: No READER for torch.Size: it is read as the tuple that it is.
READERS: dict[type, Reader] = {
    torch.Tensor: Reader(lambda value: digest_tensor(value).encode(), _tensor_text, is_data=True),
    torch.nn.Parameter: Reader(lambda value: _digest_parameter(value).encode(), _tensor_text, is_data=True),
    **dict.fromkeys([torch.dtype, torch.device], Reader(lambda value: str(value).encode())),
    torch.Generator: Reader(_read_generator),
    torch.nn.Module: Reader(lambda value: Parts(_module_parts(value, ""))),
    torch.optim.Optimizer: Reader(lambda value: Parts(_optimizer_parts(value))),
}
