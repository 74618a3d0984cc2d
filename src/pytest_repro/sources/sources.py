"""Sources of entropy, time and identity: noted where the user's code reaches them, and held still where asked.

One set of replacements serves both: what is seen and what is pinned are so the same calls. A pinned reading is keyed
by the user's line and how often it was reached there, since a stream of its own would shift with every late import.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import random
import re
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pytest_repro.axes.clock_fallback import datetime_reads_time
from pytest_repro.axes.patches import Patches, StandIn, replace_everywhere
from pytest_repro.sources import left_files
from pytest_repro.sources.fork_lock import FORK_LOCK
from pytest_repro.sources.frames import find_user_frame, is_standard_file, is_users_file
from pytest_repro.sources.loading import once_loaded
from pytest_repro.sources.pinned_clock import PINNED_TIME_S, collections_apart, patch_clocks, restart_clock
from pytest_repro.sources.sightings import Site, note
from pytest_repro.sources.started_interpreters import is_python
from pytest_repro.sources.worker_tasks import TaskDraws

PINNED_PID = 4242
#: Detail of entropy that a compiled library drew for a generator of its own.
FROM_COMPILED_CODE = "os.urandom, by compiled code"

#: Functions of NumPy whose result hangs on the order of equal elements.
SORTS = ("sort", "argsort", "partition", "argpartition", "unique")

_counts: Counter[tuple[str, Site]] = Counter()


def forget_counts() -> None:
    """Begin a repetition: its first reading at a line is the first again."""
    with FORK_LOCK:
        _counts.clear()
    restart_clock()
    left_files.forget_written()


def pinned_entropy(site: Site, size: int) -> bytes:
    """Return the bytes that pinned entropy gives at a line of the user's."""
    return _bytes_for("entropy", site, size)


def _bytes_for(kind: str, site: Site, size: int) -> bytes:
    with FORK_LOCK:
        _counts[kind, site] += 1
        number = _counts[kind, site]
    return _bytes_of(f"{kind}:{site}:{number}", size)


