"""Runs behind a command prefix."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_repro.environments import probing
from pytest_repro.environments.environment import (
    EnvironmentLostError,
    EnvironmentRunError,
    EnvironmentUnusableError,
)
from pytest_repro.environments.keeper import find_processes
from pytest_repro.environments.processes import ChildProcesses
from pytest_repro.environments.project_files import list_project_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its prefixes are programs of a shell")


def test_a_run_has_its_variables_its_folder_and_its_files_and_leaves_files_and_output(elsewhere):
    place = elsewhere.place("env", "GIVEN=1", "TAKEN=1")
    code = """
    import json, os, pathlib
    folder = pathlib.Path(FOLDER)
    given = (folder / "job.txt").read_text()
    (folder / "sub").mkdir()
    (folder / "sub" / "left.txt").write_text(given + os.getcwd())
    (folder / "tmp").mkdir()
    (folder / "tmp" / "big").write_text("x")
    print(json.dumps([os.environ.get(name) for name in ("GIVEN", "TAKEN", "ADDED")]))
    raise SystemExit(3)
    """
    ended, folder = elsewhere.run(place, code, variables={"TAKEN": None, "ADDED": "2"}, files={"job.txt": "in "})
    assert (ended.returncode, ended.timed_out) == (3, False)
    assert json.loads(ended.output) == ["1", None, "2"]
    assert (folder / "sub" / "left.txt").read_text() == f"in {elsewhere.project}"
    assert not (folder / "tmp").exists()


def test_runs_follow_each_other_through_one_agent(elsewhere):
    place = elsewhere.place(elsewhere.script(f'echo x >> {elsewhere.folder}/starts; exec "$@"'))
    outputs = [elsewhere.run(place, f"print({number})")[0].output for number in (1, 2)]
    assert outputs == ["1\n", "2\n"]
    assert (elsewhere.folder / "starts").read_text() == "x\n"


def test_the_output_of_a_run_comes_while_it_runs_and_its_end_is_kept(elsewhere):
    seen: list[bytes] = []
    ended, _ = elsewhere.run(elsewhere.place(), "print('x' * 300000); print('end')", echo=seen.append)
    assert len(b"".join(seen)) == 300005
    assert len(ended.output) < 70000
    assert ended.output.endswith("end\n")


def test_a_run_that_is_killed_by_a_signal_ends_alone(elsewhere):
    place = elsewhere.place()
    ended, _ = elsewhere.run(place, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ended.returncode == -signal.SIGKILL
    assert elsewhere.run(place, "print(1)")[0].output == "1\n"


def test_a_run_is_stopped_after_its_timeout_which_begins_with_its_test(elsewhere):
    code = "import pathlib, time; pathlib.Path(FOLDER, 'begun').touch(); time.sleep(60)"
    ended, _ = elsewhere.run(elsewhere.place(), code, timeout_s=0.2)
    assert ended.timed_out
    assert ended.seconds < 30


def test_what_a_run_started_ends_with_it_also_in_a_session_and_without_the_mark(elsewhere):
    code = """
    import os, subprocess
    os.environ.pop("PYTEST_REPRO_RUN")
    subprocess.Popen(["sleep", "987"], start_new_session=True)
    """
    elsewhere.run(elsewhere.place(), code)
    assert not [command for command in running() if b"sleep\x00987" in command]


def running() -> list[bytes]:
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:  # noqa: PTH123
                    found.append(file.read())
            except OSError:
                continue
    return found


def test_a_run_can_be_stopped_from_another_thread(elsewhere):
    processes, place = ChildProcesses(), elsewhere.place()
    started = time.monotonic()
    threading.Timer(1.0, processes.stop).start()
    ended, _ = elsewhere.run(place, "import time; time.sleep(60)", processes=processes)
    assert ended.returncode == -signal.SIGKILL
    assert time.monotonic() - started < 30
    assert elsewhere.run(place, "print(1)")[0].output == "1\n"


def test_a_prefix_may_print_before_its_python_starts(elsewhere):
    script = elsewhere.script(
        'echo Welcome to far; echo "motd: b\'x\'"; echo noise >&2; printf "no newline "; exec "$@"'
    )
    assert elsewhere.run(elsewhere.place(script), "print(1)")[0].output == "1\n"


def test_a_login_shell_that_takes_a_command_line_works(elsewhere):
    script = elsewhere.script('bash -lc "echo from a profile; $*"')
    assert elsewhere.run(elsewhere.place(script), "print(1)")[0].output == "1\n"


def test_a_command_that_passes_only_whole_lines_on_works(elsewhere):
    script = elsewhere.python_script(
        """
        import subprocess, sys
        process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
        while line := process.stdout.readline():
            if line.endswith(b"\\n"):
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
        sys.exit(process.wait())
        """,
        "whole_lines",
    )
    ended, folder = elsewhere.run(
        elsewhere.place(script), "print('no end', end=''); open(FOLDER + '/a', 'w').write('x')"
    )
    assert ended.output == "no end"
    assert (folder / "a").read_text() == "x"


def test_a_command_is_told_to_end_before_it_is_killed(elsewhere):
    # As srun is, which then takes its job out of the queue.
    script = elsewhere.script(f'trap "echo x > {elsewhere.folder}/told; exit 1" TERM; while :; do sleep 0.05; done')
    with pytest.raises(EnvironmentLostError):
        elsewhere.run(elsewhere.place(script, timeout_s=0.5), "")
    assert (elsewhere.folder / "told").exists()


def test_a_prefix_that_does_not_exist_is_named(elsewhere):
    with pytest.raises(EnvironmentLostError, match="'far' cannot be started: no-such-program: No such file"):
        elsewhere.run(elsewhere.place("no-such-program", "bob@box"), "")


def test_the_last_lines_of_a_prefix_that_ends_are_shown(elsewhere):
    script = elsewhere.script("for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done; echo no account >&2; exit 1")
    with pytest.raises(EnvironmentLostError) as raised:
        elsewhere.run(elsewhere.place(script), "")
    first, *lines = str(raised.value).splitlines()
    assert first == "the environment 'far' was lost: its command ended with exit code 1. Its last output:"
    assert lines[-1] == "    no account"
    assert len(lines) == 8


def test_a_prefix_that_never_starts_a_python_is_given_up_after_its_timeout(elsewhere):
    script = elsewhere.script("echo job 7 is queued >&2; exec sleep 600")
    with pytest.raises(EnvironmentLostError) as raised:
        elsewhere.run(elsewhere.place(script, timeout_s=0.5), "")
    assert "'far' did not answer within 0.5 s, its timeout. Its last output:\n    job 7 is queued" in str(raised.value)


def test_a_python_that_is_missing_there_is_told(elsewhere):
    with pytest.raises(EnvironmentLostError, match="exit code 127"):
        elsewhere.run(elsewhere.place(python="/no/such/python"), "")


def test_a_python_that_is_too_old_is_refused_before_anything_is_sent(elsewhere):
    old = elsewhere.python_script("import sys\nsys.version_info = (3, 9, 2)\nexec(sys.stdin.readline())")
    with pytest.raises(EnvironmentUnusableError, match=r"'far' has Python 3\.9\.2; pytest-repro needs 3\.11 or later"):
        elsewhere.run(elsewhere.place(python=old), "")


def test_a_python_that_cannot_run_the_agent_ends_at_once(elsewhere):
    broken = elsewhere.python_script("import sys\nsys.modules['tarfile'] = None\nexec(sys.stdin.readline())")
    with pytest.raises(EnvironmentLostError, match=r"(?s)exit code 70.*import of tarfile halted"):
        elsewhere.run(elsewhere.place(python=broken), "")


def test_an_environment_that_failed_to_start_twice_is_not_started_again(elsewhere):
    script = elsewhere.script(f"echo x >> {elsewhere.folder}/starts; echo no account >&2; exit 1")
    place, messages = elsewhere.place(script), set()
    for _ in range(4):
        with pytest.raises(EnvironmentLostError) as raised:
            elsewhere.run(place, "")
        messages.add(str(raised.value))
    assert len(messages) == 1
    assert (elsewhere.folder / "starts").read_text() == "x\nx\n"


def test_a_connection_that_is_cut_is_an_error_of_that_run_and_the_next_one_opens_another(elsewhere):
    script = elsewhere.script(f'echo $$ > {elsewhere.folder}/pid; "$@"; exit 255')
    place = elsewhere.place(script)

    def cut(_: bytes) -> None:
        os.kill(int((elsewhere.folder / "pid").read_text()), signal.SIGKILL)

    with pytest.raises(EnvironmentLostError, match="'far' was lost"):
        elsewhere.run(place, "import time; print('begun', flush=True); time.sleep(600)", echo=cut)
    elsewhere.assert_nothing_is_left()
    assert elsewhere.run(place, "print(1)")[0].output == "1\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_that_is_killed_leaves_nothing(elsewhere, number):
    code = f"""
    import os, subprocess, time
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    with open(f"/proc/{{os.getppid()}}/stat") as file:  # of the supervisor, whose parent is the agent
        os.kill(int(file.read().rpartition(")")[2].split()[1]), {int(number)})
    time.sleep(600)
    """
    with pytest.raises(EnvironmentLostError, match="'far' was lost"):
        elsewhere.run(elsewhere.place(), code)
    elsewhere.assert_nothing_is_left()


def test_a_session_that_is_killed_leaves_nothing_there(elsewhere):
    code = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
from tests.unit.environments.conftest import Elsewhere
far = Elsewhere(Path({str(elsewhere.folder)!r}), Path({str(elsewhere.temporary)!r}), {elsewhere.mark!r})
code = "import time; print('begun', flush=True); time.sleep(600)"
far.run(far.place(), code, echo=lambda _: print("begun", flush=True))
"""
    session = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert session.stdout is not None
    assert session.stdout.readline() == b"begun\n"
    assert find_processes(mark=f"{elsewhere.mark}.")
    session.kill()
    session.wait()
    session.stdout.close()
    elsewhere.assert_nothing_is_left()


