"""Two watched runs of one function, and the statement at which they part."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_repro.diagnosis.first_divergence import TracePair
from pytest_repro.diagnosis.iteration_order import parse_loop
from pytest_repro.model import FirstDivergence
from pytest_repro.model.codec import decode, encode
from pytest_repro.tracing.statements import read_statements
from pytest_repro.tracing.trace_file import TraceError
from pytest_repro.tracing.watch_job import imports_of
from pytest_repro.tracing.watching import watched
from tests.unit.diagnosis.helpers import Runs


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


def test_the_first_value_that_differs_is_named_with_its_place(runs: Runs):
    first = runs.first("def run():\n    a = 1\n    b = (\n        source()\n    )\n    c = a + b\n    return c\n")
    assert (first.file, first.line, first.function, first.name) == ("users.py", 3, "run", "b")
    assert (first.expected, first.actual, first.kind, first.flows) == ("1", "2", "assigned", True)
    assert first.source == "b = (\n        source()\n    )"
    assert decode(FirstDivergence, json.loads(json.dumps(encode(first)))) == first


def test_identical_runs_have_no_divergence(runs: Runs):
    found = runs.compare("def run():\n    x = source()\n    return [x] * 3\n", (1, 1))
    assert (found.first, found.incomplete) == (None, ())
    assert len(TracePair(*runs.traces, root=runs.folder).side_by_side(None)) >= 2


def test_a_value_that_is_only_logged_is_not_the_place(runs: Runs):
    source = """
def run():
    t0 = source()
    log = []
    x = 3
    log.append(f"began at {t0}")
    y = later()
    return x + y
def later():
    z = source()
    return z * 2
"""
    first = runs.first(source)
    assert (first.line, first.name, first.function) == (10, "z", "later")
    assert first.callers == (("users.py", 7, "run"),)


def test_a_value_that_is_overwritten_alike_is_not_the_place(runs: Runs):
    source = "def run():\n    buffer = [source()]\n    buffer[0] = 5\n    x = source()\n    return buffer[0] + x\n"
    assert (runs.first(source).line, runs.first(source).name) == (4, "x")


def test_a_value_that_nothing_reads_is_not_the_place(runs: Runs):
    found = runs.compare("def run():\n    x = source()\n    print(x)\n    return 3\n")
    assert found.first is None
    assert found.incomplete == ("nothing that was compared depends on the values that were seen to differ",)


def test_where_nothing_reaches_the_result_the_first_that_is_read_is_named_as_such(runs: Runs):
    first = runs.first("def run():\n    t = source()\n    x = source()\n    y = [x]\n    return 3\n")
    assert (first.line, first.flows) == (3, False)


def test_an_array_changed_in_place_is_named_at_the_statement_that_changed_it(runs: Runs):
    source = """
import numpy as np
def add(w, g):
    w += g
def run():
    w = np.zeros(4)
    for i in range(3):
        add(w, source() if i == 1 else 0)
    return w
"""
    first = runs.first(source)
    assert (first.line, first.name, first.kind, first.step) == (8, "g", "argument", 1)


def test_another_branch_is_named_where_it_is_taken(runs: Runs):
    source = "def run():\n    x = 0\n    if source() > 1:\n        x = 5\n    return x\n"
    first = runs.first(source)
    assert (first.line, first.name) == (3, "(branch)")
    assert (first.expected, first.actual) == ("went on at line 5", "went on at line 4")


def test_a_loop_with_another_count_is_named_at_its_head(runs: Runs):
    first = runs.first("def run():\n    t = 0\n    for i in range(3 * source()):\n        t += 1\n    return t\n")
    assert (first.line, first.step) == (3, 3)


def test_a_call_that_one_run_alone_makes_is_followed_too(runs: Runs):
    # A resumed run sets up once more, in a frame that has no partner: found by a traceback of ours.
    source = """
def setup():
    w, v = 1, 2
    w = w + v
    return w

def run():
    w = setup()
    for i in range(4):
        if source() == 2 and i == 2:
            saved = w
            w = setup()
            w = saved + w - 3 + 1
        w = w + 1
    return w
"""
    first = runs.first(source)
    assert (first.function, first.line, first.name) == ("run", 10, "(branch)")


def test_a_set_in_another_order_is_reported_with_how_its_elements_are_hashed(runs: Runs):
    # 8 and 16 fall into one place of a small table.
    by_value = "def run():\n    pair = source()\n    found = set(pair)\n    return list(found)\n"
    assert runs.first(by_value, ([8, 16], [16, 8])).reordered == ""
    found = "def run():\n    found = set(source())\n    return list(found)\n"
    assert runs.first(found, ([8, 16], [16, 8])).reordered == "value"
    assert runs.first(found, ([8, 16], [8, 24])).reordered == ""
    none = float("nan")
    assert runs.first(found, ([8, 16, (none,)], [16, 8, (none,)])).reordered == "address"


def test_the_step_is_the_one_whose_end_the_test_reports(runs: Runs):
    source = """
