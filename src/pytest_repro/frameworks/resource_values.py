"""What holds no result: locks, open files, connections, loggers, modules. They are listed as not compared.

Resources that do hold a state (an event, the text behind a stream, a mock's calls) are captured by it. Among the local
variables of a test, code and the means of a test are passed over as well (:func:`is_code_or_means`).
"""

from __future__ import annotations

import concurrent.futures
import functools
import io
import logging
import socket
import subprocess
import tempfile
import threading
import types
import weakref
from typing import Any

import numpy as np

from pytest_repro.frameworks.attributes import origin_of, read_dict
from pytest_repro.frameworks.base_values import Branch, Captured, Handler, Internal, Omitted
from pytest_repro.frameworks.object_values import with_additions

#: Reason -> types whose instances hold no result, and those of their subclasses.
_TYPES: dict[str, tuple[type, ...]] = {
    "a lock": (type(threading.Lock()), type(threading.RLock()), threading.Condition),
    "a thread": (threading.Thread,),
    "an open file": (io.IOBase.__base__ or io.IOBase,),
    "a socket": (socket.socket,),
    "a logger": (logging.Logger, logging.Handler, logging.Formatter),
    "a module": (types.ModuleType,),
    "a weak reference": (weakref.ref, weakref.ProxyType, weakref.CallableProxyType, weakref.finalize),
    "a pool of workers": (concurrent.futures.Executor,),
    "a traceback": (types.TracebackType, types.FrameType),
}
#: The same by the name of the type, for modules that need not be imported.
_NAMES = {
    "multiprocessing.process.BaseProcess": "a process",
    "multiprocessing.pool.Pool": "a pool of workers",
    "multiprocessing.synchronize.SemLock": "a lock",
    "multiprocessing.connection._ConnectionBase": "a connection",
    "multiprocessing.context.BaseContext": "a way to start processes",
    "multiprocessing.managers.BaseManager": "a process",
    "ctypes.CDLL": "a loaded library",
    "tempfile.TemporaryDirectory": "a temporary folder",
    "tempfile._TemporaryFileWrapper": "an open file",
    "asyncio.events.AbstractEventLoop": "an event loop",
    "tqdm.std.tqdm": "a progress bar",
    "torch.utils.tensorboard.writer.SummaryWriter": "a logger",
    "tensorboardX.writer.SummaryWriter": "a logger",
    "wandb.sdk.wandb_run.Run": "a logger",
    "lightning.pytorch.loggers.logger.Logger": "a logger",
    "pytorch_lightning.loggers.logger.Logger": "a logger",
    "torch.cuda.streams.Stream": "a stream of a device",
    "torch.distributed.distributed_c10d.ProcessGroup": "a process group",
    **dict.fromkeys(
        [
            "_pytest.capture.CaptureFixture",
            "_pytest.config.Config",
            "_pytest.fixtures.FixtureRequest",
            "_pytest.logging.LogCaptureFixture",
            "_pytest.monkeypatch.MonkeyPatch",
            "_pytest.nodes.Node",
            "_pytest.tmpdir.TempPathFactory",
            "pytest_mock.plugin.MockerFixture",
            "pytest_repro.engines.current.Repro",
        ],
        "a fixture of pytest",
    ),
}


#: Code, which a test may keep in a local variable. It is captured where the test returns it.
_CODE: tuple[type, ...] = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.ModuleType,
    types.CodeType,
    types.GenericAlias,
    types.EllipsisType,
    types.NotImplementedType,
    functools.partial,
    functools._lru_cache_wrapper,
    np.ufunc,
    property,
    staticmethod,
    classmethod,
)
#: Packages whose own classes are means of a test.
_MEANS = frozenset(
    [
        "_pytest",
        "pytest",
        "pytest_mock",
        "pytest_repro",
        "unittest",
        "mock",
        "py",
        "_thread",
        "threading",
        "multiprocessing",
        "asyncio",
        "concurrent",
        "socket",
        "_socket",
        "ssl",
        "selectors",
        "contextlib",
        "typing",
    ]
)
#: Modules of mocks, and those of the paths that pytest makes, which are data.
_MOCKS, PYTEST_PATHS = ("unittest.mock", "mock.mock"), ("_pytest._py.path", "py._path.local")
#: Modules of means whose objects hold what was computed.
_DATA_OF_MEANS = frozenset(
    [
        *PYTEST_PATHS,
        "_asyncio",
        "asyncio.futures",
        "asyncio.queues",
        "concurrent.futures._base",
        "multiprocessing.managers",
        "multiprocessing.queues",
        "multiprocessing.sharedctypes",
    ]
)


def is_code_or_means(kind: type) -> bool:
    """Return whether values of a type are code or means of a test, about which a scan says nothing."""
    if issubclass(kind, _CODE):
        return True
    module = origin_of(kind)
    if module.partition(".")[0] in _MEANS and module not in _DATA_OF_MEANS:
        return True
    return any(origin_of(base) in _MOCKS for base in kind.__mro__)


def _omit(reason: str) -> Handler:
    def capture(value: Any) -> Omitted:
        return Omitted(f"{reason} holds no result", is_state=False)

    return capture


def _capture_log_record(value: logging.LogRecord) -> Branch:
    # Without its times, its thread and its process.
    children = [(name, getattr(value, name)) for name in ("name", "levelname", "msg", "args", "exc_text")]
    return Branch(type(value).__name__, children, is_object=True)


def _capture_local(value: threading.local) -> Branch:
    own: dict[str, Any] = threading.local.__getattribute__(value, "__dict__")  # of the thread that captures
    return Branch(type(value).__name__, sorted(own.items()), named=True, is_object=True)


