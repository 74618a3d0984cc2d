"""The fork server and its client, without pytest: real forks, real signals."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_repro.engines.fork_client import ForkServerClient, ForkServerError
from pytest_repro.engines.fork_server import ForkServerSettings
from pytest_repro.environments.keeper import MARK_VARIABLE, find_processes
from pytest_repro.environments.processes import ChildExit, ChildProcesses
from pytest_repro.errors import ChildError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")

#: A server whose jobs are Python source.
SERVER = """
import os, signal, socket, sys
from pathlib import Path
from pytest_repro.engines import fork_server
from pytest_repro.engines.fork_server import ForkServerSettings, ForkServer

settings = ForkServerSettings.read(Path(sys.argv[1]))
if settings.paths == ["fails"]:
    sys.exit("cannot start today")
if settings.paths == ["impatient"]:
    fork_server.STALL_S = 1.5
state = {"count": 0}

def prepare(path):
    return None if path.name == "missing.py" else lambda: exec(path.read_text(), {"state": state})

def preload(path):
    state["count"] += 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def prepare_series():
    return run_series

def run_series(link):
    while (received := fork_server.receive_job(link)) is not None:
        path, output = received
        os.dup2(output, 1)
        os.close(output)
        exec(path.read_text(), {"state": state})
        state["count"] += 1
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        fork_server.report_job(link, missing=path.name == "missing.py")
    Path(settings.directory, "torn_down").touch()