def test_the_projects_files_are_sent_where_they_are_not_seen(elsewhere):
    project = elsewhere.project
    for name, text in {"kept.txt": "1", "new.txt": "2", "ignored.txt": "3", ".gitignore": "ignored.txt"}.items():
        (project / name).write_text(text)
    (project / "tool.sh").write_text("#!/bin/sh\n")
    (project / "tool.sh").chmod(0o755)
    (project / "link").symlink_to("/etc/passwd")
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    subprocess.run(["git", "-C", str(project), "add", "kept.txt"], check=True)
    (project / "kept.txt").write_text("changed")
    place = elsewhere.place(sync=True, files=lambda: list_project_files(project))
    code = "import os; print(os.getcwd(), sorted(os.listdir()), open('kept.txt').read(), os.access('tool.sh', os.X_OK))"
    output = elsewhere.run(place, code)[0].output
    assert output == f"{project} ['.gitignore', 'kept.txt', 'new.txt', 'tool.sh'] changed True\n"
    with place.held():
        assert place.path_of(str(project / "kept.txt")).startswith(str(elsewhere.temporary))
        assert place.translate(f"{place.path_of(str(project / 'a.py'))}:3") == f"{project / 'a.py'}:3"


def test_another_folder_there_is_the_projects(elsewhere):
    there = elsewhere.folder / "there"
    there.mkdir()
    place = elsewhere.place(directory=str(there))
    assert place.path_of(str(elsewhere.project / "a" / "b.py")) == f"{there}/a/b.py"
    assert elsewhere.run(place, "import os; print(os.getcwd())")[0].output == f"{elsewhere.project}\n"


