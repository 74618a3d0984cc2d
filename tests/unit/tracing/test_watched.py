"""Trace of a watched run, which must behave as an unwatched one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pytest_repro.tracing.statements import read_statements
from pytest_repro.tracing.trace_file import TraceError, read_trace
from pytest_repro.tracing.watching import watched


class Code:
    """Writer and importer of a module, which runs a function of it under watch."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = patch

    def load(self, source: str) -> dict[str, Any]:
        path = self.folder / "users.py"
        path.write_text(source, encoding="utf-8")
        module = ModuleType("users")
        module.__file__ = str(path)
        self.patch.setitem(sys.modules, "users", module)
        read_statements.cache_clear()  # the tests write one file again and again
        exec(compile(source, str(path), "exec"), module.__dict__)
        return module.__dict__

    def watch(self, source: str, *args: object, **limits: Any) -> tuple[Any, list[list[Any]]]:
        run = self.load(source)["run"]
        trace = self.folder / "trace.jsonl"
        with watched(trace, **limits):
            value = run(*args)
        return value, list(read_trace(trace))


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Code:
    return Code(tmp_path, monkeypatch)


def changes(events: list[list[Any]]) -> list[tuple[int, str]]:
    return [(e[3], c[0]) for e in events if e[0] == "s" for c in e[5] if not c[0].startswith(("state", "(branch"))]


@pytest.mark.parametrize(
    "line, name",
    [
        ("a[1] = 5.0", "a"),
        ("a += 1", "a"),
        ("np.add(a, 1, out=a)", "a"),
        ("d['k'] = 2", "d"),
        ("items.append(3)", "items"),
        ("o.w = 4", "o.w"),
        ("o.grow()", "o"),
        ("rng.random()", "rng"),
        ("x, y = 1, 2", "y"),
    ],
)
def test_a_change_in_place_is_seen_at_the_statement_that_makes_it(code: Code, line: str, name: str):
    source = f"""
import numpy as np
class O:
    def __init__(self): self.w = 1
    def grow(self): self.w = 9
def run():
    a, d, items, o, rng, x = np.zeros(3), {{}}, [], O(), np.random.default_rng(0), 0
    _ = a, d, items, o, rng, x
    {line}
    return 0
"""
    _, events = code.watch(source)
    assert (9, name) in changes(events)


def test_a_statement_that_changes_nothing_is_silent(code: Code):
    _, events = code.watch("import numpy as np\ndef run():\n    a = np.zeros(3)\n    a.sum()\n    return 1\n")
    assert (3, "a") in changes(events)
    assert 4 not in [line for line, _ in changes(events)]


def test_the_outermost_loop_counts_the_steps(code: Code):
    source = "def f(x):\n    y = x * 2\n    return y\ndef run():\n    for epoch in range(3):\n        f(epoch)\n"
    _, events = code.watch(source)
    assert [e[4] for e in events if e[0] == "s" and e[3] == 2] == [0, 1, 2]


def test_a_hot_loop_is_sampled_by_count_and_noted(code: Code):
    source = "def run():\n    t = 0\n    for i in range(20_000):\n        t += i\n    return t\n"
    value, events = code.watch(source)
    seen = [e[4] for e in events if e[0] == "s" and e[3] == 4]
    assert value == sum(range(20_000))
    assert 512 < len(seen) < 2500
    assert events[-1][0] == "e"
    assert "reached too often to be watched each time: users.py:3, users.py:4" in events[-1][1]
    _, again = code.watch(source)
    assert again == events


def test_another_text_at_the_address_of_a_freed_one_is_a_change(code: Code):
    source = "def run():\n    for i in range(2000):\n        text = f'{i}'\n    return text\n"
    _, events = code.watch(source)
    found = changes(events)
    assert found.count((3, "text")) == found.count((2, "i"))


def test_too_many_events_end_the_watching_but_not_the_run(code: Code):
    value, events = code.watch("def run():\n    for i in range(400):\n        x = i\n    return x\n", max_events=100)
    assert value == 399
    assert events[-1][1][0] == "watching stopped after 100 events"
    assert len(events) < 110


def test_generators_keep_their_frame_between_values(code: Code):
    source = "def g():\n    x = 1\n    yield x\n    x = 2\n    yield x\ndef run():\n    return [v for v in g()]\n"
    value, events = code.watch(source)
    assert value == [1, 2]
    assert (4, "x") in changes(events)
    assert len([e for e in events if e[0] == "f"]) == 2


