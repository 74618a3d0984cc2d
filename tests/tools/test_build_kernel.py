"""`tools/build_kernel.py`: the compiled kernel works, and if it cannot be compiled there is a reason and no error."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_repro.numerics import fused
from tools import build_kernel

pytest.importorskip("setuptools")

USE_IT = """
import importlib.util, sys
import numpy as np
from pytest_repro.numerics.underflow import is_flushing
spec = importlib.util.spec_from_file_location("_fused", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pair = np.float32([1, 2]), np.float32([1, 3])
print(module.VERSION, module.measure(*pair, "float32", 0, 2, 0, 0.0, 0.0)[3][0], is_flushing())
"""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in ("PYTEST_REPRO_PURE", "CC", "CFLAGS", "LDFLAGS", "LDSHARED"):
        monkeypatch.delenv(name, raising=False)


def test_the_compiled_kernel_works_and_does_not_change_floating_point_arithmetic(tmp_path):
    built, reason = build_kernel.build(tmp_path)
    if built is None:
        pytest.skip(f"this machine cannot compile: {reason}")
    assert built.parent == tmp_path
    assert built.name in ("_fused.abi3.so", "_fused.pyd")
    command = [sys.executable, "-c", USE_IT, str(built)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(fused._VERSION), "1", "False"]


def test_without_a_compiler_one_line_gives_the_reason_and_no_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "nonexistent"))
    if sys.platform == "win32":
        pytest.skip("on Windows the compiler is not found by CC")
    (tmp_path / "_fused.abi3.so").write_bytes(b"from an earlier build")
    built, reason = build_kernel.build(tmp_path)
    assert built is None
    assert "nonexistent" in reason
    assert "\n" not in reason
    assert not list(tmp_path.iterdir())


def test_a_compiler_error_is_the_reason(tmp_path, monkeypatch):
    broken = tmp_path / "source"
    broken.mkdir()
    (broken / "_fused.c").write_text('#error "broken"\n')
    monkeypatch.setattr(build_kernel, "SOURCES", broken)
    built, reason = build_kernel.build(tmp_path)
    assert built is None
    assert re.fullmatch(r"(CompileError|RuntimeError): .+", reason)


@pytest.mark.skipif(sys.platform == "win32", reason="MSVC has other options")
@pytest.mark.parametrize("variable", ["CFLAGS", "LDFLAGS"])
@pytest.mark.parametrize("option", ["-Ofast", "-ffast-math", "-O2 -funsafe-math-optimizations"])
def test_compiler_options_that_switch_flush_to_zero_on_are_rejected(tmp_path, monkeypatch, variable, option):
    monkeypatch.setenv(variable, option)
    built, reason = build_kernel.build(tmp_path)
    assert built is None
    assert option.rpartition(" ")[2] in reason


def test_nothing_is_compiled_if_the_kernel_is_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_REPRO_PURE", "1")
    assert build_kernel.build(tmp_path) == (None, "PYTEST_REPRO_PURE is set")


def test_the_script_prints_the_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build_kernel, "build", lambda folder: (None, "no compiler"))
    assert build_kernel.main() == 1
    monkeypatch.setattr(build_kernel, "build", lambda folder: (Path("x.so"), ""))
    assert build_kernel.main() == 0
    assert capsys.readouterr().out.splitlines() == ["not compiled: no compiler", "x.so"]
