"""The plugin's own code, kept apart from what a test has patched or set.

A result is captured and compared while the patches of the test and of its fixtures are still in place: later, the
fixtures' teardown may change it. The test may have replaced `np.asarray`, `hashlib.sha256`, `open` or the clock, may
raise on every warning, or compute in another default dtype. Inside :class:`Undisturbed` the modules that the plugin
uses hold what they held when the session began, and settings that could change a capture are at their defaults. After
it, everything is as the test had left it.

This module calls nothing that a test could have replaced before that is undone: it binds what it needs when it is
imported, in places where a fake clock does not look for functions to replace.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

_OWN = "pytest_repro"
#: Modules that the plugin's functions use in turn. Those that its modules name themselves are found by that.
_MORE = """
    builtins posix nt posixpath ntpath genericpath io _io stat codecs collections contextlib copy dataclasses datetime
    enum functools hashlib inspect json json.encoder json.decoder math operator os re shutil struct sys tempfile
    threading time types _hashlib _blake2 _sha2 itertools abc string pathlib pathlib._local pathlib._os random linecache
    weakref numpy numpy.linalg numpy.random numpy.random.bit_generator numpy.lib.format numpy.lib.stride_tricks numpy.ma
    torch torch.nn torch.nn.modules.module torch.linalg torch.sparse torch.utils._pytree pandas pandas.api.types
    pandas.api.extensions polars scipy.sparse sklearn.base jax jax.numpy