def test_threads_of_the_code_under_test_are_watched(code: Code):
    source = """
import threading
def work(out):
    y = 5
    out.append(y)
def run():
    out = []
    t = threading.Thread(target=work, args=(out,), name="worker")
    t.start(); t.join()
    return out
"""
    _, events = code.watch(source)
    assert "worker" in [e[9] for e in events if e[0] == "f"]
    assert (4, "y") in changes(events)
    assert threading.gettrace() is None


def test_an_exception_propagates_and_leaves_a_complete_trace(code: Code):
    namespace = code.load("def run():\n    x = 1\n    raise ValueError(x)\n")
    trace = code.folder / "trace.jsonl"
    before = sys.gettrace()
    with pytest.raises(ValueError, match="1"), watched(trace):
        namespace["run"]()
    assert sys.gettrace() is before
    assert list(read_trace(trace))[-1] == ["e", []]


def test_a_watched_run_draws_the_same_random_numbers(code: Code):
    source = """
import random
import numpy as np
def run():
    rng = np.random.default_rng(1)
    return [random.random(), np.random.random(), rng.random(), random.Random(3).random()]
"""
    run: Callable[[], Any] = code.load(source)["run"]
    random.seed(7)
    np.random.seed(7)
    plain = run()
    random.seed(7)
    np.random.seed(7)
    value, _ = code.watch(source)
    assert value == plain


def test_objects_die_as_early_as_in_an_unwatched_run(code: Code):
    source = """
import weakref
class O: pass
def run():
    o = O()
    r = weakref.ref(o)
    o = None
    x = 1
    return r() is None
"""
    value, _ = code.watch(source)
    assert value is True


def test_a_debuggers_trace_function_is_kept_and_noted(code: Code):
    def debugger(frame: Any, event: str, arg: Any) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        with watched(code.folder / "trace.jsonl"):
            held = sys.gettrace()
    finally:
        sys.settrace(before)
    assert held is debugger
    if not hasattr(sys, "monitoring"):
        note = list(read_trace(code.folder / "trace.jsonl"))[-1][1][0]
        assert note.startswith("nothing was watched: a debugger or another tool")


def test_a_fork_of_the_run_writes_nothing_into_its_trace(code: Code):
    source = """
import os
def run():
    x = 1
    pid = os.fork()
    if pid == 0:
        for x in range(5000):
            y = x
        os._exit(0)
    os.waitpid(pid, 0)
    x = 3
    return x
"""
    _, events = code.watch(source)
    assert not [e for e in events if e[0] == "s" and e[3] == 8]
    assert (11, "x") in changes(events)
    assert events[-1][0] == "e"


def test_coverage_goes_on_after_a_watched_block(tmp_path: Path):
    pytest.importorskip("coverage")
    script = tmp_path / "script.py"
    script.write_text(
        "from pytest_repro.tracing.watching import watched; from pytest_repro.tracing.trace_file import read_trace\n"
        "def f():\n    x = 1\n    return x\n"
        "with watched('t.jsonl'):\n    f()\n"
        "def g():\n    return 1\n"
        "g()\n"
        "print(sum(1 for e in read_trace(__import__('pathlib').Path('t.jsonl')) if e[0] == 's'))\n"
    )
    command = [sys.executable, "-m", "coverage", "run", "--data-file=d", "--include=script.py", "script.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    report = [sys.executable, "-m", "coverage", "json", "--data-file=d", "-o", "c.json"]
    subprocess.run(report, cwd=tmp_path, capture_output=True, check=True)
    executed = json.loads((tmp_path / "c.json").read_text())["files"]["script.py"]["executed_lines"]
    assert int(ended.stdout) >= 1
    assert 8 in executed  # the body of g


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]\n",
        '["v",2]\n',
        '["v",true]\n',
        '["v",1]\n{"a":1}\n',
        '["v",1]\n["s",1,2]\n',
        '["v",1]\n["s",0,1,1,null,[["x"]]]\n',
        '["v",1]\n["e",[1]]\n',
        '["v",1]\nnonsense\n',
        '["v",1]\n' + "[" * 100_000 + "\n",
    ],
)
def test_an_invalid_trace_is_rejected(tmp_path: Path, text: str):
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(TraceError):
        list(read_trace(path))


def test_a_truncated_trace_is_read_to_its_last_complete_line(tmp_path: Path):
    path = tmp_path / "trace.jsonl"
    path.write_text('["v",1]\n["c",0,"f.py","f",1]\n["e",[')
    assert [event[0] for event in read_trace(path)] == ["v", "c"]
