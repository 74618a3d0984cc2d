"""A run in another process finds, and hands on, what a run in the user's own session finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.engines.fork_client import ONE_THREAD, SLEEPING_THREADS
from tests.plugin.faults import ENGINES, Program
from tests.plugin.helpers import Sessions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors are read from /proc")

#: Reads everything that a process hands on. Also imported by the interpreters that the test starts.
READING = r"""
    import ctypes, json, os, resource, signal, sys

    def read_descriptors():
        found = []
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.get_inheritable(int(name)) and int(name) > 2:
                    found.append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                pass
        return sorted(found)

    def read_all():
        raw = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
        in_c, index = [], 0
        while raw[index] is not None:
            in_c.append(os.fsdecode(raw[index]))
            index += 1
        status = open("/proc/self/status").read().splitlines()
        return {
            "environ": dict(os.environ),
            "environ in C": sorted(in_c),
            "flags": repr(sys.flags),
            "argv": list(sys.argv),
            "orig_argv": list(sys.orig_argv),
            "path": list(sys.path),
            "warnings": list(sys.warnoptions),
            "signals": {str(number): repr(signal.getsignal(number)).partition(" at ")[0]
                        for number in sorted(signal.valid_signals())},
            "masks": [line for line in status if line.startswith(("SigBlk", "SigIgn"))],
            "descriptors": read_descriptors(),
            "umask": [line for line in status if line.startswith("Umask")],
            "nice": os.nice(0),
            "cwd": os.getcwd(),
            "limits": [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)],
            "tracing": [repr(sys.gettrace()), repr(sys.getprofile())],
        }

    if __name__ == "__main__":
        print(json.dumps(read_all()))
"""
CONFTEST = r"""
    import os, signal, subprocess, sys
    import reading

    AT_IMPORT = reading.read_all()
    KEPT = dict(os.environ)
    signal.signal(signal.SIGTERM, lambda number, frame: None)

    def start(**options):
        command = [sys.executable, reading.__file__]
        return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout
"""
SOURCE = r"""
    import json, multiprocessing, os, sys
    import conftest, pytest, reading

    def posix_spawn():
        readable, writable = os.pipe()
        action = [(os.POSIX_SPAWN_DUP2, writable, 1)]
        pid = os.posix_spawn(sys.executable, [sys.executable, reading.__file__], conftest.KEPT, file_actions=action)
        os.close(writable)
        text = open(readable).read()
        os.waitpid(pid, 0)
        return text

    def in_pool(method):
        with multiprocessing.get_context(method).Pool(1) as pool:
            return pool.apply(reading.read_all)

    MARK
    def test_it():
        here = reading.read_all()
        found = {
            "here": here,
            "at import": conftest.AT_IMPORT,
            "started": json.loads(conftest.start()),
            "started with a copy": json.loads(conftest.start(env=conftest.KEPT)),
            "spawned": json.loads(posix_spawn()),
            "pool": in_pool("spawn")["environ"],
            "fork server": in_pool("forkserver")["environ"],
        }
        with open("found.json", "w") as file:
            json.dump(found, file)
        RETURN
