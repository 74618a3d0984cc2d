"""Functions and methods: by name, code, defaults and what they have closed over."""

from __future__ import annotations

import functools
import hashlib
import types
from typing import Any

from pytest_repro.frameworks.attributes import is_library_file, read_dict
from pytest_repro.frameworks.base_values import SCALAR_ENCODERS, Branch, Captured, Handler, Internal, Omitted
from pytest_repro.model import Leaf


def capture_function(value: types.FunctionType) -> Captured:
    """Capture a function by its qualified name, code, defaults, closure and attributes.

    Notes
    -----
    A library's function is known by its name, since its code belongs to the environment. The code is that of one
    Python release: another one compiles the same source to other instructions.
    """
    traits = () if _is_library(value) else (("code", _digest_code(value.__code__)),)
    name = Leaf("value", f"{value.__module__}.{value.__qualname__}", "function", "str", (), traits)
    children = _surroundings_of(value)
    return Branch("function", [("name", name), *children], is_object=True) if children else name


def capture_surroundings(value: types.FunctionType) -> Branch | None:
    """Capture what a function has closed over, its defaults and its attributes, or None if it has none."""
    children = [(name, part) for name, part in _surroundings_of(value) if name != "closure/__class__"]
    return Branch("function", children, is_object=True) if children else None


def _is_library(value: types.FunctionType) -> bool:
    return is_library_file(value.__code__.co_filename)


def _surroundings_of(value: types.FunctionType) -> list[tuple[str, Any]]:
    if (original := _compiled_from(value)) is not None:
        return [("function", original)]
    children: list[tuple[str, Any]] = []
    if value.__defaults__:
        children.append(("defaults", value.__defaults__))
    if value.__kwdefaults__:
        children.append(("keyword_defaults", value.__kwdefaults__))
    if value.__closure__:
        children += [
            (f"closure/{variable}", _read_cell(cell))
            for variable, cell in zip(value.__code__.co_freevars, value.__closure__, strict=True)
        ]
    # A decorator's reference to the function that it wraps is in its closure too.
    children += [(f".{name}", part) for name, part in sorted(read_dict(value)) if name != "__wrapped__"]
    return [(child, Internal(part)) for child, part in children] if _is_library(value) else children


def _compiled_from(value: types.FunctionType) -> Any:
    """Return what torch.compile has wrapped by a function, or None for any other function.

    The rest of the wrapper is the compiler's: it numbers its wrappers, and fills them when they are first called.
    By the file too, since `functools.wraps` copies the attribute to a function of the user's.
    """
    if "/torch/_dynamo/" not in value.__code__.co_filename.replace("\\", "/"):
        return None
    return dict(read_dict(value)).get("_torchdynamo_orig_callable")


def _read_cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return Leaf("value", None, "empty cell", "None")


def _digest_code(code: types.CodeType) -> str:
    """Digest what a code object does, whatever its file and lines."""
    hasher = hashlib.sha256(code.co_code)
    for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
        hasher.update(repr(names).encode("utf-8", "surrogatepass"))
    hasher.update(repr((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)).encode())
    for constant in code.co_consts:
        hasher.update(_encode_constant(constant))
    return hasher.hexdigest()[:16]


def _encode_constant(constant: Any) -> bytes:
    if isinstance(constant, types.CodeType):
        return _digest_code(constant).encode()
    if isinstance(constant, tuple):
        return b"(" + b",".join(map(_encode_constant, constant)) + b")"
    if isinstance(constant, frozenset):
        return b"{" + b",".join(sorted(map(_encode_constant, constant))) + b"}"
    encode = SCALAR_ENCODERS.get(type(constant))
    return encode(constant) if encode is not None else repr(constant).encode()


def capture_code(value: types.CodeType) -> Leaf:
    """Capture a code object by what it does."""
    return Leaf("value", value.co_name, "code", "str", (), (("code", _digest_code(value)),))


def capture_method(value: types.MethodType) -> Branch:
    """Capture a bound method by its function and the object that it is bound to."""
    return Branch("method", [("function", value.__func__), ("self", value.__self__)], is_object=True)


def capture_compiled(value: Any) -> Captured:
    """Capture a compiled function by its name, and a compiled method by its object too."""
    owner = getattr(value, "__self__", None)
    name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
    module = getattr(value, "__module__", None)
    leaf = Leaf("value", f"{module}.{name}" if isinstance(module, str) else name, type(value).__name__, "str")
    if owner is None or isinstance(owner, types.ModuleType):
        return leaf
    return Branch(type(value).__name__, [("name", leaf), ("self", owner)], is_object=True)


def capture_partial(value: functools.partial[Any]) -> Branch:
    """Capture a partial by its function and its arguments."""
    children = [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    children += [(f".{name}", part) for name, part in sorted(read_dict(value))]
    return Branch("partial", children, is_object=True)


def capture_cached(value: Any) -> Branch:
    """Capture a function with a cache by the function, and list the cache, which cannot be read."""
    cache = Omitted("the cache of a function holds what it has returned", is_state=False, type_name="cache")
    traits = tuple((name, str(part)) for name, part in value.cache_parameters().items())
    return Branch("cached function", [("function", value.__wrapped__), ("cache", cache)], traits, is_object=True)


def capture_property(value: property) -> Branch:
    """Capture a property by its functions."""
    functions = [("get", value.fget), ("set", value.fset), ("delete", value.fdel)]
    return Branch("property", [(name, function) for name, function in functions if function], is_object=True)


HANDLERS: dict[type, Handler] = {
    types.FunctionType: capture_function,
    types.MethodType: capture_method,
    types.BuiltinFunctionType: capture_compiled,
    types.MethodWrapperType: capture_compiled,
    types.WrapperDescriptorType: capture_compiled,
    types.MethodDescriptorType: capture_compiled,
    types.ClassMethodDescriptorType: capture_compiled,
    types.CodeType: capture_code,
    functools.partial: capture_partial,
    type(functools.cache(len)): capture_cached,
    staticmethod: lambda value: Branch("staticmethod", [("function", value.__func__)]),
    classmethod: lambda value: Branch("classmethod", [("function", value.__func__)]),
    property: capture_property,
    types.CellType: lambda value: Branch("cell", [("content", _read_cell(value))], is_object=True),
}
