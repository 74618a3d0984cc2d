"""Child processes: awaited, timed, and ended with everything that they started."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.environments.processes import KEPT_OUTPUT_BYTES, ChildExit, ChildProcesses
from pytest_repro.errors import ChildError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX'")


def run(code: str, *, timeout_s: float | None = 20, **changes: Any) -> ChildExit:
    """Run Python code in a child process."""
    processes = changes.pop("processes", None) or ChildProcesses()
    return processes.run(
        [sys.executable, "-c", code], environment=dict(os.environ), directory=Path.cwd(), timeout_s=timeout_s, **changes
    )


def is_alive(pid: int) -> bool:
    """Return whether a process is alive, and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_exit_code_and_both_outputs_are_returned() -> None:
    ended = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (ended.returncode, ended.timed_out) == (3, False)
    assert set(ended.output.split()) == {"out", "err"}
    assert ended.describe() == "ended with exit code 3"


def test_a_signal_is_named() -> None:
    ended = run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert ended.returncode == -signal.SIGSEGV
    assert ended.describe() == "was killed by SIGSEGV"
    killed = run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "as the kernel does when memory runs out" in killed.describe()


def test_a_hanging_process_is_ended_at_its_timeout_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(pid_file)!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    started = time.monotonic()
    ended = run(code, timeout_s=3)
    assert ended.timed_out
    assert time.monotonic() - started < 30
    assert ended.describe().endswith("s, its timeout")
    assert not is_alive(int(pid_file.read_text()))


def test_a_grandchild_does_not_outlive_a_run_that_ended_well(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(pid_file)!r}, "w").write(str(child.pid))
"""
    assert run(code).returncode == 0
    assert not is_alive(int(pid_file.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="descendants are found on Linux only")
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "hangs"])
def test_what_left_the_group_and_has_no_mark_is_ended_too(tmp_path: Path, ends: bool) -> None:
    pid_file = tmp_path / "pid"
    code = f"""
import subprocess, time
child = subprocess.Popen(["sleep", "500"], env={{}}, start_new_session=True)
open({str(pid_file)!r}, "w").write(str(child.pid))
time.sleep({0 if ends else 60})
"""
    ended = run(code, timeout_s=20 if ends else 3)
    assert ended.timed_out is not ends
    assert not is_alive(int(pid_file.read_text()))


def test_the_end_of_long_output_is_kept() -> None:
    ended = run("for i in range(300_000): print(i)\nprint('the end')")
    assert ended.output.endswith("the end\n")
    assert len(ended.output) <= KEPT_OUTPUT_BYTES


def test_binary_output_is_accepted() -> None:
    assert "\ufffd" in run("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')").output


def test_a_command_that_does_not_exist_is_an_os_error() -> None:
    with pytest.raises(OSError, match="no_such_program"):
        ChildProcesses().run(["./no_such_program"], environment={}, directory=Path.cwd(), timeout_s=1)


def test_stop_ends_the_processes_in_progress_and_starts_no_more() -> None:
    processes = ChildProcesses()
    found: list[ChildExit] = []
    thread = threading.Thread(target=lambda: found.append(run("import time; time.sleep(60)", processes=processes)))
    thread.start()
    time.sleep(0.5)
    processes.stop()
    thread.join(20)
    assert found[0].returncode == -signal.SIGKILL
    with pytest.raises(ChildError, match="was not started"):
        run("pass", processes=processes)


def test_nothing_is_read_from_the_terminal() -> None:
    assert run("import sys; print(repr(sys.stdin.read()))").output == "''\n"
