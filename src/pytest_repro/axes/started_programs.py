"""Programs that a run starts: told, and given environment variables that this process does not have itself."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytest_repro.axes.builtin_calls import real_function, redirected
from pytest_repro.axes.patches import set_variables

_PYTHON = re.compile(r"(python|pypy)[\d.]*t?(\.exe)?")
#: Position of the environment among the arguments of `_posixsubprocess.fork_exec`, through which `subprocess` and
#: `multiprocessing` start programs.
_ENVIRONMENT = 5
#: Variables that hold a list, with what separates its entries.
_JOINED = {"PYTHONPATH": os.pathsep, "GLIBC_TUNABLES": ":"}
#: Options by which an interpreter reads no PYTHONPATH, or runs no `sitecustomize`.
_ISOLATING = frozenset("IES")

Command = list[str]


@contextmanager
def noted_programs(variables: Mapping[str, str] | None = None) -> Iterator[list[Command]]:
    """Note the words of each command that Python starts, and add variables to its environment.

    PYTHONPATH and GLIBC_TUNABLES keep what they hold already. Programs that compiled code starts, and those that take
    the place of this process (`os.execv`), are missed.

    Yields
    ------
    list of list of str
        Filled in as programs are started.
    """
    added = dict(variables or {})
    commands: list[Command] = []

    def note(words: Any) -> None:
        with contextlib.suppress(TypeError, ValueError):
            commands.append([os.fsdecode(word) for word in words])

    with contextlib.ExitStack() as stack:
        replacements: dict[Callable[..., Any], Callable[..., Any]] = {}
        if sys.platform != "win32":
            import _posixsubprocess

            real_fork_exec = real_function(_posixsubprocess.fork_exec)

            def fork_exec(*args: Any) -> Any:
                note(args[0])
                if added:
                    environment = args[_ENVIRONMENT]
                    if environment is None:
                        environment = [os.fsencode(f"{name}={text}") for name, text in os.environ.items()]
                    args = (*args[:_ENVIRONMENT], _extend_list(environment, added), *args[_ENVIRONMENT + 1 :])
                return real_fork_exec(*args)

            replacements[_posixsubprocess.fork_exec] = fork_exec
        for name in ("posix_spawn", "posix_spawnp"):
            if hasattr(os, name):
                function = getattr(os, name)
                replacements[function] = _make_spawn(real_function(function), note, added)
        real_system = real_function(os.system)

        def system(command: Any) -> int:
            note([command])
            with set_variables(_extend(os.environ, added)):
                return int(real_system(command))

        replacements[os.system] = system
        stack.enter_context(redirected(replacements))
        yield commands


def _make_spawn(real: Callable[..., Any], note: Callable[[Any], None], added: Mapping[str, str]) -> Callable[..., Any]:
    def spawn(path: Any, argv: Any, env: Any, **options: Any) -> Any:
        note(argv)
        if added:
            env = os.environ if env is None else env  # None from Python 3.13 on
            env = {**env, **_extend(env, added)}
        return real(path, argv, env, **options)

    return spawn


def _extend(environment: Mapping[Any, Any], added: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set in an environment."""
    given = dict(environment)  # os.environ refuses to look up bytes
    found = dict(added)
    for name in found.keys() & _JOINED.keys():
        before = given.get(name) or given.get(os.fsencode(name))
        parts = [found[name], os.fsdecode(before)] if before else [found[name]]
        # The last of two tunables counts, and the first folder of two that hold a module.
        found[name] = _JOINED[name].join(parts if name == "PYTHONPATH" else parts[::-1])
    return found


def _extend_list(environment: Any, added: Mapping[str, str]) -> list[bytes]:
    pairs = dict(bytes(entry).split(b"=", 1) for entry in environment if b"=" in bytes(entry))
    texts = {os.fsdecode(name): os.fsdecode(text) for name, text in pairs.items()}
    return [os.fsencode(f"{name}={text}") for name, text in {**texts, **_extend(texts, added)}.items()]


def is_python(command: Command) -> bool:
    """Return whether a command is a Python interpreter, by its name."""
    return bool(command) and _PYTHON.fullmatch(os.path.basename(command[0])) is not None  # noqa: PTH119


def ignores_environment(command: Command) -> bool:
    """Return whether a Python interpreter is told to ignore its environment (-I, -E) or to import no `site` (-S)."""
    for word in command[1:]:
        if not word.startswith("-") or word.startswith("--"):
            return False
        letters = word[1:].partition("c")[0].partition("m")[0]
        if _ISOLATING & set(letters):
            return True
        if letters != word[1:]:
            return False
    return False


def serves_multiprocessing(command: Command) -> bool:
    """Return whether a command starts the process that only clears up after `multiprocessing`."""
    return any("resource_tracker" in word for word in command)


def find_words(command: Command) -> list[str]:
    """Return the names of programs in a command, including one that a shell is given as text."""
    words = [part for word in command for part in re.split(r"[\s;|&()`$\"']+", word)]
    return [os.path.basename(word) for word in words if word]  # noqa: PTH119


def end_kept_workers() -> None:
    """End worker processes that libraries keep for later calls, which would keep the condition they began in.

    joblib keeps its workers for minutes, and multiprocessing the server from which it forks.
    """
    loky: Any = sys.modules.get("joblib.externals.loky.reusable_executor")
    if loky is not None and getattr(loky, "_executor", None) is not None:
        loky._executor.shutdown(wait=True, kill_workers=False)
        loky._executor = None
    server: Any = sys.modules.get("multiprocessing.forkserver")
    if server is not None and getattr(server._forkserver, "_forkserver_pid", None) is not None:
        import multiprocessing

        if not multiprocessing.active_children():
            server._forkserver._stop()
