"""Description of the environment: reproducible, without names of this machine, and with reasons for failures."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from pytest_repro.capturing import environment
from pytest_repro.capturing.budget import Unavailable, collect, is_unavailable, run_tool
from pytest_repro.capturing.environment import describe_environment
from pytest_repro.capturing.packages import describe_packages, digest_record, find_numerical


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return describe_environment(tmp_path_factory.mktemp("root"))


def test_another_process_describes_the_same_environment_identically(here):
    code = (
        "import json; from pathlib import Path; from pytest_repro.capturing.environment import describe_environment;"
        "print(json.dumps(describe_environment(Path('/nowhere'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(json.dumps(here))


def test_every_collector_returns_plain_values_without_names_of_this_machine(here):
    text = json.dumps(here)
    for private in (socket.gethostname(), str(Path.home()), sys.prefix, str(Path.cwd())):
        assert len(private) < 3 or private not in text
    assert {"python", "platform", "cpu", "packages", "thread_pools", "accelerators", "variables", "container"} <= set(
        here
    )


def test_python_packages_processor_and_blas_are_described(here):
    import numpy

    assert here["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert here["packages"]["numpy"] == {
        "version": numpy.__version__, "record": here["packages"]["numpy"]["record"], "numerical": True,
    }  # fmt: skip
    assert here["packages"]["numpy"]["record"].startswith("sha256:")
    assert not here["packages"]["pytest"]["numerical"]
    if not is_unavailable(here["thread_pools"]):
        assert any(pool["user_api"] == "blas" and pool["num_threads"] >= 1 for pool in here["thread_pools"])
        assert all("filepath" not in pool for pool in here["thread_pools"])


def test_a_collector_that_fails_hangs_or_is_unavailable_returns_a_reason_in_time():
    def fail():
        raise RuntimeError("/home/me/secret")

    def refuse():
        raise Unavailable("because")

    def hang():
        time.sleep(5)

    assert collect(fail, 1) == {"unavailable": "the collector failed: RuntimeError"}
    assert collect(refuse, 1) == {"unavailable": "because"}
    before = time.perf_counter()
    assert collect(hang, 0.1) == {"unavailable": "it took longer than 0.1 s"}
    assert time.perf_counter() - before < 2
    assert collect(lambda: 5, 1) == 5


def test_a_tool_that_hangs_is_ended_with_its_child_processes(tmp_path):
    script = tmp_path / "slow"
    script.write_text("#!/bin/sh\nsleep 30 &\necho $! > child\nwait\n")
    script.chmod(0o755)
    before = time.perf_counter()
    with pytest.raises(Unavailable, match=r"slow took longer than 0\.5 s"):
        run_tool([str(script)], timeout_s=0.5, cwd=tmp_path)
    assert time.perf_counter() - before < 5
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        try:
            state = Path(f"/proc/{child}/stat").read_text().split()[2]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the tool's child goes on")


def test_a_tool_that_is_missing_or_fails_returns_a_reason():
    with pytest.raises(Unavailable, match="no-such-tool cannot be run"):
        run_tool(["no-such-tool"], timeout_s=1)
    with pytest.raises(Unavailable, match="failed: wrong"):
        run_tool([sys.executable, "-c", "import sys; sys.exit('wrong')"], timeout_s=10)


def test_threads_and_kernels_chosen_by_a_variable_are_described(monkeypatch, tmp_path):
    pytest.importorskip("threadpoolctl")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_HOME", "/secret")
    found = describe_environment(tmp_path)
    assert all(pool["num_threads"] == 1 for pool in found["thread_pools"])
    assert found["variables"]["OPENBLAS_NUM_THREADS"] == "1"
    assert "CUDA_HOME" not in found["variables"]


def test_lock_files_are_described_by_digest(tmp_path):
    assert is_unavailable(describe_environment(tmp_path)["lock_files"])
    (tmp_path / "uv.lock").write_text("a")
    one = describe_environment(tmp_path)["lock_files"]
    (tmp_path / "uv.lock").write_text("b")
    assert set(one) == {"uv.lock"}
    assert describe_environment(tmp_path)["lock_files"] != one


@pytest.mark.parametrize(
    ("value", "is_told"),
    [
        ("sha256:" + "a" * 64, True),
        ("reg.io/team/x:1@sha256:" + "0" * 64, True),
        ("latest", False),
        ("sha256:zz", False),
    ],
)
def test_a_container_is_described_if_its_digest_is_declared(monkeypatch, value, is_told):
    monkeypatch.setenv("PYTEST_REPRO_CONTAINER", value)
    found = collect(environment._read_container, 1)
    assert is_unavailable(found) is not is_told
    assert not is_told or found == {"digest": value, "declared_by": "PYTEST_REPRO_CONTAINER"}


def test_a_processor_is_described_by_model_and_instruction_sets():
    flags = "fpu avx2 fma smep avx512f sse4_2 amx_tile"
    text = f"processor : 0\nmodel name\t: Some CPU @ 2.1GHz\nflags\t\t: {flags}\n\nprocessor : 1\n"
    found = environment._read_cpuinfo(text)
    assert found["model"] == "Some CPU @ 2.1GHz"
    assert found["instruction_sets"] == ["amx_tile", "avx2", "avx512f", "fma", "sse4_2"]
    arm = environment._read_cpuinfo(
        "Features : fp asimd sve sve2 bf16 i8mm\nCPU implementer : 0x41\nCPU part : 0xd4f\n"
    )
    assert arm["model"] == "0x41 0xd4f"
    assert arm["instruction_sets"] == ["asimd", "bf16", "i8mm", "sve", "sve2"]


def install(directory, name, version="1.0", requires=(), record="a.py,sha256=x,1\n"):
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in requires)]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
    if record is not None:
        (info / "RECORD").write_text(record)
    return PathDistribution(info)


def test_a_package_that_requires_a_numerical_one_may_change_bits_and_an_extra_does_not_count(tmp_path):
    found = describe_packages(
        [
            install(tmp_path, "numpy"),
            install(tmp_path, "Some_Net", requires=["torch>=2 ; python_version > '3'"]),
            install(tmp_path, "torch", requires=["numpy"]),
            install(tmp_path, "wrapper", requires=["some.net"]),
            install(tmp_path, "docs", requires=["numpy ; extra == 'plot'", "jinja2"]),
            install(tmp_path, "nvidia-cublas-cu12", record=None),
            install(tmp_path, "pytest-repro", requires=["numpy"]),
        ]
    )
    numerical = [name for name, package in found.items() if package["numerical"]]
    assert numerical == ["numpy", "nvidia-cublas-cu12", "some-net", "torch", "wrapper"]
    assert found["nvidia-cublas-cu12"]["record"] is None
    assert find_numerical({"a": {"b"}, "b": {"a"}}) == set()


def test_the_project_under_test_is_code_and_not_environment(tmp_path):
    packages = [install(tmp_path, "numpy"), install(tmp_path, "mine", requires=["numpy"])]
    url = tmp_path / "mine-1.0.dist-info" / "direct_url.json"
    for text, is_local in [
        ('{"url": "file:///x", "dir_info": {"editable": true}}', True),
        ('{"url": "file:///x.whl"}', False),
        ("{", False),
    ]:
        url.write_text(text)
        found = describe_packages(packages)["mine"]
        assert (found["numerical"], found.get("local", False)) == (not is_local, is_local)


def test_the_first_of_two_packages_of_one_name_counts(tmp_path):
    found = describe_packages([install(tmp_path / "a", "X", "2.0"), install(tmp_path / "b", "x", "1.0")])
    assert found["x"]["version"] == "2.0"


RECORD = """numpy/core.so,sha256=abc,10
numpy-1.dist-info/METADATA,sha256=m,1
"""


def test_a_module_of_the_project_named_like_one_of_python_does_not_hide_the_thread_pools(tmp_path, monkeypatch):
    pytest.importorskip("threadpoolctl")
    (tmp_path / "json.py").write_text("raise RuntimeError('not this one')\\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPRO_TEST_FRESH", "1")  # so that no cached answer is used
    pools = describe_environment(tmp_path)["thread_pools"]
    assert isinstance(pools, list), pools


def test_a_package_that_is_installed_or_removed_in_between_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "brandnew" not in describe_packages()
    install(tmp_path, "brandnew", "1.0")
    assert describe_packages()["brandnew"]["version"] == "1.0"
    shutil.rmtree(next(tmp_path.glob("brandnew*.dist-info")))
    assert "brandnew" not in describe_packages()


def test_a_records_digest_omits_entries_that_differ_between_two_installations():
    noise = (
        "../../bin/f2py,sha256=path,1\nnumpy/__pycache__/core.cpython-311.pyc,,\nnumpy-1.dist-info/RECORD,,\n"
        "numpy-1.dist-info/INSTALLER,sha256=pip,4\nnumpy-1.dist-info/direct_url.json,sha256=q,3\n"
    )
    shuffled = "\n".join(reversed((RECORD + noise).splitlines()))
    assert digest_record(shuffled) == digest_record(RECORD)
    assert digest_record(RECORD.replace("abc", "abd")) != digest_record(RECORD)


def test_this_environments_variables_are_not_changed():
    before = dict(os.environ)
    describe_environment(Path())
    assert dict(os.environ) == before


def test_vendored_packages_do_not_count_as_installed(tmp_path, monkeypatch):
    def install(folder, name):
        metadata = folder / f"{name}-1.0.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")

    install(tmp_path / "site", "planted-installed")
    install(tmp_path / "site" / "tool" / "_vendor", "planted-vendored")
    (tmp_path / "site" / "tool" / "__init__.py").touch()
    for folder in ("site", "site/tool/_vendor"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    found = describe_packages()
    assert "planted-installed" in found
    assert "planted-vendored" not in found


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_fifo_in_the_place_of_a_lock_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "uv.lock")
    (tmp_path / "poetry.lock").symlink_to("uv.lock")
    found = describe_environment(tmp_path)["lock_files"]
    assert found == dict.fromkeys(("uv.lock", "poetry.lock"), "unreadable: it must be a regular file, and is a FIFO")
