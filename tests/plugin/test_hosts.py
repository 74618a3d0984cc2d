"""The axis `host`: runs behind a command that the project names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.hosts import Project, find_program
from tests.plugin.sshd import Sshd

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its commands are programs of a shell")

SOURCE = """
    import os
    import numpy as np
    import pytest

    @pytest.mark.reproducible
    def test_same(repro): return {"drawn": repro.rng.random(3)}
"""
VARIABLE = """
    import os
    import pytest

    @pytest.mark.reproducible
    def test_variable():
        scale = len(os.environ.get("ADDED", ""))
        return {"scaled": [scale * 0.5]}
"""


def test_another_environment_gives_the_same_result_by_its_own_interpreter(project):
    project.name(box=project.other, pod={"command": project.other, "sync": "true"})
    session = project.run(SOURCE, "box:pod")
    assert session.verdicts == {"test_same": "identical"}
    assert [run["engine"] for run in session.test("test_same")["runs"]][1:] == ["spawn", "spawn"]
    assert session.test("test_same")["matrix"] == {"host": "identical"}


def test_an_environment_that_is_this_one_is_not_varied(project):
    project.name(box="env ADDED=1")
    session = project.run(SOURCE, "box")
    assert session.verdicts == {"test_same": "inconclusive"}
    assert session.test("test_same")["matrix"] == {"host": "not_varied"}


def test_a_difference_is_blamed_on_the_environment(project):
    project.name(box=f"{project.other} ADDED=1")
    session = project.run(VARIABLE, "box")
    assert session.verdicts == {"test_variable": "diverged"}
    assert session.test("test_variable")["matrix"] == {"host": "diverged"}
    assert "Run 2 of 2 differs from run 1" in session.text
    assert "host=box" in session.text


def test_files_are_sent_and_a_failure_there_is_shown_with_the_path_of_here(project):
    source = """
        import pathlib
        import pytest
        from helper import VALUE

        @pytest.mark.reproducible
        def test_file(value):
            here = pathlib.Path(__file__).parent
            assert (here / "data" / "values.txt").read_text() == "1.5"
            assert str(here) == HERE, "it is another folder"
            return {"value": value * VALUE}
    """.replace("HERE", repr(str(project.folder)))
    project.name(box={"command": project.other, "sync": "true"})
    project.sessions.write("1.5", "data/values.txt")
    project.sessions.write("VALUE = 2.0", "helper.py")
    project.sessions.write("import pytest\n\n@pytest.fixture\ndef value(): return 3.0\n", "conftest.py")
    session = project.run(source, "box")
    assert session.outcomes_of_runs("test_file") == ["passed", "failed"]
    assert "it is another folder" in session.text
    assert "test_it.py:10" in session.text
    assert "/sources" not in session.text.replace(str(project.folder), "").partition("assert str(here) ==")[0]


def test_an_environment_that_is_lost_is_an_error_of_its_run_alone(project):
    lost = project.script(f"echo x >> {project.folder}/starts; echo no route to it >&2; exit 255", "lost")
    project.name(gone=lost, box=project.other)
    source = SOURCE + SOURCE.partition("@")[2].replace("pytest.mark", "    @pytest.mark", 1).replace(
        "test_same", "test_2"
    )
    source += "\n    def test_plain(): pass\n"
    session = project.run(source, "gone:box")
    assert session.outcomes == {"failed": 2, "passed": 1}
    for name in ("test_same", "test_2"):
        test = session.test(name)
        assert test["verdict"] == "error"
        assert "run 2 with host=gone: the environment 'gone' was lost" in test["reason"]
        assert "no route to it" in test["reason"]
        assert "No difference from run 1 was found in run 3 with host=box" in test["reason"]
        assert [run["outcome"] for run in test["runs"]] == ["passed", "error", "passed"]
    assert (project.folder / "starts").read_text() == "x\nx\n"


def test_a_difference_in_one_environment_is_found_while_another_is_lost(project):
    project.name(box=f"{project.other} ADDED=1", gone=project.script("exit 255"))
    session = project.run(VARIABLE, "box:gone")
    assert session.verdicts == {"test_variable": "diverged"}
    assert any("host=gone" in note for note in session.test("test_variable")["notes"])


def test_a_connection_that_is_cut_is_an_error_of_one_test(project):
    source = f"""
        import os, pathlib, signal, sys, time
        import pytest

        def cut():
            pid = pathlib.Path({str(project.folder)!r}, "pid")
            if "something" in str(sys.path) or "other" in str(sys.path):
                os.kill(int(pid.read_text()), signal.SIGKILL)
                time.sleep(600)

        @pytest.mark.reproducible
        def test_cut():
            cut()
            return 1.0

        @pytest.mark.reproducible
        def test_next(): return 2.0
    """
    script = project.script(f'echo $$ > {project.folder}/pid; {project.other} "$@"; exit 1')
    project.name(box=script)
    session = project.run(source, "box")
    assert session.verdicts == {"test_cut": "error", "test_next": "identical"}
    assert "run 2 with host=box: the environment 'box' was lost" in session.test("test_cut")["reason"]


def test_a_run_that_is_killed_there_is_an_error_of_its_run_alone(project):
    source = """
        import os, signal
        import pytest

        @pytest.mark.reproducible
        def test_killed():
            if "ADDED" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
            return 1.0
    """
    project.name(low=f"{project.other} ADDED=1", box=project.other)
    session = project.run(source, "low:box")
    test = session.test("test_killed")
    assert test["verdict"] == "error"
    assert "run 2 with host=low was killed by SIGKILL" in test["reason"]
    assert [run["outcome"] for run in test["runs"]] == ["passed", "error", "passed"]


def test_an_unknown_name_and_a_package_that_is_missing_there_are_told_before_anything_runs(project):
    project.name(box=project.other)
    session = project.run(SOURCE, "bx")
    assert "no environment is named 'bx': did you mean 'box'?" in session.text
    assert session.outcomes == {"errors": 1}
    project.name(bare={"command": project.other, "python": str(make_bare(project))})
    session = project.run(SOURCE, "bare")
    assert "the environment 'bare' lacks numpy and pytest, without which no test runs" in session.text


def make_bare(project: Project) -> Path:
    """Return an interpreter without packages."""
    import venv

    venv.create(project.folder / "bare", with_pip=False, symlinks=True)
    return project.folder / "bare" / "bin" / "python"


def test_names_of_hosts_and_users_are_in_nothing_that_is_written(project):
    shift = project.script(f'shift 3; exec {project.other} "$@"', "connect")
    lost = project.script("echo bob at secret-host-name refused >&2; exit 255", "lost")
    words = "-p 22 bob@secret-host-name.example.com"
    project.name(far=f"{shift} {words}", gone=f"{lost} {words}")
    source = """
        import os
        import pytest

        WHERE = "bob@secret-" + "host-name.example.com"

        @pytest.mark.reproducible
        def test_same(): return 1.0

        @pytest.mark.reproducible
        def test_failing():
            print("printed on", WHERE)
            if "other" in os.environ.get("PYTHONPATH", ""):
                raise RuntimeError(WHERE + " is full")
            return 1.0
    """
    written = ["report.json", "report.html", "records", "evidence", "junit.xml"]
    options = ["json", "html", "record", "evidence"]
    for names in ("far", "far:gone"):
        chosen = [f"--repro-{option}={name}" for option, name in zip(options, written[:4], strict=True)]
        session = project.run(source, names, *chosen, "--junitxml=junit.xml")
        assert "<far> is full" in session.text
        texts = [session.text, *(path.read_text("utf-8", "replace") for path in files_of(project.folder, written))]
        assert len(texts) > 5
        for text in texts:
            assert "secret-host-name" not in text
            assert "bob" not in text


def files_of(folder: Path, names: list[str]) -> list[Path]:
    return [path for name in names for path in [folder / name, *(folder / name).rglob("*")] if path.is_file()]


def test_the_place_of_a_difference_is_found_where_the_files_were_sent(project):
    source = """
        import os
        import pytest

        def read_scale():
            scale = len(os.environ.get("ADDED", ""))
            return scale

        @pytest.mark.reproducible
        def test_variable():
            offset = 2.0
            scale = read_scale()
            return {"scaled": offset + scale}
    """
    for sync in ("false", "true"):
        project.name(box={"command": f"{project.other} ADDED=1", "sync": sync})
        session = project.run(source, "box", "--repro-diagnose")
        test = session.test("test_variable")
        assert test["verdict"] == "diverged"
        first = test["diagnosis"]["first_divergence"]
        assert (first["file"], first["line"], first["name"]) == ("test_it.py", 6, "scale")
        assert not [note for note in test["notes"] if "could not be finished" in note]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """An OpenSSH server on loopback, with keys of its own."""
    find_program("sshd", "openssh-server")
    find_program("ssh", "openssh-client")
    with Sshd(tmp_path / "sshd") as server:
        yield server


def test_runs_are_made_over_ssh_with_and_without_the_projects_files(project, sshd):
    # A session of ssh has the variables of a login.
    python = project.script(f'TMPDIR={project.temporary} exec {project.other} {sys.executable} "$@"', "python")
    project.name(
        shared={"command": f"ssh -F {sshd.config} far", "python": python},
        sent={"command": f"ssh -F {sshd.config} far", "python": python, "sync": "true"},
    )
    session = project.run(SOURCE, "shared:sent")
    assert session.verdicts == {"test_same": "identical"}, session.text
    assert session.test("test_same")["matrix"] == {"host": "identical"}


def test_a_connection_of_ssh_that_is_cut_is_an_error_of_one_test(project, sshd):
    source = f"""
        import os, signal, subprocess, time
        import pytest

        @pytest.mark.reproducible
        def test_cut():
            if "SSH_CONNECTION" in os.environ:
                os.kill(int(open({str(sshd.folder / "session")!r}).read()), signal.SIGKILL)
                time.sleep(600)
            return 1.0

        @pytest.mark.reproducible
        def test_next(): return 2.0
    """
    python = project.script(
        f"[ -f {sshd.folder}/session ] || echo $PPID > {sshd.folder}/session\n"
        f'TMPDIR={project.temporary} exec {project.other} {sys.executable} "$@"',
        "python",
    )
    project.name(box={"command": f"ssh -F {sshd.config} far", "python": python})
    session = project.run(source, "box")
    assert session.verdicts == {"test_cut": "error", "test_next": "identical"}, session.text
    assert "run 2 with host=box: the environment 'box' was lost" in session.test("test_cut")["reason"]


def test_an_account_that_is_refused_is_told(project, sshd):
    project.name(box=f"ssh -F {sshd.config} -o User=no-such-user far")
    session = project.run(SOURCE, "box")
    assert session.verdicts == {"test_same": "error"}
    assert "exit code 255" in session.test("test_same")["reason"]
    assert "Permission denied" in session.test("test_same")["reason"]