from pytest_repro.engines.current import CurrentRun, Repro

def run():
    w, repro = 0.0, Repro(CurrentRun(1, 5))
    for epoch in range(2):
        for i in range(3):
            w += 1
            if epoch == 1 and i == 1:
                w = w * source()
            repro.step(100 + epoch * 3 + i, w=w)
    return w
"""
    first = runs.first(source)
    assert (first.line, first.name, first.step) == (10, "w", 104)


def test_a_difference_outside_any_loop_belongs_to_no_step(runs: Runs):
    source = """
from pytest_repro.engines.current import CurrentRun, Repro

def run():
    w, repro = source(), Repro(CurrentRun(1, 5))
    for i in range(3):
        repro.step(i, w=w)
"""
    assert runs.first(source).step is None


def test_arguments_that_were_varied_and_their_copies_are_not_the_place(runs: Runs):
    source = """
def run(size):
    n = size
    steps = range(0, 8, n)
    return [sum(range(i, i + n)) * 1.5 for i in steps]
"""
    sizes = iter((2, 4))
    first = runs.first(source, arguments=lambda: {"size": next(sizes)}, ignore={"size"})
    assert (first.line, first.name) == (4, "steps")


def test_a_branch_taken_because_of_a_varied_argument_is_skipped(runs: Runs):
    source = """
def run(resume):
    state = {"lr": 1.0, "n": 0}
    for step in range(4):
        if resume and step == 2:
            saved = dict(state)
            state = {"lr": 1.0, "n": 0}
            state["lr"] = saved["lr"]
        state["n"] += 1
        state["lr"] *= 0.5
    return state["n"]
"""
    values = iter((False, True))
    first = runs.first(source, arguments=lambda: {"resume": next(values)}, ignore={"resume"})
    assert (first.line, first.name, first.step) == (9, "state['n']", 2)


def test_a_set_in_another_order_is_the_place(runs: Runs):
    source = """
def run():
    s = set()
    for i in source():
        s.add(i)
    return [i for i in s]
"""
    # As other hash seeds would do to strings; the loop over the numbers is what differs here.
    assert runs.first(source, ((8, 16, 0), (0, 16, 8))).line == 4


def test_a_generator_with_another_seed_is_named_by_its_state(runs: Runs):
    first = runs.first("import random\ndef run():\n    random.seed(source())\n    return random.random()\n")
    assert (first.line, first.name, first.kind) == (3, "state of random", "state")


def test_more_frames_in_one_run_do_not_shift_the_alignment_after_them(runs: Runs):
    source = """
cache = {}
def load(i):
    if i not in cache:
        cache[i] = build(i)
    return cache[i]
def build(i):
    j = i + 1
    return j
def run():
    a = load(1) + load(2)
    b = source()
    return a + b
"""
    assert runs.first(source).line == 12


def test_a_thinned_trace_says_so(runs: Runs):
    found = runs.compare("def run():\n    x = source()\n    for i in range(3000):\n        x += i\n    return x\n")
    assert found.first is not None
    assert found.first.line == 2
    assert any("reached too often" in text for text in found.incomplete)


def test_two_traces_are_shown_side_by_side_around_the_place(runs: Runs):
    source = "def run():\n    a = 1\n    b = 2\n    c = source()\n    d = c\n    return d\n"
    found = runs.first(source)
    rows = TracePair(*runs.traces, root=runs.folder).side_by_side(found, rows=1)
    assert [(row.line, row.differs) for row in rows] == [(3, False), (4, True), (5, True)]
    assert (rows[1].source, rows[1].expected, rows[1].actual) == ("c = source()", "c = 1", "c = 2")


def test_a_trace_that_refers_to_nothing_is_refused(tmp_path: Path):
    path = tmp_path / "trace.jsonl"
    path.write_text('["v",1]\n["s",7,1,1,null,[]]\n')
    with pytest.raises(TraceError, match="refers to something that it does not hold"):
        TracePair(path, path)


def test_a_trace_that_was_cut_off_is_reported(runs: Runs):
    runs.compare("def run():\n    x = source()\n    return x\n")
    for trace in runs.traces:
        lines = trace.read_text().splitlines(keepends=True)
        trace.write_text("".join(lines[:-1]))
    found = TracePair(*runs.traces).find_first()
    assert found.incomplete == ("a trace was cut off before its run ended",)
    assert found.first is not None


HIDDEN = """
import numpy as np

class Index:
    def __init__(self):
        self.rows, self.size = [], np.zeros(1)

    def add(self, rows):
        self.rows, self.size = list(rows), np.ones(1)

