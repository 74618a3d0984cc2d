"""Running pip-audit: there is always a report or a reason, in bounded time and memory."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from pytest_repro.records import pip_audit as module
from pytest_repro.records.audit import judge_report, read_installed
from pytest_repro.records.pip_audit import find_pip_audit, run_pip_audit

REPORT = {"dependencies": [{"name": "numpy", "version": "2.4.6", "vulns": []}], "fixes": []}


@pytest.fixture
def stub(tmp_path):
    """Write a program that takes pip-audit's arguments, of which the last is the file to write."""

    def write(body: str) -> list[str]:
        path = tmp_path / "stub.py"
        path.write_text(
            f"import os, sys, time, subprocess, pathlib\nout = pathlib.Path(sys.argv[-1])\n{body}\n", encoding="utf-8"
        )
        return [sys.executable, str(path)]

    return write


@pytest.mark.parametrize("status", [0, 1, 70])
def test_the_report_counts_at_any_exit_status(stub, status):
    data, why = run_pip_audit(stub(f"out.write_text({json.dumps(REPORT)!r}); sys.exit({status})"), 60)
    assert (json.loads(data), why) == (REPORT, "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("print('No known vulnerabilities found', file=sys.stderr)", "No known vulnerabilities found"),
        ("raise SystemExit('boom')", "boom"),
        ("print('\\x1b[2Jboom')", "\\x1b[2Jboom"),
        ("os.abort()", "it wrote no report and no message"),
        ("out.symlink_to('/etc/hostname')", "it must be a regular file, and is a symbolic link"),
        ("out.mkdir()", "it must be a regular file, and is a directory"),
        ("os.mkfifo(out)", "it must be a regular file, and is a FIFO"),
    ],
)
def test_without_a_report_its_last_line_is_the_reason(stub, body, reason):
    data, why = run_pip_audit(stub(body), 60)
    assert data is None
    assert reason in why


def test_a_truncated_report_audits_nothing(stub):
    data, why = run_pip_audit(stub("out.write_text('{\"dependencies\": [')"), 60)
    found = judge_report(data, why, {"numpy": "2.4.6"})
    assert found.status == "not_audited"
    assert "not a report of pip-audit" in found.why


# The second child leaves the process group and holds the pipe: waiting for the group alone would wait for it.
@pytest.mark.parametrize("apart", [False, True], ids=["in its group", "out of its group"])
def test_a_process_that_hangs_is_killed_at_the_deadline_with_its_children(stub, tmp_path, apart):
    note = tmp_path / "pid"
    sleeper = f"import os, time, pathlib; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(600)"
    body = (
        f"subprocess.Popen([sys.executable, '-c', {sleeper!r}], start_new_session={apart})\n"
        f"while not pathlib.Path({str(note)!r}).exists(): time.sleep(0.01)\ntime.sleep(600)"
    )
    assert run_pip_audit(stub(body), 2) == (None, "killed after 2 s")
    for _ in range(100):
        if is_gone(int(note.read_text())):
            return
        time.sleep(0.05)
    pytest.fail("the child outlived the audit")


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_flood_of_output_is_read_and_discarded(stub):
    data, why = run_pip_audit(stub("for _ in range(2000): print('x' * 10_000)\nprint('the end')"), 60)
    assert (data, why) == (None, "the end")


def test_a_report_that_never_ends_is_stopped(stub, monkeypatch):
    monkeypatch.setattr(module, "MAX_REPORT_BYTES", 10**6)
    body = "file = out.open('w')\nwhile True: file.write('x' * 1000)"
    data, why = run_pip_audit(stub(body), 60)
    assert data is None
    assert "killed: it wrote more than 1,000,000 bytes" in why


def test_a_missing_program_is_a_reason(tmp_path):
    data, why = run_pip_audit([str(tmp_path / "none")], 60)
    assert data is None
    assert "could not be started" in why


def test_the_report_of_pip_audit_itself_lists_every_package():
    pytest.importorskip("pip_audit")
    command = find_pip_audit()
    data, why = run_pip_audit([*command, "--timeout", "1"], 120)
    found = judge_report(data, why, read_installed())
    told = found.to_json()
    assert told["audited"] + len(told["not_audited"]) == told["packages"] == len(read_installed())
    # Where no vulnerability service answers it skips every package and exits with 0.
    assert (found.status == "not_audited") == (told["audited"] == 0)


def test_the_command_is_this_interpreters_else_the_one_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_pip_audit() == []
    (tmp_path / "pip-audit").write_text("#!/bin/sh\n")
    (tmp_path / "pip-audit").chmod(0o755)
    assert find_pip_audit()[0] == str(tmp_path / "pip-audit")
