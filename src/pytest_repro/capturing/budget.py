"""Facts gathered on the way: each collector has a time budget of its own, and failing is one of its answers."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_repro.model import JSON


class Unavailable(Exception):  # noqa: N818 - an answer, not an error
    """A fact cannot be had here; the message is the reason, without paths of this machine."""


def collect(collector: Callable[[], JSON], budget_s: float) -> JSON:
    """Return what a collector finds, or ``{"unavailable": reason}``; never raise, never take longer.

    Parameters
    ----------
    collector : callable
        Run in a thread of its own, which is left behind when its time is over.
    budget_s : float
        Wall time [s].
    """
    answer: list[JSON] = []

    def work() -> None:
        try:
            answer.append(collector())
        except Unavailable as error:
            answer.append(unavailable(str(error)))
        except Exception as error:
            # The type alone: a message may hold a path of this machine.
            answer.append(unavailable(f"the collector failed: {type(error).__name__}"))

    thread = threading.Thread(target=work, name="pytest-repro-collector", daemon=True)
    thread.start()
    thread.join(budget_s)
    return answer[0] if answer else unavailable(f"it took longer than {budget_s:g} s")


def collect_all(collectors: Mapping[str, tuple[Callable[[], JSON], float]]) -> dict[str, JSON]:
    """Run collectors one after the other, each within its own budget [s]."""
    return {name: collect(collector, budget_s) for name, (collector, budget_s) in collectors.items()}


def unavailable(reason: str) -> dict[str, JSON]:
    """Return the answer of a collector that found nothing."""
    return {"unavailable": reason}


def is_unavailable(value: Any) -> bool:
    """Tell whether a fact is an excuse."""
    return isinstance(value, dict) and set(value) == {"unavailable"}


def run_tool(
    command: Sequence[str], *, timeout_s: float, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> bytes:
    """Return what a command prints; end it, and what it started, when its time is over.

    Raises
    ------
    Unavailable
        If it is not installed, fails, or takes too long.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"{name} cannot be run: {error.strerror or type(error).__name__}") from None
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise Unavailable(f"{name} took longer than {timeout_s:g} s") from None
    if process.returncode:
        told = errors.decode("utf-8", "replace").strip().splitlines()
        raise Unavailable(f"{name} failed: {told[0][:200] if told else f'exit code {process.returncode}'}")
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired, ValueError):
        process.communicate(timeout=1)