def test_a_file_of_the_project_that_cannot_be_read_is_told(elsewhere):
    place = elsewhere.place(sync=True, files=lambda: [elsewhere.project / "gone.txt"])
    with pytest.raises(EnvironmentUnusableError, match="'far': a file of the project cannot be read"):
        elsewhere.run(place, "")


def test_a_folder_that_is_not_there_is_an_error_of_the_run(elsewhere):
    place = elsewhere.place(directory="/no/such/folder")
    with pytest.raises(EnvironmentRunError, match=r"'far': .*No such file or directory"):
        elsewhere.run(place, "")


def test_what_the_interpreter_has_is_looked_at_whatever_the_words_of_the_command(elsewhere):
    facts = elsewhere.place("env", "A=packages", "B=probe", "C=pytest", "D=numpy").look(["json", "no_such_module"])
    assert facts.python.split() == ["CPython", ".".join(map(str, sys.version_info[:3]))]
    assert facts.missing == ("no_such_module",)
    assert "numpy" in facts.packages


def test_names_of_hosts_and_users_are_in_no_error_and_in_no_output(elsewhere):
    words = ["bob@secret-host.example.com", "-oProxyJump=alice@jump-host", "-p", "gpu-partition"]
    script = elsewhere.script(
        "echo Connection to secret-host closed by 10.1.2.3 port 22, user bob; "
        "echo alice jump-host gpu-partition; exit 1"
    )
    with pytest.raises(EnvironmentLostError) as raised:
        elsewhere.run(elsewhere.place(script, *words), "")
    shown = str(raised.value)
    for name in ("secret-host", "bob", "10.1.2.3", "alice", "jump-host", "gpu-partition"):
        assert name not in shown
    assert "    Connection to <far> closed by <far> port 22, user <far>" in shown
    passing = elsewhere.place(elsewhere.script('shift 4; exec "$@"', "passing"), *words)
    code = "import socket; print('run on secret-host as bob at', socket.gethostname())"
    assert elsewhere.run(passing, code)[0].output == "run on <far> as <far> at <far>\n"


