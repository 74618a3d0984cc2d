"""Source code of a function with all that it needs, so that another process can run it.

A notebook's function has no file that another interpreter could import. Its text is known, and so are the imports,
functions, classes and constants that it reads. Whatever cannot be written down is refused by name: a run with something
else in its place would say nothing about the function.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_repro.session.written_values import MAIN, NotSendableError, find_home, is_plain, write_constant

#: Largest arrays that are sent along, together [bytes].
MAX_ARRAYS_BYTES = 2**30
#: Steps of compiled code that use a global name.
_GLOBAL_STEPS = {"LOAD_NAME", "LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
#: Names by which code reaches what its text does not show.
_HIDDEN = {"get_ipython", "globals", "eval", "exec", "__import__"}


@dataclass(slots=True)
class SentSource:
    """Definitions in the order in which they are executed, and arrays that are sent as files.

    Attributes
    ----------
    text : str
        Source of a module.
    arrays : dict of name -> ndarray
    """

    text: str
    arrays: dict[str, Any] = field(default_factory=dict)


def source_of(function: Callable[..., Any], name: str) -> SentSource:
    """Return the source of a module in which `name` is this function.

    Raises
    ------
    NotSendableError
        With what cannot be sent, and what to do.
    """
    collector = _Collector()
    collector.add_object(name, function, f"the function {name}")
    return collector.finish()


def source_of_names(names: Iterable[str], namespace: Mapping[str, Any], where: str) -> SentSource:
    """Return the source of a module that has these variables of a namespace. Names that it lacks are left out.

    Raises
    ------
    NotSendableError
    """
    collector = _Collector()
    for name in names:
        if name in _HIDDEN:
            raise NotSendableError(f"{where} calls {name}, so what it needs cannot be seen in its text")
        if name in namespace:
            collector.add_object(name, namespace[name], where)
    return collector.finish()


def names_read(code: types.CodeType) -> Iterator[str]:
    """Return the global names that a code object and the functions in it use."""
    # Not `co_names`, which has the names of attributes too.
    yield from (step.argval for step in dis.get_instructions(code) if step.opname in _GLOBAL_STEPS)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_read(constant)


class _Collector:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._taken: dict[str, Any] = {}
        self._arrays: dict[str, Any] = {}
        self._shared: dict[int, str] = {}
        self._is_future = False

    def finish(self) -> SentSource:
        self._check_arrays()
        future = ["from __future__ import annotations"] if self._is_future else []
        return SentSource("\n".join([*future, *self._parts]) + "\n", self._arrays)

    def add_object(self, name: str, value: Any, where: str) -> None:
        """Write what gives a global name its value, after everything that this needs."""
        if name in self._taken:
            if self._taken[name] is not value:
                raise NotSendableError(f"{where} reads {name!r}, of which two modules have different values")
            return
        self._taken[name] = value
        if isinstance(value, types.ModuleType):
            self._add_module(name, value, where)
        elif (home := find_home(value)) is not None:
            self._parts.append(f"from {home[0]} import {home[1]} as {name}")
        elif _is_defined(value):
            self._add_definition(name, value, where)
        elif _is_array(value):
            self._arrays[name] = value
        else:
            self._parts.append(f"{name} = {write_constant(value, name, where, self._shared)}")

    def _add_module(self, name: str, module: types.ModuleType, where: str) -> None:
        if sys.modules.get(module.__name__) is not module or module.__name__ == MAIN:
            raise NotSendableError(f"{where} uses the module {name!r}, which another process cannot import")
        self._parts += [f"import {module.__name__}", f"import sys as _sys; {name} = _sys.modules[{module.__name__!r}]"]

    def _add_definition(self, name: str, value: Any, where: str) -> None:
        kind = "class" if isinstance(value, type) else "function"
        function = inspect.unwrap(value)
        if isinstance(function, types.FunctionType) and function.__closure__ and function.__name__ != "<lambda>":
            held = ", ".join(function.__code__.co_freevars)
            raise NotSendableError(
                f"the function {name} uses variables of the function around it ({held}): "
                "define it at the top level of a cell"
            )
        node = _find_class(value) if isinstance(value, type) else _find_function(function, name)
        if isinstance(function, types.FunctionType):
            self._check_function(function, node, name)
            self._is_future |= bool(function.__code__.co_flags & _FUTURE)
        module = ast.Module([node], [])
        code = compile(module, "<sent>", "exec", flags=_FUTURE if self._is_future else 0, dont_inherit=True)
        own = function if isinstance(function, types.FunctionType) else next(_methods_of(value), None)
        namespace = vars(sys.modules[value.__module__]) if own is None else own.__globals__
        for read in names_read(code):
            if read in _HIDDEN:
                raise NotSendableError(f"the {kind} {name} calls {read}, so what it needs cannot be seen in its text")
            if read in namespace and read not in (node.name, name):
                self.add_object(read, namespace[read], f"the {kind} {name}")
        self._parts.append(ast.unparse(module))
        if node.name != name:
            self._parts.append(f"{name} = {node.name}")
        if isinstance(value, type):
            self._add_attributes(name, value)

    def _add_attributes(self, name: str, kind: type) -> None:
        """Give a class the attributes that it has now, which may have changed since its definition."""
        for attribute, value in vars(kind).items():
            is_own = attribute.startswith("_") and attribute.endswith("_")
            if not is_own and is_plain(value):
                text = write_constant(value, f"{name}.{attribute}", f"the class {name}", self._shared)
                self._parts.append(f"{name}.{attribute} = {text}")

    def _check_function(self, function: types.FunctionType, node: ast.stmt, name: str) -> None:
        given = {key for key in vars(function) if key != "__wrapped__"}
        if given:
            raise NotSendableError(
                f"the function {name} has attributes ({', '.join(sorted(given))}), which are not sent"
            )
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        # The values that the function has, since a variable in a default may have changed after the definition.
        where = f"a default of the function {name}"
        for position, value in enumerate(reversed(function.__defaults__ or ()), start=1):
            self._keep_default(node.args.defaults, -position, value, where)
        for position, argument in enumerate(node.args.kwonlyargs):
            values = function.__kwdefaults__ or {}
            if argument.arg in values:
                self._keep_default(node.args.kw_defaults, position, values[argument.arg], where)

    def _keep_default(self, defaults: list[Any], position: int, value: Any, where: str) -> None:
        if defaults[position] is None or not isinstance(defaults[position], ast.Constant):
            text = write_constant(value, "a value", where, self._shared)
            defaults[position] = ast.parse(text, mode="eval").body

    def _check_arrays(self) -> None:
        import numpy as np

        arrays = list(self._arrays.items())
        if sum(array.nbytes for _, array in arrays) > MAX_ARRAYS_BYTES:
            raise NotSendableError(
                f"the arrays {', '.join(name for name, _ in arrays)} have more than 1 GiB together: "
                "load them inside the function"
            )
        for number, (name, array) in enumerate(arrays):
            for other, second in arrays[:number]:
                if np.may_share_memory(array, second):
                    raise NotSendableError(
                        f"{other} and {name} share memory, which two files would not: make them inside the function"
                    )


_FUTURE = 0x1000000  # CO_FUTURE_ANNOTATIONS


def _is_defined(value: Any) -> bool:
    if isinstance(value, type):
        return value.__module__ == MAIN
    return callable(value) and isinstance(inspect.unwrap(value), types.FunctionType)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray or value.dtype.hasobject:
        return False
    # Files keep C and Fortran order, and no other.
    return bool(value.flags.c_contiguous or value.flags.f_contiguous) and value.dtype.isbuiltin == 1


def _find_function(function: Any, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """Return the definition of a function, and make sure that it is the one that was executed."""
    if not isinstance(function, types.FunctionType):
        raise NotSendableError(f"{name} is a {type(function).__name__}, of which no source is known: use a function")
    if function.__name__ == "<lambda>":
        raise NotSendableError("a lambda has no definition that could be sent: define a function with def")
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        raise NotSendableError(
            f"the source of the function {name} is not known: define it in a cell or a file"
        ) from None
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not _is_unchanged(function.__code__):
        raise NotSendableError(
            f"the source of the function {name} is not what was executed: the file was changed, run it again"
        )
    return node


def _is_unchanged(code: types.CodeType) -> bool:
    """Whether the file or cell of a function still has the text that was executed."""
    text = "".join(linecache.getlines(code.co_filename))
    flags = code.co_flags & _FUTURE
    try:
        tree = ast.parse(text)
        # The compiler looks at the imports next to a call: a file is compiled as a whole, a cell by its statements.
        parts = [tree, *(ast.Module([statement], []) for statement in tree.body)]
        compiled = [compile(part, "<sent>", "exec", flags=flags, dont_inherit=True) for part in parts]
    except SyntaxError:
        return False
    found = (each for module in compiled for each in _codes(module) if each.co_firstlineno == code.co_firstlineno)
    return any(_is_same_code(each, code) for each in found)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def _is_same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """Whether two code objects do the same, apart from file and line."""
    if one.co_name != other.co_name or one.co_code != other.co_code or one.co_names != other.co_names:
        return False
    if one.co_varnames != other.co_varnames or len(one.co_consts) != len(other.co_consts):
        return False
    return all(
        _is_same_code(a, b)
        if isinstance(a, types.CodeType) and isinstance(b, types.CodeType)
        else type(a) is type(b) and repr(a) == repr(b)
        for a, b in zip(one.co_consts, other.co_consts, strict=True)
    )


def _find_class(kind: type) -> ast.ClassDef:
    """Return the definition of a class of a notebook, which Python before 3.13 finds only for files."""
    found = {
        ast.dump(node): node
        for text in _texts_of(kind)
        for node in _parsed(text)
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    }
    if len(found) != 1:
        problem = "is defined in several ways" if found else "has no source that is known"
        raise NotSendableError(f"the class {kind.__name__} {problem}: put it into a module, and import it")
    return next(iter(found.values()))


def _texts_of(kind: type) -> Iterator[str]:
    """Return the texts that may hold a class: the cells or files of its methods, else all cells."""
    files = {method.__code__.co_filename for method in _methods_of(kind)}
    known = [file for file in files if linecache.getlines(file)]
    if not known:
        main = getattr(sys.modules.get(MAIN), "__file__", None)
        known = [main] if main else [file for file, entry in linecache.cache.items() if _is_cell(file, entry)]
    for file in known:
        yield "".join(linecache.getlines(file))


def _methods_of(kind: type) -> Iterator[types.FunctionType]:
    for part in map(inspect.unwrap, filter(callable, vars(kind).values())):
        # What a decorator generated, as for a dataclass, has no text.
        if isinstance(part, types.FunctionType) and part.__code__.co_filename != "<string>":
            yield part


def _is_cell(file: str, entry: Any) -> bool:
    # IPython gives its cells a size and no time of change.
    return "ipy" in file and len(entry) == 4 and entry[1] is None


def _parsed(text: str) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except SyntaxError:
        return []
