"""Builtin functions that call another function for a while, and remain the same objects.

A function put under the name of a builtin one (``os.listdir = ...``) misses code that bound the name earlier, such as
`glob` in Python 3.13, and code that binds it in between keeps the replacement. It cannot be pickled, and a patch of the
test that is undone later puts it back. Here the function object itself is changed, so none of this can happen.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import BuiltinFunctionType, ModuleType
from typing import Any

from pytest_repro.axes.patches import replace_everywhere

_POINTER = ctypes.sizeof(ctypes.c_void_p)
#: Places in a PyCFunctionObject: m_ml and m_self are next to each other, m_module and m_weakreflist follow.
_METHOD = object.__basicsize__
_SELF = _METHOD + _POINTER
_VECTORCALL = _METHOD + 4 * _POINTER

_VARARGS, _KEYWORDS, _NOARGS, _O, _FASTCALL = 0x01, 0x02, 0x04, 0x08, 0x80
#: Flags -> function of C that takes what a builtin function with these flags is given, and calls its first argument.
_CALLERS = {
    _VARARGS: "PyObject_CallObject",
    _VARARGS | _KEYWORDS: "PyObject_Call",
    _NOARGS: "PyObject_CallNoArgs",
    _O: "PyObject_CallOneArg",
    _FASTCALL | _KEYWORDS: "PyObject_Vectorcall",
}


class _MethodDef(ctypes.Structure):
    """PyMethodDef: the definition of a builtin function."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("call", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_void_p),
    )


class _StandIn(ModuleType):
    """Callable in the place of a builtin function's module, since its code is given that as the first argument.

    A module, so that pickle, `repr` and `__qualname__` still see a function of a module.
    """

    def __init__(self, module: ModuleType, call: Callable[..., Any]) -> None:
        super().__init__(module.__name__)
        self.call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)


#: Address of an original definition -> changed one. None is freed: a thread may be about to call it.
_definitions: dict[int, _MethodDef] = {}


def _definition_at(function: Any) -> int:
    return int(ctypes.c_void_p.from_address(id(function) + _METHOD).value or 0)


def _can_change(function: Any) -> bool:
    """Return whether a builtin function looks in memory as it should, so that it may be changed there."""
    if sys.implementation.name != "cpython" or type(function) is not BuiltinFunctionType:
        return False
    if type(function).__basicsize__ != _VECTORCALL + _POINTER or type(function.__self__) not in (ModuleType, _StandIn):
        return False
    if ctypes.c_void_p.from_address(id(function) + _SELF).value != id(function.__self__):
        return False
    definition = _MethodDef.from_address(_definition_at(function))
    return definition.name == function.__name__.encode() and (definition.flags in (*_CALLERS, _FASTCALL))


def real_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return another object for what a builtin function does now, which stays so if the function is redirected."""
    if not _can_change(function):
        return function
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    made: Callable[..., Any] = make(_definition_at(function), function.__self__, function.__module__)  # type: ignore[attr-defined]
    return made


@contextmanager
def redirected(replacements: Mapping[Callable[..., Any], Callable[..., Any]]) -> Iterator[None]:
    """Have builtin functions call others until the context is left, whoever holds them.

    A replacement reaches the original's code by :func:`real_function`. The hash of a function changes meanwhile, since
    CPython takes it from what is changed. Functions that cannot be changed in memory are replaced by name.

    Parameters
    ----------
    replacements : mapping of builtin function -> callable
        Module-level functions of C.
    """
    with ExitStack() as stack:
        by_name = {id(old): (old, new) for old, new in replacements.items() if not _can_change(old)}
        for function, call in replacements.items():
            if id(function) not in by_name:
                stack.enter_context(_changed(function, call))
        stack.enter_context(replace_everywhere(by_name))
        yield


def _change_definition(address: int) -> tuple[_MethodDef, int | None]:
    """Return a definition that calls its first argument, and the function's entry for calls if that must change."""
    flags = _MethodDef.from_address(address).flags
    vectorcall = None
    if flags == _FASTCALL:
        # Nothing in C calls its first argument with an array alone, so the function takes keywords as well for now.
        flags |= _KEYWORDS
        vectorcall = ctypes.c_void_p.from_address(id(print) + _VECTORCALL).value
    if address not in _definitions:
        definition = _MethodDef.from_buffer_copy(_MethodDef.from_address(address))
        definition.flags = flags
        definition.call = ctypes.cast(getattr(ctypes.pythonapi, _CALLERS[flags]), ctypes.c_void_p).value
        _definitions[address] = definition
    return _definitions[address], vectorcall


@contextmanager
def _changed(function: Any, call: Callable[..., Any]) -> Iterator[None]:
    definition, vectorcall = _change_definition(_definition_at(function))
    stand_in = _StandIn(function.__self__, call)
    # The function holds a reference to it now, which the garbage collector counts.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(stand_in))
    place, slot = id(function) + _METHOD, ctypes.c_void_p.from_address(id(function) + _VECTORCALL)
    before, slot_before = ctypes.string_at(place, 2 * _POINTER), slot.value
    # With the wrong one of the two, a call would crash: both change in one step, while this thread holds the GIL. The
    # slot comes first and goes last. It passes one argument more than the original takes, which does no harm.
    if vectorcall is not None:
        slot.value = vectorcall
    ctypes.memmove(place, (ctypes.c_void_p * 2)(ctypes.addressof(definition), id(stand_in)), 2 * _POINTER)
    try:
        yield
    finally:
        ctypes.memmove(place, before, 2 * _POINTER)
        slot.value = slot_before
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(stand_in))