#: Takes the place of an interpreter, and answers what a test wants.
FAKE = """
import json, re, sys, time
line = sys.stdin.buffer.readline()
sys.stdout.buffer.write(b"".join(re.findall(rb"b'([0-9a-f]{8})", line)) + b"\\n")
sys.stdout.buffer.flush()
sys.stdin.buffer.readline()
def say(head, data=b"", line=None):
    sys.stdout.buffer.write((line or json.dumps({"size": len(data), **head}).encode()) + b"\\n" + data + b"\\n")
    sys.stdout.buffer.flush()
def hear():
    head = json.loads(sys.stdin.buffer.readline())
    sys.stdin.buffer.read(head["size"])
    return head
READY = {"kind": "ready", "folder": "/there", "version": "3.13.0", "names": []}
def begin():
    say(READY)
    hear(); say({"kind": "done"})
    hear(); say({"kind": "done"})
    return hear()
"""
TAR = """
import io, tarfile
def pack(name, mode="w", **more):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        member = tarfile.TarInfo(name)
        for key, value in more.items():
            setattr(member, key, value)
        archive.addfile(member)
    return buffer.getvalue()
def end(data):
    number = begin()["number"]
    say({"kind": "ended", "number": number, "code": 0, "timed_out": False, "seconds": 1}, data)
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("say({}, line=b'no json')", "sent what is no message"),
        ("say({}, line=b'[' * 100000)", "sent what is no message"),
        ("say({}, line=b'[]')", "sent what is no message"),
        ("say({'kind': 'ready', 'size': -1})", "sent what is no message"),
        ("say({'kind': 'ready', 'size': 10**12})", "sent what is no message"),
        ("say({'kind': 'ended', 'size': 10**12})", "sent what is no message"),
        ("say({'kind': 'ready', 'size': '9' * 5000})", "sent what is no message"),
        ("say({}, line=b'x' * 3000000)", "sent what is no message"),
        ("say({'kind': 'ready'})", "answered in a form that is not known"),
        ("say({**READY, 'folder': 3})", "answered in a form that is not known"),
        (
            "say(READY); hear(); say({'kind': 'failed', 'reason': 'no space left'})",
            "could not take the files: no space",
        ),
        ("say(READY); hear()", "was lost: its command ended with exit code 0"),
        ("n = begin()['number']; say({'kind': 'ended', 'number': n, 'code': 'x'}, pack('a'))", "in a form that is not"),
        ("end(b'no archive')", "files of a run that cannot be unpacked"),
        ("end(pack('../escaped'))", "an archive with '../escaped'"),
        ("end(pack('/tmp/escaped'))", "an archive with '/tmp/escaped'"),
        ("end(pack('a/../../escaped'))", "an archive with"),
        ("end(pack('link', type=tarfile.SYMTYPE, linkname='/etc'))", "an archive with 'link'"),
        ("end(pack('link', type=tarfile.LNKTYPE, linkname='/etc/passwd'))", "an archive with 'link'"),
        ("end(pack('pipe', type=tarfile.FIFOTYPE))", "an archive with 'pipe'"),
        ("end(pack('packed', mode='w:gz'))", "cannot be unpacked"),
    ],
)
def test_what_comes_back_is_trusted_in_nothing(elsewhere, source, message):
    fake = elsewhere.python_script(f"{FAKE}{TAR}\n{source}\n")
    with pytest.raises(EnvironmentLostError) as raised:
        elsewhere.run(elsewhere.place(python=fake, timeout_s=20), "")
    assert message in str(raised.value)
    assert not list(elsewhere.folder.rglob("escaped"))


def test_messages_of_other_runs_and_without_end_are_not_taken(elsewhere):
    source = """
    number = begin()["number"]
    say({"kind": "ended", "number": number + 1, "code": 5, "timed_out": False, "seconds": 1}, pack("other"))
    say({"kind": "ended", "number": number, "code": 4, "timed_out": False, "seconds": 1}, pack("own"))
    while True:
        say({"kind": "output", "number": number}, b"x" * 1000)
    """
    fake = elsewhere.python_script(f"{FAKE}{TAR}\nif True:{source}\n")
    place = elsewhere.place(python=fake)
    ended, folder = elsewhere.run(place, "")
    assert ended.returncode == 4
    assert [path.name for path in folder.iterdir()] == ["own"]
    place.close()


def test_an_environment_that_takes_no_input_is_given_up_after_its_timeout(elsewhere):
    fake = elsewhere.python_script(f"{FAKE}\nsay(READY)\ntime.sleep(600)\n")
    with pytest.raises(EnvironmentLostError, match=r"'far' (took no input|did not answer) within 1 s"):
        elsewhere.run(elsewhere.place(python=fake, timeout_s=1), "")


def test_an_old_release_of_what_the_plugin_needs_is_refused():
    facts = probing.EnvironmentFacts("CPython 3.13.5", {"numpy": "2.2.4", "pytest": "8.3.5"})
    with pytest.raises(EnvironmentUnusableError, match=r"'far' has pytest 8\.3\.5; pytest-repro needs 8\.4 or later"):
        probing.check_facts(facts, "far", (), "test_it.py")