def _bytes_of(key: str, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += hashlib.sha256(f"{key}:{len(found)}".encode()).digest()
    return found[:size]


@contextmanager
def watched_sources(pins: frozenset[str]) -> Iterator[None]:
    """Note every source that the user's code reaches, and pin the kinds named.

    Parameters
    ----------
    pins : frozenset of {"entropy", "workers", "names", "time", "pid", "mtime"}
        Of entropy, "entropy" is what this process draws, "workers" what those draw that it forks.
    """
    with Patches() as patches:
        _patch_entropy(patches, pins)
        _patch_identity(patches, "pid" in pins)
        _patch_files(patches, "mtime" in pins)
        _patch_environ(patches)
        _note_calls(patches)
        patch_clocks(patches, "time" in pins)
        patches.enter_context(collections_apart())
        patches.enter_context(replace_everywhere(patches.swaps))
        patches.enter_context(datetime_reads_time())
        yield


def _patch_entropy(patches: Patches, pins: frozenset[str]) -> None:
    real_urandom, getpid, here, draws = os.urandom, os.getpid, os.getpid(), TaskDraws()

    def held(site: Site | None, size: int) -> bytes | None:
        """Return what entropy is held to at a line of the user's; None where it is not held."""
        if site is None:
            return None
        if getpid() == here:
            return _bytes_for("entropy", site, size) if "entropy" in pins else None
        return _bytes_of(f"workers:{site}:{draws.number(site)}", size) if "workers" in pins else None

    def seed_held(site: Site | None, bits: int = 128) -> int | None:
        size = -(-bits // 8)
        found = held(site, size)
        return None if found is None else int.from_bytes(found, "little") >> (8 * size - bits)

    def draw(size: int, what: str) -> bytes:
        if _is_for_temporary_names():
            return real_urandom(size)
        site = note("entropy", what)
        found = held(site, size)
        return real_urandom(size) if found is None else found

    def urandom(size: int, /) -> bytes:
        caller = sys._getframe(1)
        # Compiled code has no frame of its own: numba seeds its generators so, from a line that names no such call.
        is_direct = "urandom" in caller.f_code.co_names or not is_users_file(caller.f_code.co_filename)
        return draw(size, "os.urandom" if is_direct else FROM_COMPILED_CODE)

    patches.put(random, "_urandom", lambda size: draw(size, "SystemRandom"))
    patches.swap(real_urandom, urandom)
    real_seed = random.Random.seed

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        if a is None and _is_below("tempfile"):
            site = note("tempname", "tempfile")
            if "names" in pins and site is not None:
                a = int.from_bytes(_bytes_for("tempname", site, 16), "little")
        elif a is None and type(self) is not random.SystemRandom and not _is_for_temporary_names():
            a = seed_held(note("entropy", "random.Random()"))
        elif a is not None:
            note("seeding", f"random {a!r}")
        real_seed(self, a, version)

    patches.put(random.Random, "seed", seed)
    patches.put(tempfile, "_name_sequence", None)  # pytest may have drawn a name in this process
    real_module_seed = random.seed

    def module_seed(a: Any = None, version: int = 2) -> None:
        if a is None:
            a = seed_held(note("reseed", "random.seed()"))
        else:
            note("seeding", f"random {a!r}")
        real_module_seed(a, version)

    patches.swap(real_module_seed, StandIn(real_module_seed, module_seed))
    _patch_numpy(patches, seed_held)
    patches.put(random, "getstate", _noted(random.getstate, "saves", "python_rng"))
    patches.put(random, "setstate", _noted(random.setstate, "loads", "python_rng"))

    def patch_torch() -> None:
        from pytest_repro.frameworks import torch_sources

        torch_sources.patch_seeding(patches.put, note, lambda site: seed_held(site, 63))

    patches.enter_context(once_loaded("torch", patch_torch))
    # `uuid4` reads os.urandom by its module's name, which is replaced above.
    assert uuid.os is os  # type: ignore[attr-defined]


def _is_for_temporary_names() -> bool:
    """Tell whether entropy is drawn for the name of a temporary file: few results hang on it."""
    return _is_below("tempfile", "multiprocessing.util")


def _is_below(*modules: str) -> bool:
    """Tell whether one of these modules of the standard library is on the way here."""
    frame = sys._getframe(1)
    for _ in range(12):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") in modules:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _patch_numpy(patches: Patches, seed_held: Callable[[Site | None, int], int | None]) -> None:
    """Replace NumPy's ways to be seeded, and the choke point of its entropy."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    # NumPy 2 loads its generators when they are first asked for.
    bit_generator: Any = importlib.import_module("numpy.random.bit_generator")
    real_bits: Callable[[int], int] = bit_generator.randbits

    def randbits(bits: int) -> int:
        site = note("entropy", "numpy seed sequence")
        found = seed_held(site, bits)
        return real_bits(bits) if found is None else found

    with suppress(AttributeError):
        patches.put(bit_generator, "randbits", randbits)
    for name in ("seed", "default_rng"):
        real = getattr(numpy.random, name)
        patches.swap(real, StandIn(real, _seeding(real, f"numpy.random.{name}", is_reseed=name == "seed")))


def _seeding(real: Callable[..., Any], what: str, *, is_reseed: bool) -> Callable[..., Any]:
    def seeded(*args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs.get("seed")
        if given is not None:
            with suppress(Exception):
                note("seeding", f"{what} {given!r}")
        elif is_reseed:
            note("reseed", f"{what}()")
        return real(*args, **kwargs)

    return seeded


#: Modules of the standard library that compare process ids to tell a fork from its parent.
_TELL_FORKS = (
    "tempfile",
    "multiprocessing.util",
    "multiprocessing.popen_fork",
    "concurrent.futures.process",
    "logging",
)


def _patch_identity(patches: Patches, is_pinned: bool) -> None:
    real_pid = os.getpid

    def getpid() -> int:
        frame = find_user_frame()
        if frame is not None and _is_near(sys._getframe(1), frame) and not _is_below(*_TELL_FORKS):
            note("pid", "os.getpid")
            if is_pinned:
                return PINNED_PID
        return real_pid()

    patches.swap(real_pid, getpid)


#: Names that `tempfile` draws: a time that hung on one would differ again.
_DRAWN_NAME = re.compile(rb"tmp[a-z0-9_]{8}")


def _patch_files(patches: Patches, is_pinned: bool) -> None:
    real_stat = os.stat

    def stat(path: Any, *args: Any, **kwargs: Any) -> Any:
        found = real_stat(path, *args, **kwargs)
        caller = sys._getframe(1)
        name = caller.f_code.co_name
        left_files.note_found(path)
        if name in ("exists", "isfile", "isdir", "is_file", "is_dir", "samefile", "_path_stat"):
            return found
        frame = find_user_frame()
        if frame is None or not _is_near(caller, frame):
            return found
        note("mtime", name)
        if not is_pinned or not isinstance(path, (str, bytes, os.PathLike)):
            return found
        base = _DRAWN_NAME.sub(b"tmp", os.fsencode(os.path.basename(os.fspath(path))))  # noqa: PTH119 - bytes too
        moment = PINNED_TIME_S + int.from_bytes(hashlib.sha256(base).digest()[:3], "little")
        fields = list(found[:10])
        fields[7:10] = [int(moment)] * 3
        named = {f"st_{k}time": moment for k in "amc"} | {f"st_{k}time_ns": int(moment * 1e9) for k in "amc"}
        return os.stat_result(fields, named)

    patches.swap(real_stat, stat)


def _is_near(caller: Any, users: Any) -> bool:
    """Tell whether nothing but a helper of the standard library stands between a call and the user's code."""
    for _ in range(4):
        if caller is users:
            return True
        if caller is None or not is_standard_file(caller.f_code.co_filename):
            return False
        caller = caller.f_back
    return False


def _note_calls(patches: Patches) -> None:
    """Note calls that read the machine, or whose result hangs on the order of equal elements."""
    named: list[tuple[Any, str, str]] = [(os, "cpu_count", "cores"), (os, "getcwd", "cwd")]
    if hasattr(os, "sched_getaffinity"):
        named.append((os, "sched_getaffinity", "cores"))
    numpy = sys.modules.get("numpy")
    # numba knows NumPy's functions by more than equality, and refuses a stand-in.
    if numpy is not None and "numba" not in sys.modules:
        named += [(numpy, name, "sort") for name in SORTS]
        named += [(numpy, name, "layout") for name in ("asfortranarray", "ascontiguousarray")]
    for owner, name, kind in named:
        real = getattr(owner, name)
        patches.swap(real, _noted(real, kind, name))


def _noted(real: Callable[..., Any], kind: str, name: str) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        if is_users_file(sys._getframe(1).f_code.co_filename):
            note(kind, name)
        return real(*args, **kwargs)

    return noted


def _patch_environ(patches: Patches) -> None:
    kind: Any = type(os.environ)
    real_get = kind.__getitem__

    def getitem(self: Any, key: Any) -> Any:
        frame = find_user_frame()
        if frame is not None and _is_near(sys._getframe(1), frame):
            note("environ", str(key))
        return real_get(self, key)

    patches.put(kind, "__getitem__", getitem)


def note_audit(event: str, args: tuple[Any, ...]) -> None:
    """Note what the interpreter itself tells of: listings, explicit ids, threads and processes started."""
    if event in _EVENTS:
        if event == "builtins.id":
            frame = sys._getframe(1)
            if is_users_file(frame.f_code.co_filename):
                note("id", "id()")
            return
        if _EVENTS[event] == "process" and _is_below("platform", "uuid", "ctypes.util"):
            return  # `uname` and the like, which log lines ask for
        note(_EVENTS[event], event)
        if event == "subprocess.Popen" and is_python(*args[:2]):
            note("interpreter", "a Python interpreter")
    elif event == "open":
        left_files.note_open(args[0], args[2])
        if isinstance(args[0], str) and not os.path.isabs(args[0]):  # noqa: PTH117
            note("relative", args[0])
    elif event == "sqlite3.connect":
        left_files.note_found(args[0])


_EVENTS = {
    "os.listdir": "listing",
    "os.scandir": "listing",
    "glob.glob": "listing",
    "builtins.id": "id",
    "subprocess.Popen": "process",
    "os.fork": "process",
    "os.posix_spawn": "process",
    "_thread.start_new_thread": "thread",
}
