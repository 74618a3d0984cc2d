"""Objects that hold no result: locks, open files, connections, loggers, modules. They are listed as not compared."""

from __future__ import annotations

import concurrent.futures
import io
import logging
import socket
import subprocess
import threading
import types
import weakref
from typing import Any

from pytest_repro.frameworks.base_values import Branch, Handler, Omitted
from pytest_repro.frameworks.object_values import with_additions

#: Reason -> types whose instances hold no result, and those of their subclasses.
_TYPES: dict[str, tuple[type, ...]] = {
    "a lock": (
        type(threading.Lock()),
        type(threading.RLock()),
        threading.Condition,
        threading.Semaphore,
        threading.Event,
        threading.Barrier,
    ),
    "a thread": (threading.Thread,),
    "an open file": (io.IOBase.__base__ or io.IOBase,),
    "a socket": (socket.socket,),
    "a logger": (logging.Logger, logging.Handler, logging.LoggerAdapter, logging.Formatter),
    "a module": (types.ModuleType,),
    "a weak reference": (weakref.ref, weakref.ProxyType, weakref.CallableProxyType, weakref.finalize),
    "a process": (subprocess.Popen,),
    "a pool of workers": (concurrent.futures.Executor,),
    "a traceback": (types.TracebackType, types.FrameType),
}
#: The same by the name of the type, for modules that need not be imported.
_NAMES = {
    "unittest.mock.NonCallableMock": "a mock",
    "multiprocessing.process.BaseProcess": "a process",
    "multiprocessing.pool.Pool": "a pool of workers",
    "multiprocessing.synchronize.SemLock": "a lock",
    "multiprocessing.connection._ConnectionBase": "a connection",
    "multiprocessing.context.BaseContext": "a way to start processes",
    "multiprocessing.queues.Queue": "a queue between processes",
    "multiprocessing.queues.SimpleQueue": "a queue between processes",
    "multiprocessing.managers.BaseManager": "a process",
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
}


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


def _capture_buffer(value: io.BytesIO | io.StringIO) -> Branch:
    return Branch(type(value).__name__, [("content", value.getvalue()), ("position", value.tell())])


HANDLERS: dict[type, Handler] = {
    **{kind: _omit(reason) for reason, kinds in _TYPES.items() for kind in kinds},
    # What these hold is data.
    logging.LogRecord: _capture_log_record,
    threading.local: _capture_local,
    io.BytesIO: _capture_buffer,
    io.StringIO: _capture_buffer,
}


def find_by_protocol(kind: type) -> Handler | None:
    """Find the handler of a type, or of a subclass of one, that is known by its name."""
    for base in kind.__mro__:
        reason = _NAMES.get(f"{base.__module__}.{base.__qualname__}")
        if reason is not None:
            return with_additions(_omit(reason), base, kind)
    return None