ForkServer(
    socket.socket(fileno=settings.control), prepare=prepare, prepare_series=prepare_series, preload=preload
).serve()
"""
#: Of this process alone: what another worker of xdist has started must not end with it.
MARK = f"{os.getpid():016x}"


@pytest.fixture
def fork_server(tmp_path: Path) -> Iterator[ForkServerClient]:
    fork_server = make_fork_server(tmp_path)
    yield fork_server
    fork_server.close()
    assert find_processes(mark=f"{MARK}.") == []


def make_fork_server(folder: Path, *paths: str, mark: str = "it") -> ForkServerClient:
    folder.mkdir(exist_ok=True)

    def settings(control: int) -> ForkServerSettings:
        return ForkServerSettings(control, list(paths), {}, {}, {}, str(folder))

    return ForkServerClient(
        lambda path: [sys.executable, "-c", SERVER, str(path)],
        os.environ | {MARK_VARIABLE: f"{MARK}.{mark}.fork_server"},
        folder,
        settings,
    )


def run(
    fork_server: ForkServerClient,
    folder: Path,
    source: str,
    *,
    timeout_s: float | None = 30,
    name: str = "job.py",
    in_series: bool = False,
) -> ChildExit:
    path = folder / name
    path.write_text(textwrap.dedent(source))
    return fork_server.run(path, timeout_s=timeout_s, in_series=in_series)


def test_a_fork_prints_and_ends_by_itself(fork_server: ForkServerClient, tmp_path: Path) -> None:
    ended = run(fork_server, tmp_path, "import sys; print('hello'); print('there', file=sys.stderr)")
    assert (ended.returncode, ended.timed_out, sorted(ended.output.split())) == (0, False, ["hello", "there"])


def test_each_fork_begins_with_the_state_of_the_server(fork_server: ForkServerClient, tmp_path: Path) -> None:
    for _ in range(2):
        assert run(fork_server, tmp_path, "state['count'] += 1; print(state['count'])").output == "1\n"
    fork_server.preload(tmp_path / "modules.json")
    assert run(fork_server, tmp_path, "print(state['count'])").output == "1\n"


def test_a_server_that_is_given_up_ends_no_other_server(tmp_path: Path) -> None:
    servers = [make_fork_server(tmp_path / name, mark=name) for name in ("one", "two")]
    assert [run(server, tmp_path, "print(1)").output for server in servers] == ["1\n", "1\n"]
    servers[0].close()
    assert servers[0].has_ended
    assert not servers[1].has_ended
    assert run(servers[1], tmp_path, "print(2)").output == "2\n"
    servers[1].close()


def test_forks_run_at_the_same_time_each_with_its_own_output(fork_server: ForkServerClient, tmp_path: Path) -> None:
    outputs: dict[int, str] = {}

    def make(number: int) -> None:
        source = f"""
            import os, time
            open("{tmp_path}/up-{number}", "w").close()
            while len([name for name in os.listdir("{tmp_path}") if name.startswith("up-")]) < 3:
                time.sleep(0.01)
            print({number})
        """
        outputs[number] = run(fork_server, tmp_path, source, name=f"job-{number}.py").output

    threads = [threading.Thread(target=make, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: f"{number}\n" for number in range(3)}


@pytest.mark.parametrize(
    "source, returncode, words",
    [
        ("import os; os._exit(7)", 7, "ended with exit code 7"),
        ("import sys; sys.exit(3)", 3, "ended with exit code 3"),
        ("raise ValueError('broken')", 1, "ended with exit code 1"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, "was killed by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), 40)", -40, "was killed by signal 40"),
    ],
)
def test_every_end_is_reported(
    fork_server: ForkServerClient, tmp_path: Path, source: str, returncode: int, words: str
) -> None:
    ended = run(fork_server, tmp_path, source)
    assert (ended.returncode, ended.describe()) == (returncode, words)
    assert ("broken" in ended.output) == ("broken" in source)
    # The server goes on.
    assert run(fork_server, tmp_path, "print(1)").output == "1\n"


def test_a_fork_that_takes_too_long_is_ended_with_everything_that_it_started(
    fork_server: ForkServerClient, tmp_path: Path
) -> None:
    source = """
        import os, subprocess, time
        subprocess.Popen(["sleep", "500"], start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(500)
            os._exit(0)
        time.sleep(500)
    """
    started = time.monotonic()
    ended = run(fork_server, tmp_path, source, timeout_s=1)
    assert ended.timed_out
    assert time.monotonic() - started < 10
    alive = find_processes(mark=f"{MARK}.")
    # The server and its supervisor.
    assert len(alive) == 2


def test_the_processes_of_a_fork_end_with_it_and_not_with_its_sibling(
    fork_server: ForkServerClient, tmp_path: Path
) -> None:
    source = f"""
        import os, subprocess, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open("{tmp_path}/daemon", "w").write(str(os.getpid()))
                time.sleep(500)
            os._exit(0)
        while not os.path.exists("{tmp_path}/done"):
            time.sleep(0.01)
        os.kill(int(open("{tmp_path}/daemon").read()), 0)
        print("my daemon lives")
    """
    ended: list[ChildExit] = []
    sibling = threading.Thread(target=lambda: ended.append(run(fork_server, tmp_path, source, name="sibling.py")))
    sibling.start()
    while not (tmp_path / "daemon").exists():
        time.sleep(0.01)
    run(fork_server, tmp_path, "import subprocess; subprocess.Popen(['sleep', '500'], start_new_session=True)")
    (tmp_path / "done").touch()
    sibling.join()
    assert ended[0].output == "my daemon lives\n"
    assert len(find_processes(mark=f"{MARK}.")) == 2  # the server and its supervisor


def test_a_stalled_fork_is_distinguished_from_one_that_sleeps(tmp_path: Path) -> None:
    fork_server = make_fork_server(tmp_path, "impatient")
    assert run(fork_server, tmp_path, "import time; time.sleep(3); print('slept')").output == "slept\n"
    with pytest.raises(ForkServerError, match="standstill"):
        run(fork_server, tmp_path, "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()")
    fork_server.close()


def test_runs_can_be_ended_from_outside(fork_server: ForkServerClient, tmp_path: Path) -> None:
    threading.Timer(1, fork_server.end_runs).start()
    assert run(fork_server, tmp_path, "import time; time.sleep(500)").returncode == -signal.SIGKILL


def test_a_test_that_the_server_lacks_is_rejected(fork_server: ForkServerClient, tmp_path: Path) -> None:
    with pytest.raises(ForkServerError, match="was not collected"):
        run(fork_server, tmp_path, "", name="missing.py")


def test_a_server_that_cannot_start_is_reported_with_its_last_output(tmp_path: Path) -> None:
    fork_server = make_fork_server(tmp_path, "fails")
    with pytest.raises(
        ForkServerError, match=r"ended before its first fork .exit code 1.; its last output: .*cannot start today"
    ):
        run(fork_server, tmp_path, "print(1)")
    with pytest.raises(ForkServerError, match="has ended"):
        run(fork_server, tmp_path, "print(1)")
    fork_server.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_forks_of_a_server_end_with_it(fork_server: ForkServerClient, tmp_path: Path) -> None:
    source = f"""
        import os, signal, time
        open("{tmp_path}/pid", "w").write(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(500)
    """
    with pytest.raises(ForkServerError, match="ended in the midst of a run"):
        run(fork_server, tmp_path, source)
    pid = int((tmp_path / "pid").read_text())
    # Killed, but on a loaded machine not at once gone.
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_signals_and_session_of_a_fork_are_its_own(fork_server: ForkServerClient, tmp_path: Path) -> None:
    source = """
        import json, os, signal
        names = ("SIGINT", "SIGTERM", "SIGCHLD")
        handlers = [str(signal.getsignal(getattr(signal, name))) for name in names]
        print(json.dumps([os.getsid(0) == os.getpid(), handlers, sorted(map(int, os.listdir("/proc/self/fd")))]))
    """
    # Here it has the server ignore a signal, as a user's module may. It is kept until the server has started.
    fork_server.preload(tmp_path / "modules.json")
    is_leader, handlers, descriptors = json.loads(run(fork_server, tmp_path, source).output)
    assert is_leader
    assert ["default_int_handler" in handlers[0], *handlers[1:]] == [True, "1", "0"]
    # Standard streams, and the folder being listed: nothing of the server's sockets.
    assert descriptors == [0, 1, 2, 3]


def test_of_100_mb_of_output_only_the_end_is_kept(tmp_path: Path) -> None:
    source = "import sys\nfor _ in range(100): sys.stdout.write('x' * 10**6)\nprint('the end')"
    ended = ChildProcesses().run(
        [sys.executable, "-c", source], environment=os.environ, directory=tmp_path, timeout_s=60
    )
    assert ended.output.endswith("xthe end\n")
    assert len(ended.output) == 64 * 1024


def test_a_command_is_not_started_after_the_end(tmp_path: Path) -> None:
    processes = ChildProcesses()
    processes.stop()
    with pytest.raises(ChildError, match="was not started"):
        processes.run(["true"], environment=os.environ, directory=tmp_path, timeout_s=None)


def test_a_timeout_begins_when_the_command_has_begun(tmp_path: Path) -> None:
    source = f"import time; time.sleep(1.5); open('{tmp_path}/begun', 'w').close(); time.sleep(SLEEP)"

    def wait(seconds: float) -> ChildExit:
        (tmp_path / "begun").unlink(missing_ok=True)
        command = [sys.executable, "-c", source.replace("SLEEP", str(seconds))]
        return ChildProcesses().run(
            command,
            environment=os.environ,
            directory=tmp_path,
            timeout_s=1,
            has_begun=(tmp_path / "begun").exists,
        )

    assert not wait(0).timed_out
    assert wait(60).timed_out


def test_a_process_that_left_the_group_is_found_by_its_mark(tmp_path: Path) -> None:
    source = "import subprocess; subprocess.Popen(['sleep', '500'], start_new_session=True)"
    mark = f"{MARK}.one"
    ChildProcesses().run(
        [sys.executable, "-c", source],
        environment=os.environ | {MARK_VARIABLE: mark},
        directory=tmp_path,
        timeout_s=None,
    )
    assert find_processes(mark=mark) == []


COUNT = "import os; print(os.getpid(), state['count'])"


def test_jobs_of_a_series_share_a_fork_and_others_do_not(fork_server: ForkServerClient, tmp_path: Path) -> None:
    first, second = (run(fork_server, tmp_path, COUNT, in_series=True).output.split() for _ in range(2))
    alone = run(fork_server, tmp_path, COUNT).output.split()
    third = run(fork_server, tmp_path, COUNT, in_series=True).output.split()
    assert [first[1], second[1], third[1], alone[1]] == ["0", "1", "2", "0"]
    assert first[0] == second[0] == third[0] != alone[0]


def test_an_ended_series_tears_down_and_the_next_one_begins_anew(fork_server: ForkServerClient, tmp_path: Path) -> None:
    first = run(fork_server, tmp_path, COUNT, in_series=True).output.split()
    assert fork_server.has_series
    fork_server.end_series()
    assert not fork_server.has_series
    second = run(fork_server, tmp_path, COUNT, in_series=True).output.split()
    assert second[1] == "0"
    assert second[0] != first[0]
    fork_server.close()
    assert (tmp_path / "torn_down").exists()


def test_a_list_of_modules_waits_for_the_end_of_the_series(fork_server: ForkServerClient, tmp_path: Path) -> None:
    run(fork_server, tmp_path, COUNT, in_series=True)
    fork_server.preload(tmp_path / "modules.json")
    assert run(fork_server, tmp_path, COUNT, in_series=True).output.split()[1] == "1"
    fork_server.end_series()
    # One preload in the server, and no job before this one.
    assert run(fork_server, tmp_path, COUNT, in_series=True).output.split()[1] == "1"


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_series_that_ends_in_a_job_is_reported_and_replaced(
    end: str, fork_server: ForkServerClient, tmp_path: Path
) -> None:
    run(fork_server, tmp_path, COUNT, in_series=True)
    ended = run(fork_server, tmp_path, f"import os, signal; {end}", in_series=True)
    assert ended.returncode in (3, -signal.SIGKILL)
    assert run(fork_server, tmp_path, COUNT, in_series=True).output.split()[1] == "0"


def test_a_series_that_hangs_is_ended_with_all_that_it_started(fork_server: ForkServerClient, tmp_path: Path) -> None:
    hang = "import subprocess, time; subprocess.Popen(['sleep', '1000']); time.sleep(1000)"
    assert run(fork_server, tmp_path, hang, in_series=True, timeout_s=0.5).timed_out
    assert run(fork_server, tmp_path, COUNT, in_series=True).output.split()[1] == "0"


def test_a_test_that_a_series_lacks_is_reported(fork_server: ForkServerClient, tmp_path: Path) -> None:
    with pytest.raises(ForkServerError, match="not collected"):
        run(fork_server, tmp_path, "", name="missing.py", in_series=True)


def test_an_idle_series_is_not_taken_for_one_that_has_stalled(tmp_path: Path) -> None:
    server = make_fork_server(tmp_path / "impatient", "impatient")
    first = run(server, tmp_path, COUNT, in_series=True).output.split()
    other = threading.Thread(target=run, args=(server, tmp_path, "import time; time.sleep(3)"), kwargs={"name": "b.py"})
    other.start()  # the server looks for stalled forks while it waits for one
    other.join()
    assert run(server, tmp_path, COUNT, in_series=True).output.split() == [first[0], "1"]
    server.close()
