"""The user's functions: whether another process can import them, and how they are sent there."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_repro.errors import ChildError

_PLAIN = (bool, int, float, str, type(None))


def why_not_importable(function: Callable[..., Any]) -> str:
    """Return why a new interpreter cannot import a function, to be read after its name, or an empty string."""
    if isinstance(function, functools.partial):
        if not _is_json([function.args, function.keywords]):
            return "is a partial with arguments that are not plain numbers, text or lists"
        return why_not_importable(function.func)
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return f"is a {type(function).__name__} object, which has no name to import it by"
    if "<lambda>" in name:
        return "is a lambda"
    if "<locals>" in name:
        return "is defined inside another function"
    source = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" and (source is None or not Path(source).is_file()):
        return "is defined in a notebook or at a prompt"
    if module not in sys.modules or _find(sys.modules[module], name) is not function:
        return f"is not the object that {module}.{name} names"
    return ""


def _is_json(value: Any) -> bool:
    if isinstance(value, _PLAIN):
        return True
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    return isinstance(value, dict) and all(isinstance(k, str) and _is_json(v) for k, v in value.items())


def _find(module: ModuleType, qualname: str) -> Any:
    value: Any = module
    for part in qualname.split("."):
        value = getattr(value, part, None)
    return value


def name_of(function: Callable[..., Any]) -> str:
    """Return a name for messages."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    return str(getattr(function, "__name__", None) or type(function).__name__)


def encode(value: Any) -> Any:
    """Return arguments as JSON values, and functions as their module and name."""
    if isinstance(value, dict):
        return {key: encode(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(child) for child in value]
    if isinstance(value, functools.partial):
        return {"$partial": encode(value.func), "args": list(value.args), "keywords": value.keywords}
    if callable(value):
        module = sys.modules[value.__module__]
        source = getattr(module, "__file__", None)
        return {"$function": value.__qualname__, "module": value.__module__, "file": source}
    return str(value) if isinstance(value, Path) else value


def decode(value: Any) -> Any:
    """Return the arguments that :func:`encode` was given, with the functions imported."""
    if isinstance(value, list):
        return [decode(child) for child in value]
    if not isinstance(value, dict):
        return value
    if "$partial" in value:
        return functools.partial(decode(value["$partial"]), *value["args"], **value["keywords"])
    if "$function" in value:
        found = _find(_import(value["module"], value["file"]), value["$function"])
        if not callable(found):
            raise ChildError(f"{value['module']} has no function {value['$function']} in a new process")
        return found
    return {key: decode(child) for key, child in value.items()}


def _import(name: str, source: str | None) -> ModuleType:
    """Import a module by name, or by file if the name finds another one, as for scripts and pytest's importlib mode."""
    if name in sys.modules and name != "__main__":
        return sys.modules[name]
    if name != "__main__":
        try:
            module = importlib.import_module(name)
            if source is None or _same_file(getattr(module, "__file__", None), source):
                return module
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
                raise  # the user's module itself imports a module that is missing
    if source is None:
        raise ChildError(f"a new process cannot import {name}; put it on sys.path, or into a file")
    # A script must not run its main program a second time.
    name = "pytest_repro_main" if name == "__main__" else name
    spec = importlib.util.spec_from_file_location(name, source)
    if spec is None or spec.loader is None:
        raise ChildError(f"a new process cannot import {source}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _same_file(left: str | None, right: str) -> bool:
    return left is not None and Path(left).resolve() == Path(right).resolve()


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function has a parameter of this name."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
