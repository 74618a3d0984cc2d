"""Look at an interpreter before anything runs in it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from pytest_repro.environments import probe
from pytest_repro.environments.environment import EnvironmentFacts, EnvironmentUnusableError
from pytest_repro.model.redaction import redact

#: Time for an interpreter to start and to list its packages [s].
PROBE_S = 120.0
#: What the plugin needs of an environment.
OLDEST_PYTHON = (3, 11)
NEEDED = {"numpy": (1, 26), "pytest": (8, 4)}
#: Longest text of a release that is shown.
MAX_RELEASE = 60


def probe_interpreter(command: Sequence[str], modules: Sequence[str], name: str) -> EnvironmentFacts:
    """Return what an interpreter of this machine has.

    Parameters
    ----------
    command : sequence of str
        Starts it.
    modules : sequence of str
        Top-level modules to look for.
    name : str
        The environment's name, for messages.

    Raises
    ------
    EnvironmentUnusableError
        If it does not start.
    """
    try:
        done = subprocess.run(
            [*command, "-I", probe.__file__, *modules],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentUnusableError(
            f"the environment {name!r}: its Python did not start in {PROBE_S:.0f} s"
        ) from None
    except OSError as error:
        raise EnvironmentUnusableError(f"the environment {name!r}: its Python cannot be started: {error}") from None
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        raise EnvironmentUnusableError(
            f"the environment {name!r}: its Python ended with exit code {done.returncode}:\n{show_end(output)}"
        )
    return read_facts(output, name)


def read_facts(output: str, name: str) -> EnvironmentFacts:
    """Return the facts from what :mod:`pytest_repro.environments.probe` printed."""
    for line in output.splitlines():
        _, mark, text = line.partition(probe.MARK)
        if mark:
            try:
                content: Any = json.loads(text)
                packages = {_shown(key): _shown(version) for key, version in content["packages"].items()}
                plugins, missing = (tuple(map(_shown, content[key])) for key in ("plugins", "missing"))
                return EnvironmentFacts(_shown(content["python"]), packages, plugins, missing)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                break
    raise EnvironmentUnusableError(f"the environment {name!r}: its Python printed no description:\n{show_end(output)}")


def check_facts(facts: EnvironmentFacts, name: str, modules: Sequence[str], file: str) -> None:
    """Raise EnvironmentUnusableError if an environment lacks what the plugin or a test's file needs."""
    check_python(facts.python.rpartition(" ")[2], name)
    if lacking := [each for each in NEEDED if each not in facts.packages]:
        raise EnvironmentUnusableError(
            f"the environment {name!r} lacks {' and '.join(lacking)}, without which no test runs: install it there"
        )
    for package, oldest in NEEDED.items():
        _check_release(package, facts.packages[package], oldest, name)
    if absent := [each for each in facts.missing if each in modules]:
        raise EnvironmentUnusableError(
            f"the environment {name!r} lacks {', '.join(absent)}, which {file} imports: {_say_fix(absent)}"
        )


def check_python(release: str, name: str) -> None:
    """Raise EnvironmentUnusableError if an environment's Python is older than what the plugin needs."""
    _check_release("Python", release, OLDEST_PYTHON, name)


def _check_release(what: str, release: str, oldest: tuple[int, ...], name: str) -> None:
    numbers = tuple(int(part) for part in re.findall(r"\d{1,6}", release)[: len(oldest)])
    if numbers < oldest:
        needed = ".".join(map(str, oldest))
        raise EnvironmentUnusableError(
            f"the environment {name!r} has {what} {_shown(release)}; pytest-repro needs {needed} or later there"
        )


def _shown(value: object) -> str:
    """Return a short text without what would change a terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(value)[:MAX_RELEASE])


def _say_fix(modules: Sequence[str]) -> str:
    """Say what provides modules that an environment lacks, as far as this one has them."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    names = packages_distributions()
    found = []
    for module in modules:
        for distribution in names.get(module, ())[:1]:
            try:
                found.append(f"{distribution}=={version(distribution)}")
            except PackageNotFoundError:
                continue
    return f"add {', '.join(found)}, the releases of this environment" if found else "install them there"


def show_end(output: str, lines: int = 8) -> str:
    """Return the last lines of an output, indented, without secrets."""
    shown = redact(output).strip().splitlines()[-lines:]
    return "\n".join(f"    {line[:300]}" for line in shown) or "    (it printed nothing)"
