"""A bundle or a record is the older or the newer one, whole, whatever ends the process that writes it.

Each SIGKILL is a real one. The moments are all those at which the process opens, renames or removes a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro.errors import RecordError
from pytest_repro.records.attestation import SIGNATURES
from pytest_repro.records.evidence import write_bundle
from pytest_repro.records.files import read_record, record_path
from tests.evidence.helpers import SOURCE, command, environment, pytest_command, run_pytest
from tests.unit.records.helpers import NODEID, a_test, make_files, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and signals")

#: Audited events between which a process may be killed.
EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"})
#: More moments than a writer has.
MAX_MOMENTS = 500


def die_at(moment: int, work: Callable[[], object]) -> bool:
    """Do some work in a fork that is killed at its `moment`-th access to a file, and return whether it was."""
    process = os.fork()
    if process == 0:
        left = [moment]

        def kill(event: str, _: object) -> None:
            if event in EVENTS:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        with contextlib.suppress(BaseException):
            sys.addaudithook(kill)
            work()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def each_moment(work: Callable[[], object]) -> Iterator[int]:
    for moment in range(1, MAX_MOMENTS):
        if not die_at(moment, work):
            assert moment > 5
            return
        yield moment
    raise AssertionError("the work has no end")


def bundle_of(host: str, *names: str) -> dict[str, bytes]:
    tests = [a_test(f"test_a.py::{name}") for name in names or ("test_fit",)]
    return make_files(*tests, circumstances={"host": host})


def host_of(folder: Path) -> str:
    """Return whose bundle a folder has, after checking that it is whole."""
    status, output = command("verify", folder)
    assert "all " in output, output
    assert "not verified" not in output, output
    assert status != 1
    return str(json.loads((folder / "evidence.json").read_bytes())["circumstances"]["host"])


def test_a_process_killed_at_any_moment_leaves_a_whole_bundle(tmp_path: Path) -> None:
    old, new = bundle_of("old"), bundle_of("new", "test_fit", "test_more")
    write_bundle(tmp_path / "bundle", old)
    for _ in each_moment(lambda: write_bundle(tmp_path / "bundle", new)):
        assert host_of(tmp_path / "bundle") in ("old", "new")
        write_bundle(tmp_path / "bundle", old)


@pytest.mark.needs("cryptography")
def test_a_process_killed_at_any_moment_leaves_the_signature_with_what_it_signs(tmp_path: Path) -> None:
    from tests.unit.records.helpers import other_key, pem_of, sign

    private, public = pem_of(other_key())
    (tmp_path / "public.pem").write_bytes(public)
    folder = tmp_path / "bundle"

    def begin() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        write_bundle(folder, bundle_of("old"))
        sign(folder, private)

    begin()
    for _ in each_moment(lambda: write_bundle(folder, bundle_of("new", "test_fit", "test_more"))):
        if host_of(folder) == "old":
            status, output = command("verify", folder, "--key", tmp_path / "public.pem")
            assert status == 0, output
        else:
            assert not any((folder / name).exists() for name in SIGNATURES)
        begin()


@pytest.mark.parametrize("inline_bytes", [0, 10**6])
def test_a_process_killed_at_any_moment_leaves_a_whole_record(tmp_path: Path, inline_bytes: int) -> None:
    old, new = {"w": np.full(200, 1.0)}, {"w": np.full(300, 2.0)}
    write(tmp_path, old, inline_bytes=inline_bytes)
    found = set()
    for _ in each_moment(lambda: write(tmp_path, new, inline_bytes=inline_bytes)):
        array = read_record(record_path(tmp_path, NODEID), nodeid=NODEID).load().leaves["w"].data
        found.add((array.size, float(array[0]), bool((array == array[0]).all())))
        write(tmp_path, old, inline_bytes=inline_bytes)
    assert found <= {(200, 1.0, True), (300, 2.0, True)}
    assert (200, 1.0, True) in found


def test_a_session_killed_at_random_leaves_what_was_there_or_the_new(tmp_path: Path) -> None:
    changed = SOURCE.replace("0.5", "0.75").replace("0.25", "0.125")
    arguments = ("--repro-evidence=bundle", "--repro-record=records")
    run_pytest(tmp_path, *arguments)
    names = {path.name for path in (tmp_path / "records").glob("*.json")}
    luck = random.Random(18)
    for _ in range(3):
        (tmp_path / "test_it.py").write_text(textwrap.dedent(changed))
        update = (*arguments, "--repro-update", "--repro-reason=changed")
        process = subprocess.Popen(
            pytest_command(*update),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(luck.uniform(0.5, 3.0))
        process.kill()
        process.wait()
        status, output = command("verify", tmp_path / "bundle")
        assert "not verified" not in output, output
        assert status != 1
        assert names <= {path.name for path in (tmp_path / "records").glob("*.json")}
        for name in names:
            status, output = command("show", tmp_path / "records" / name)
            assert status == 0, output


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 400 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)


def test_a_full_disk_leaves_the_older_bundle_and_says_so(small_disk: Path) -> None:
    write_bundle(small_disk / "bundle", bundle_of("old"))
    before = contents(small_disk / "bundle")
    fill(small_disk)
    with pytest.raises(RecordError, match=r"cannot write the evidence .*No space left"):
        write_bundle(small_disk / "bundle", bundle_of("new", "test_fit", "test_more"))
    assert contents(small_disk / "bundle") == before
    (small_disk / "filler").unlink()
    write_bundle(small_disk / "bundle", bundle_of("new"))
    assert host_of(small_disk / "bundle") == "new"


@pytest.mark.parametrize("inline_bytes", [0, 10**6])
def test_a_full_disk_leaves_the_older_record_and_says_so(small_disk: Path, inline_bytes: int) -> None:
    write(small_disk, {"w": np.full(2000, 1.0)}, inline_bytes=inline_bytes)
    before = contents(small_disk)
    fill(small_disk)
    with pytest.raises(RecordError, match=r"cannot write the record .*No space left"):
        write(small_disk, {"w": np.full(20_000, 2.0)}, inline_bytes=inline_bytes)
    (small_disk / "filler").unlink()
    assert contents(small_disk) == before


def test_a_session_on_a_full_disk_fails_and_leaves_the_older_files(small_disk: Path, tmp_path: Path) -> None:
    arguments = (f"--repro-evidence={small_disk / 'bundle'}", f"--repro-json={small_disk / 'report.json'}")
    run_pytest(tmp_path, *arguments)
    before = contents(small_disk / "bundle")
    fill(small_disk)
    output = run_pytest(tmp_path, *arguments, check=False)
    assert "cannot write the evidence" in output
    assert "could not be written" in output
    assert contents(small_disk / "bundle") == before


def test_a_folder_that_cannot_be_written_keeps_what_it_has(small_disk: Path) -> None:
    write_bundle(small_disk / "bundle", bundle_of("old"))
    write(small_disk / "records", {"w": np.full(20, 1.0)})
    before = contents(small_disk / "bundle"), contents(small_disk / "records")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RecordError, match="cannot write the evidence"):
        write_bundle(small_disk / "bundle", bundle_of("new"))
    with pytest.raises(RecordError, match="cannot write the record"):
        write(small_disk / "records", {"w": np.full(30, 2.0)})
    assert (contents(small_disk / "bundle"), contents(small_disk / "records")) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def together(*works: Callable[[], Any]) -> None:
    """Do several things at the same time in processes of their own."""
    processes = []
    for work in works:
        process = os.fork()
        if process == 0:
            with contextlib.suppress(BaseException):
                work()
                os._exit(0)
            os._exit(1)
        processes.append(process)
    assert [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes] == [0] * len(works)


def test_two_sessions_at_once_leave_the_whole_bundle_of_one(tmp_path: Path) -> None:
    def repeat(host: str, *names: str) -> None:
        for _ in range(15):
            write_bundle(tmp_path / "bundle", bundle_of(host, *names))

    for _ in range(3):
        together(lambda: repeat("one", "test_fit"), lambda: repeat("other", "test_fit", "test_more"))
        assert host_of(tmp_path / "bundle") in ("one", "other")


def test_two_sessions_at_once_leave_a_whole_record(tmp_path: Path) -> None:
    def repeat(value: float) -> None:
        for _ in range(15):
            write(tmp_path, {"w": np.full(200, value)}, inline_bytes=0)

    together(lambda: repeat(1.0), lambda: repeat(2.0))
    array = read_record(record_path(tmp_path, NODEID), nodeid=NODEID).load().leaves["w"].data
    assert array.tolist() in ([1.0] * 200, [2.0] * 200)
