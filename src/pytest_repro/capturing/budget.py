"""Collection of facts, each with a time budget, and with failure as a valid answer."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_repro.model import JSON


class Unavailable(Exception):  # noqa: N818 - an answer, not an error
    """A fact that cannot be collected. The message is the reason, without paths of this machine."""


def collect(collector: Callable[[], JSON], budget_s: float) -> JSON:
    """Return a collector's answer or, after an error or when its time is over, ``{"unavailable": reason}``.

    Parameters
    ----------
    collector : callable
        Runs in a thread, which is abandoned when its time is over.
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
            # Without its message, which may contain a path of this machine.
            answer.append(unavailable(f"the collector failed: {type(error).__name__}"))

    thread = threading.Thread(target=work, name="pytest-repro-collector", daemon=True)
    thread.start()
    thread.join(budget_s)
    return answer[0] if answer else unavailable(f"it took longer than {budget_s:g} s")


def unavailable(reason: str) -> dict[str, JSON]:
    """Return the answer of a collector that failed."""
    return {"unavailable": reason}


def is_unavailable(value: Any) -> bool:
    """Return whether a collector failed to find a fact."""
    return isinstance(value, dict) and set(value) == {"unavailable"}


def run_tool(
    command: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> bytes:
    """Return the output of a command, which finds this environment without some variables and with others.

    Raises
    ------
    Unavailable
        If it is not installed, fails, or takes too long. It and its own child processes are then ended.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**{k: v for k, v in os.environ.items() if k not in without}, **(env or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"{name} cannot be run: {error.strerror or type(error).__name__}") from None
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise Unavailable(f"{name} took longer than {timeout_s:g} s") from None
    except BaseException:  # Ctrl-C does not reach a session of its own
        _end(process)
        raise
    if process.returncode:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        raise Unavailable(f"{name} failed: {lines[0][:200] if lines else f'exit code {process.returncode}'}")
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired, ValueError):
        process.communicate(timeout=1)