def _capture_buffer(value: io.BytesIO | io.StringIO) -> Captured:
    if value.closed:
        return Omitted("a closed file holds nothing", is_state=False)
    return Branch(type(value).__name__, [("content", value.getvalue()), ("position", value.tell())])


def _capture_stream(value: Any) -> Captured:
    """Capture a stream by the memory that it reads or writes, if that is no file."""
    inner = value._file if isinstance(value, tempfile.SpooledTemporaryFile) else value
    while not isinstance(inner, (io.BytesIO, io.StringIO)):
        if (inner := getattr(inner, "buffer", None) or getattr(inner, "raw", None)) is None:
            return Omitted("an open file holds no result", is_state=False)
    if not value.closed:
        value.flush()
    captured = _capture_buffer(inner)
    return captured if isinstance(captured, Omitted) else Branch(type(value).__name__, [("buffer", inner)])


def _capture_event(value: Any) -> Branch:
    return Branch(type(value).__name__, [("is_set", value.is_set())])


def _capture_queue(value: Any) -> Omitted:
    try:
        is_empty = not value.qsize() if hasattr(value, "qsize") else value.empty()
    except (OSError, ValueError):  # it was closed
        is_empty = True
    except NotImplementedError:  # macOS counts no elements
        is_empty = value.empty()
    if is_empty:
        return Omitted("an empty queue between processes holds no result", is_state=False)
    return Omitted("reading a queue between processes would empty it; return what you take out", is_state=True)


def _capture_future(value: Any) -> Captured:
    if not value.done() or value.cancelled():
        return Omitted("what a future will give is not known yet; return its result()", is_state=not value.done())
    error = value.exception()
    return Branch(type(value).__name__, [("result", value.result())] if error is None else [("exception", error)])


def _capture_proxy(value: Any) -> Branch:
    # Its own attributes are the addresses of the server and of the object there.
    return Branch(type(value).__name__, [("value", value._getvalue())], is_object=True)


def _capture_process(value: subprocess.Popen[Any]) -> Branch:
    return Branch(type(value).__name__, [("returncode", value.returncode)])


def _capture_mock(value: Any) -> Branch:
    """Capture a mock by its calls, by what it was told to return, and by the attributes that were set on it."""
    own = dict(read_dict(value))
    calls = [tuple(tuple.__iter__(call)) for call in own.get("_mock_mock_calls") or ()]
    children: list[tuple[str, Any]] = [("calls", calls)]
    children += [(name, own.get(f"_mock_{name}")) for name in ("return_value", "side_effect", "wraps")]
    members = {**own.get("_mock_children", {}), **{n: part for n, part in own.items() if not n.startswith(_MOCKS_OWN)}}
    children += [(f".{name}", part) for name, part in sorted(members.items()) if not name.startswith("__")]
    # A mock is a means of the test. What was passed to it need not be comparable.
    parts = [(name, Internal(part)) for name, part in children if part is not None and not _is_sentinel(part)]
    return Branch(type(value).__name__, parts, is_object=True)


def _is_sentinel(part: object) -> bool:
    return type(part).__name__ == "_SentinelObject"  # which stands for a return value that nobody has set


_MOCKS_OWN = ("_mock_", "_spec_", "method_calls")

_CAPTURED_BY_NAME: dict[str, Handler] = {
    "unittest.mock.NonCallableMock": _capture_mock,
    "multiprocessing.managers.BaseProxy": _capture_proxy,
    "_asyncio.Future": _capture_future,
    "asyncio.futures.Future": _capture_future,
    "multiprocessing.sharedctypes.SynchronizedBase": lambda value: Branch("shared", [("value", value.get_obj())]),
    "multiprocessing.queues.Queue": _capture_queue,
    "multiprocessing.queues.SimpleQueue": _capture_queue,
    "multiprocessing.synchronize.Event": _capture_event,
    "multiprocessing.synchronize.Semaphore": lambda value: Branch("Semaphore", [("value", value.get_value())]),
}

HANDLERS: dict[type, Handler] = {
    **{kind: _omit(reason) for reason, kinds in _TYPES.items() for kind in kinds},
    # What these hold is data.
    logging.LogRecord: _capture_log_record,
    logging.LoggerAdapter: lambda value: Branch(type(value).__name__, [("extra", value.extra)], is_object=True),
    threading.local: _capture_local,
    threading.Event: _capture_event,
    threading.Semaphore: lambda value: Branch(type(value).__name__, [("value", value._value)]),
    concurrent.futures.Future: _capture_future,
    threading.Barrier: lambda value: Branch(type(value).__name__, [("parties", value.parties)]),
    subprocess.Popen: _capture_process,
    io.BytesIO: _capture_buffer,
    io.StringIO: _capture_buffer,
    io.TextIOWrapper: _capture_stream,
    io.BufferedReader: _capture_stream,
    io.BufferedWriter: _capture_stream,
    io.BufferedRandom: _capture_stream,
    tempfile.SpooledTemporaryFile: _capture_stream,
    weakref.WeakSet: lambda value: Branch("WeakSet", [("", part) for part in value], whole=False, unordered=True),
}


def find_by_protocol(kind: type) -> Handler | None:
    """Find the handler of a type, or of a subclass of one, that is known by its name."""
    for base in kind.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if name in _CAPTURED_BY_NAME:
            handler = _CAPTURED_BY_NAME[name]
            return handler if handler is _capture_mock else with_additions(handler, base, kind)
        if name in _NAMES:
            return with_additions(_omit(_NAMES[name]), base, kind)
    return None