"""
#: Modules that the plugin's own ones name and whose names are many, and not called while results are taken.
_NOT_NEEDED = frozenset(
    {"typing", "tokenize", "pickle", "ctypes", "pytest", "importlib.metadata", "_pytest.unittest", "_pytest._code.code"}
    | {"socket", "logging", "dis", "sysconfig", "platform"}
)
#: Modules of the standard library whose classes are watched as well.
_CLASS_HOMES = frozenset(
    {"pathlib", "pathlib._local", "pathlib._abc", "json.encoder", "json.decoder", "tempfile", "contextlib", "threading"}
    | {"random", "collections", "inspect"}
)
#: Names that the interpreter, pytest or the module itself sets anew all the time, and that no function of the plugin
#: calls. `warnings` has a step of its own below.
_STATE: dict[str, frozenset[str]] = {
    "sys": frozenset(
        {"stdin", "stdout", "stderr", "displayhook", "excepthook", "unraisablehook", "breakpointhook", "ps1", "ps2"}
        | {"tracebacklimit", "last_exc", "last_type", "last_value", "last_traceback", "dont_write_bytecode"}
        | {"argv", "orig_argv"}
    ),
    "threading": frozenset({"excepthook"}),
    "time": frozenset({"tzname", "timezone", "altzone", "daylight"}),
    "warnings": frozenset(
        {"filters", "showwarning", "_showwarning_orig", "_showwarnmsg_impl", "_filters_version", "onceregistry"}
    ),
}
#: Classes of other packages whose methods the plugin calls.
_CLASSES = frozenset({"Tensor", "Module", "Parameter", "Optimizer", "DataFrame", "Series", "Index", "BaseEstimator"})
_MISSING = object()
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_IGNORE_ALL = [("ignore", None, Warning, None, 0)]
_RECURSION_LIMIT = sys.getrecursionlimit()
_MAX_STR_DIGITS = sys.get_int_max_str_digits()

#: Of PyDictObject, after the count of references, the type and the size. Python 3.12 has none (PEP 699).
_VERSION_OFFSET = 24
_HAS_VERSIONS = sys.implementation.name == "cpython" and sys.version_info[:2] == (3, 11) and sys.maxsize > 2**32
_HAS_VERSIONS = _HAS_VERSIONS and not hasattr(sys, "getobjects")  # a build that traces references has larger objects

Put = Callable[[str, Any], None]


class _Kept:
    """What the names of one module or class were bound to."""

    __slots__ = ("exempt", "is_class", "kept", "live", "owner", "quick", "version", "version_then")

    def __init__(self, owner: Any, exempt: frozenset[str] = frozenset()) -> None:
        self.owner = owner
        self.is_class = isinstance(owner, type)
        self.live = vars(owner)
        self.exempt = exempt
        self.kept: dict[str, Any] = {}
        #: The names as they were when they were last found unchanged, for a comparison that takes nanoseconds a name.
        self.quick: dict[str, Any] = {}
        #: Where CPython keeps the version of the namespace, and what it was when that was last compared.
        self.version: Any = None
        self.version_then = -1
        self.remember()

    def remember(self) -> None:
        """Take in names that are new."""
        if len(self.live) != len(self.quick):
            for name, value in list(self.live.items()):
                # None is what a module holds before it has computed something.
                if name not in self.kept and value is not None and name not in self.exempt:
                    self.kept[name] = value
            self.quick = dict(self.live)

    def find_shadows(self) -> list[str]:
        """Return names that a class has got since then, in the place of those that it inherits."""
        if not self.is_class:
            return []
        bases = self.owner.__mro__[1:]
        return [name for name in self.live if name not in self.quick and _is_inherited(name, bases)]

    def put(self, name: str, value: Any) -> None:
        if self.is_class:
            if value is _MISSING:
                type.__delattr__(self.owner, name)
            else:
                type.__setattr__(self.owner, name, value)
        elif value is _MISSING:
            self.live.pop(name, None)
        else:
            self.live[name] = value


class _Modules:
    """What the names of the watched modules were bound to in `sys.modules`: a test may hide a library there."""

    def __init__(self) -> None:
        self.live = sys.modules
        self.kept: dict[str, Any] = {}

    def put(self, name: str, value: Any) -> None:
        if value is _MISSING:
            self.live.pop(name, None)
        else:
            self.live[name] = value


class _Memory:
    """What all watched modules and classes held at the beginning of a session."""

    def __init__(self) -> None:
        self._modules = _Modules()
        self._kept: dict[int, _Kept] = {}
        self._seen = -1
        self._count = 0
        self.remember()

    def remember(self) -> None:
        """Take in what was loaded since, as it is now. What is known already stays as it was."""
        if len(sys.modules) == self._seen:
            return
        self._seen = len(sys.modules)
        for name, module in _find_modules():
            self._modules.kept.setdefault(name, module)
            if id(module) not in self._kept:
                self._kept[id(module)] = _Kept(module, _STATE.get(name, frozenset()))
            else:
                self._kept[id(module)].remember()
        for module in list(self._modules.kept.values()):
            for value in list(vars(module).values()):
                # Not isinstance(), which would ask a deprecated object for its class.
                if issubclass(type(value), type) and id(value) not in self._kept and self._is_watched(value):
                    self._kept[id(value)] = _Kept(value)

    def find_versions(self) -> None:
        """Find where CPython keeps the version of each module's namespace, which each change of it changes.

        Comparing all names, with the objects that they refer to, takes longer than many a test.
        """
        if self._count == len(self._kept) or not _HAS_VERSIONS:
            return
        import ctypes  # not when the plugin starts

        self._count = len(self._kept)
        for kept in self._kept.values():
            if kept.version is None and not kept.is_class:
                kept.version = ctypes.c_uint64.from_address(id(kept.live) + _VERSION_OFFSET)

    def find(self, owner: object) -> _Kept | None:
        """Return what is known of a module or class, if it is watched."""
        return self._kept.get(id(owner))

    def _is_watched(self, value: type) -> bool:
        """Return whether a class is one that the plugin may use, and its attributes can be set."""
        home = value.__module__
        is_ours = home in _CLASS_HOMES if _is_standard(home) else value.__name__ in _CLASSES
        return is_ours and bool(value.__flags__ & _HEAP_TYPE)

    def restore(self) -> list[tuple[Any, str, Any]]:
        """Restore everything, and return (namespace, name, the test's own value) of all that was different."""
        changed: list[tuple[Any, str, Any]] = []
        for kept in self._kept.values():
            live, version = kept.live, kept.version
            if version is not None:
                if version.value == kept.version_then:
                    continue
                kept.version_then = version.value
            try:
                if live == kept.quick:
                    continue
            except _tools.exception:  # a value that cannot be compared is not the one that was there
                pass
            is_unchanged = True
            for name, value in kept.kept.items():
                now = live.get(name, _MISSING)
                if now is not value:
                    is_unchanged = name in kept.exempt
                    kept.put(name, value)
                    changed.append((kept, name, now))
            for name in kept.find_shadows():
                is_unchanged = False
                changed.append((kept, name, live[name]))
                kept.put(name, _MISSING)
            if is_unchanged:
                kept.quick = _tools.dict(live)
        modules = self._modules
        live_modules = modules.live
        for name, value in modules.kept.items():
            now = live_modules.get(name, _MISSING)
            if now is not value:
                modules.put(name, value)
                changed.append((modules, name, now))
        return changed


class _Tools:
    """Functions bound at import. As attributes of an instance they are out of the reach of fake clocks."""

    def __init__(self) -> None:
        self.dict = dict
        self.exception = Exception
        self.max = max
        self.getrecursionlimit, self.setrecursionlimit = sys.getrecursionlimit, sys.setrecursionlimit
        self.get_digits, self.set_digits = sys.get_int_max_str_digits, sys.set_int_max_str_digits
        self.perf_counter = time.perf_counter
        self.process_time = time.process_time
        self.lock = threading.RLock()
        self.modules = sys.modules


_tools = _Tools()


def _find_modules() -> list[tuple[str, types.ModuleType]]:
    """Return the modules that the plugin's own ones name, and some that those use."""
    names = set(_MORE.split())
    for own, module in list(sys.modules.items()):
        if own.startswith(_OWN) and type(module) is types.ModuleType:
            for value in list(vars(module).values()):
                name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
                if isinstance(name, str):
                    names.add(name)
    names = {name for name in names if name.partition(".")[0] not in (_OWN, "__main__")} - _NOT_NEEDED
    found = [(name, sys.modules.get(name)) for name in sorted(names)]
    # `builtins` first: restoring the others takes some of its functions.
    found.sort(key=lambda pair: pair[0] != "builtins")
    return [(name, module) for name, module in found if isinstance(module, types.ModuleType)]


def _is_inherited(name: str, bases: tuple[type, ...]) -> bool:
    return any(name in base.__dict__ for base in bases)


def _is_standard(name: object) -> bool:
    return isinstance(name, str) and name.partition(".")[0] in sys.stdlib_module_names


class _State:
    def __init__(self) -> None:
        self.memories = [_Memory()]
        self.depth = 0
        #: Whether no code of a test runs now, and whether nothing was patched when that was last looked for.
        self.is_between_phases = self.is_clean = False
        self.changed: list[tuple[Any, str, Any]] = []
        self.undo: list[Callable[[], object]] = []


_state = _State()


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Take what the modules hold now as what they hold without a test's patches, for the length of a session."""
    memory = _Memory()
    _state.memories.append(memory)
    try:
        with phase():
            yield
    finally:
        _state.memories.remove(memory)


def remember() -> None:
    """Take in the modules that were loaded since. Call it before a test's fixtures are set up."""
    _state.memories[-1].remember()
    _state.memories[-1].find_versions()


@contextlib.contextmanager
def between_phases(value: bool = True) -> Iterator[None]:
    """Within this context no code of a test runs, so that patches are looked for once. Not within a nested phase."""
    before, _state.is_between_phases, _state.is_clean = _state.is_between_phases, value, False
    try:
        yield
    finally:
        _state.is_between_phases, _state.is_clean = before, False


def phase() -> contextlib.AbstractContextManager[None]:
    """Surround a phase of a test, whose code may patch anything at any time."""
    return between_phases(False)


def accept(owner: object, name: str) -> None:
    """Take what the plugin itself has put under a name of a watched module or class for no change of a test."""
    kept = _state.memories[-1].find(owner)
    if kept is not None:
        kept.quick[name] = kept.live[name]


class Undisturbed:
    """Context in which the plugin's own code runs. It may be nested, and entered on several threads.

    Parameters
    ----------
    keeps_settings : bool
        Leave error states, the default dtype and the like as the test has set them, for code that reads or sets them.
    """

    __slots__ = ("_keeps_settings", "_undo")

    def __init__(self, *, keeps_settings: bool = False) -> None:
        self._keeps_settings = keeps_settings

    def __enter__(self) -> None:
        with _tools.lock:
            _state.depth += 1
            if _state.depth == 1:
                if not (_state.is_between_phases and _state.is_clean):
                    _state.changed = _state.memories[-1].restore()
                    _state.is_clean = not _state.changed
                _state.undo = _set_process_wide()
        self._undo = [] if self._keeps_settings else _set_for_thread()

    def __exit__(self, *exc: object) -> None:
        for undo in self._undo[::-1]:
            undo()
        with _tools.lock:
            _state.depth -= 1
            if _state.depth == 0:
                for undo in _state.undo[::-1]:
                    undo()
                for namespace, name, value in _state.changed[::-1]:
                    namespace.put(name, value)
                _state.changed = []


def undisturbed(function: Function) -> Function:
    """Decorate a function of the plugin that a test may cause to run."""
    return _decorate(function, keeps_settings=False)


def unpatched(function: Function) -> Function:
    """Decorate a function of the plugin that a test may cause to run, and that may read or set settings."""
    return _decorate(function, keeps_settings=True)


def _decorate(function: Function, *, keeps_settings: bool) -> Function:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with Undisturbed(keeps_settings=keeps_settings):
            return function(*args, **kwargs)

    return cast("Function", call)


def was_replaced(module: types.ModuleType, name: str, original: object) -> bool:
    """Return whether something else stands under a module's name, as the test sees it."""
    for namespace, changed, _ in _state.changed:
        if changed == name and getattr(namespace, "owner", None) is module:
            return True
    return vars(module).get(name) is not original


def read_stopwatch() -> float:
    """Return a duration's beginning or end [s], by the real clock."""
    return _tools.perf_counter()


def read_cpu_clock() -> float:
    """Return the CPU time of this process [s], by the real clock. Processes that it started are not counted."""
    return _tools.process_time()


def _set_process_wide() -> list[Callable[[], object]]:
    """Set what all threads share, and return what undoes it."""
    undo: list[Callable[[], object]] = []
    limit = _tools.getrecursionlimit()
    if limit < _RECURSION_LIMIT:
        _tools.setrecursionlimit(_RECURSION_LIMIT)
        undo.append(lambda: _tools.setrecursionlimit(limit))
    digits = _tools.get_digits()
    if digits != _MAX_STR_DIGITS:
        _tools.set_digits(_MAX_STR_DIGITS)
        undo.append(lambda: _tools.set_digits(digits))
    warnings: Any = _tools.modules.get("warnings")
    if warnings is not None:
        # Not catch_warnings(), after which each line may warn once more: the interpreter reads the list by this name.
        filters = warnings.filters
        warnings.filters = _IGNORE_ALL
        undo.append(lambda: setattr(warnings, "filters", filters))
    return undo


def _set_for_thread() -> list[Callable[[], object]]:
    """Set what each thread has for itself, and return what undoes it."""
    undo: list[Callable[[], object]] = []
    numpy: Any = _tools.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "seterr"):
        before = numpy.seterr(all="ignore")
        undo.append(lambda: numpy.seterr(**before))
    decimal: Any = _tools.modules.get("decimal")
    if decimal is not None:
        context = decimal.getcontext()
        decimal.setcontext(decimal.Context())
        undo.append(lambda: decimal.setcontext(context))
    if "torch" in _tools.modules:
        from pytest_repro.frameworks.torch_defaults import set_defaults

        undo += set_defaults()
    return undo