Index.__module__ = "a_library"

def run():
    rows = {source()}
    index = Index()
    index.add([row for row in rows])
    found = index.rows
    return found
"""


def test_values_given_to_a_librarys_object_are_followed_although_it_shows_no_change(runs: Runs, monkeypatch):
    library = ModuleType("a_library")
    library.__file__ = "/usr/lib/site-packages/a_library.py"
    monkeypatch.setitem(sys.modules, "a_library", library)
    first = runs.first(HIDDEN)
    assert (first.source, first.name, first.flows) == ("rows = {source()}", "rows", True)


def test_values_given_to_a_logger_are_not_followed(runs: Runs):
    source = """
class Log:
    def say(self, *args): pass

def run():
    noise = source()
    log = Log()
    x = [1]
    log.say(x, noise)
    x = x + [source()]
    return x
"""
    assert runs.first(source).source == "x = x + [source()]"


def test_a_public_attribute_is_named_before_a_private_one(runs: Runs):
    source = """
class Model:
    pass

def run():
    model = Model()
    model.__dict__.update(_n_threads=source(), centers_=source())
    return model
"""
    assert runs.first(source).name == "model.centers_"


WALK = """
class Node:
    def __init__(self, value, rank):
        self.value, self.rank = value, rank
    def __hash__(self):
        return self.rank
def run():
    ranks = source()
    nodes = [Node(v, 0) for v in VALUES]
    for node, rank in zip(nodes, ranks):
        object.__setattr__(node, "rank", 0) if rank is None else Node.rank_of.__setitem__(id(node), rank)
    total = 0.0
    for node in LOOP:
        total = total * 0.5 + node.value
    return total
Node.rank_of = {}
Node.__hash__ = lambda self: Node.rank_of.get(id(self), 0)
"""


@pytest.mark.parametrize(
    ("loop", "values", "reordered"),
    [
        ("set(nodes)", "range(1, 4)", "iteration"),
        ("{*nodes}", "range(1, 4)", "iteration"),
        ("list(set(nodes))", "range(1, 4)", "iteration"),
        ("sorted(set(nodes), key=lambda n: Node.rank_of[id(n)])", "range(1, 4)", ""),  # in the order of the key
        ("set(nodes)", "[sum(ranks) + 0.5, 2, 3]", ""),  # another element
        ("list(set(nodes))[:1]", "[ranks[0] + 0.25, 2, 3]", ""),
    ],
)
def test_a_loop_over_a_set_without_a_name_shows_its_order_by_its_variable(
    runs: Runs, loop: str, values: str, reordered: str
):
    first = runs.first(WALK.replace("LOOP", loop).replace("VALUES", values), ([1, 2, 3], [3, 1, 4]))
    assert first.reordered == reordered


@pytest.mark.parametrize(
    ("source", "targets", "reads"),
    [
        ("for node in set(nodes):", {"node"}, {"nodes"}),
        ("for node in set(nodes):  # hashed by address", {"node"}, {"nodes"}),
        ("for i, (a, b) in enumerate({*x, y}):", {"i", "a", "b"}, {"x", "y"}),
        ("for k in frozenset(a) - b:", {"k"}, {"a", "b"}),
        ("for k in a.union(b):", {"k"}, {"a", "b"}),
        ("for k in set(load()):", {"k"}, None),
    ],
)
def test_a_loop_over_a_set_is_read_from_its_header(source: str, targets: set[str], reads: set[str] | None):
    loop = parse_loop(source)
    assert loop is not None
    assert (set(loop.targets), loop.reads and set(loop.reads)) == (targets, reads)


@pytest.mark.parametrize(
    "source", ["for k in nodes:", "x = set(y)", "while set(x):", "for k in", "for k in sorted({1, 2}):"]
)
def test_other_statements_loop_over_no_set(source: str):
    assert parse_loop(source) is None


def test_what_an_interpreter_imported_is_read_before_its_run(tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    path.write_text("def draw(v):\n    return [v, 1000]\n\nWEIGHTS = draw(value)\n\ndef run():\n    return WEIGHTS\n")
    traces = tmp_path / "1", tmp_path / "2"
    read_statements.cache_clear()
    for trace, value in zip(traces, (3141, 2718), strict=True):
        names: dict[str, Any] = {"value": value}
        with watched(imports_of(trace)):
            exec(compile(path.read_text(), str(path), "exec"), names)
        with watched(trace):
            names["run"]()
    found = TracePair(*traces, root=tmp_path).find_first()
    assert found.first is not None
    assert (found.first.line, found.first.function, found.is_older) == (4, "<module>", False)
    for trace in traces:
        imports_of(trace).unlink()
    found = TracePair(*traces, root=tmp_path).find_first()
    assert found.first is not None
    assert (found.first.line, found.is_older) == (7, True)