"""
#: What pytest or the operating system sets for one test or one process.
_OF_ONE_PROCESS = ("_=", "OLDPWD=", "PYTEST_CURRENT_TEST=")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    path.unlink()
    for name, part in found.items():
        environ = part.get("environ", part)
        environ.pop("PYTEST_CURRENT_TEST", None)
        if "environ in C" in part:
            part["environ in C"] = [e for e in part["environ in C"] if not e.startswith(_OF_ONE_PROCESS)]
        if name == "here":
            part.pop("path")  # pytest adds the folders of what it collects
    return found


@pytest.mark.parametrize(
    "way, users",
    [
        (["-m", "pytest"], {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}),
        ([str(Path(sys.executable).with_name("pytest"))], {}),
    ],
    ids=["m", "script"],
)
def test_a_test_finds_what_it_finds_in_a_plain_session(
    sessions: Sessions, way: list[str], users: dict[str, str]
) -> None:
    sessions.write(READING, "reading.py")
    sessions.write(CONFTEST, "conftest.py")
    environment = {n: t for n, t in os.environ.items() if n not in ("PYTHONHASHSEED", "OMP_NUM_THREADS")} | users
    options = ["-ppytest_repro.plugin", "-pno:cacheprovider", "--no-repro-diagnose"]
    mark = "@pytest.mark.reproducible"

    def run(mark: str) -> dict[str, Any]:
        sessions.write(SOURCE.replace("MARK", mark).replace("RETURN", "return 1" if mark else ""))
        ended = subprocess.run(
            [sys.executable, *way, *options], cwd=sessions.folder, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return _read(sessions.folder / "found.json")

    plain = run("")
    in_process = run(mark)
    options.append("--repro-isolate")
    expected = run("")
    assert in_process == plain
    fork = run(mark)
    # While the process that forks imports, compiled libraries are to start no threads, and to let idle ones sleep.
    names = (*ONE_THREAD, *SLEEPING_THREADS)
    for part in (fork["at import"], expected["at import"]):
        part["environ in C"] = [entry for entry in part["environ in C"] if entry.partition("=")[0] not in names]
    options.append("--repro-across=process")
    expected_spawn = run("")
    spawn = run(mark)
    for name in plain:
        assert fork[name] == expected[name], name
        assert spawn[name] == expected_spawn[name], name


@pytest.mark.needs("xdist")
def test_a_run_finds_the_worker_that_it_belongs_to(sessions: Sessions) -> None:
    source = """
        import os, pytest

        AT_IMPORT = os.environ.get("PYTEST_XDIST_WORKER")

        @pytest.mark.reproducible
        def test_it():
            assert os.environ["PYTEST_XDIST_WORKER"] == AT_IMPORT == "gw0"
            assert os.environ["PYTEST_XDIST_WORKER_COUNT"] == "1"
            assert not [name for name in os.environ if name.startswith("PYTEST_REPRO") and name != "PYTEST_REPRO_PURE"]
            return 1
    """
    session = sessions.run(source, "-n1", "--repro-isolate", plugins=("xdist",))
    assert session.verdicts == {"test_it": "identical"}, session.text


@pytest.mark.parametrize("engine", ENGINES)
def test_started_interpreters_have_random_hash_seeds_unless_one_is_given(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    source = """
        import multiprocessing, subprocess, sys
        import pytest

        SCRIPT = "print(hash('text'))"
        AT_IMPORT = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True).stdout

        def work(_):
            return hash("text")

        @pytest.mark.reproducible
        def test_script():
            return subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True).stdout

        @pytest.mark.reproducible
        def test_pool():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(work, [1])

        @pytest.mark.reproducible
        def test_its_own():
            return hash("text")
    """
    options = ENGINES[engine][:1] if engine == "fork" else ["--repro-isolate", "--repro-across=env=A=1:A=2"]
    session = sessions.run(source, *options, apart=True)
    expected = {"test_script": "diverged", "test_pool": "diverged", "test_its_own": "identical"}
    assert session.verdicts == expected, session.text


@pytest.mark.parametrize("given", [["--repro-across=hash_seed=3:4"], []], ids=["axis", "user"])
def test_a_hash_seed_that_is_given_reaches_started_interpreters(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    if not given:
        monkeypatch.setenv("PYTHONHASHSEED", "3")
    source = """
        import os, subprocess, sys, pytest

        @pytest.mark.reproducible(runs=3)
        def test_it():
            assert os.environ["PYTHONHASHSEED"] in ("3", "4")
            done = subprocess.run([sys.executable, "-c", "print(hash('text'))"], capture_output=True)
            assert int(done.stdout) == hash("text")
            return 1
    """
    session = sessions.run(source, "--repro-isolate", *given, apart=True)
    assert session.verdicts == {"test_it": "identical"}, session.text


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_at_any_time_leaves_no_folder_and_no_process(
    tmp_path: Path, engine: str, number: signal.Signals
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import subprocess, time, pytest\n"
        "@pytest.mark.reproducible\n"
        "def test_it():\n"
        "    subprocess.Popen(['setsid', 'sleep', '500'], env={})\n"
        "    open('started', 'w').close()\n"
        "    time.sleep(500)\n"
    )
    program = Program(tmp_path, *ENGINES[engine])
    try:
        program.wait_for("started")
        program.interrupt(number, group=False)
        program.finish(30)
        left = program.left()
        assert (left.processes, left.files) == ([], [])
    finally:
        program.kill_all()
