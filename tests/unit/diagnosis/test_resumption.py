"""State that a resumed run did not restore, from two real traces."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from pytest_repro.diagnosis.first_divergence import TracePair
from pytest_repro.diagnosis.resumption import Unrestored, is_rounded_to_16_bits
from pytest_repro.tracing.statements import read_statements
from pytest_repro.tracing.watching import watched

PRELUDE = """
    import random
    import numpy as np

    class Decay:
        def __init__(self):
            self.rate, self.count = 0.5, 0
        def step(self):
            self.count += 1
        def load(self, rate):
            self.rate = rate
            return self

    def run(resume):
        w, velocity, rng = np.full(3, 0.1), np.zeros(3), np.random.default_rng(0)
        sched, order = Decay(), [2, 0, 1]
        random.seed(0)
        for step in range(4):
            if resume and step == 2:
                {resumed}
            velocity = velocity * 0.9 + w[order[step % 3]] + rng.random(3) + random.random()
            w = w - sched.rate ** sched.count * velocity
            sched.step()
            order.reverse()
        return w
"""


@pytest.fixture
def unrestored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def find(resumed: str, *, first: bool = False) -> list[Unrestored]:
        path = tmp_path / "users.py"
        indented = textwrap.indent(textwrap.dedent(resumed).strip(), " " * 12).strip()
        source = textwrap.dedent(PRELUDE).replace("{resumed}", indented)
        path.write_text(source, encoding="utf-8")
        read_statements.cache_clear()
        module = ModuleType("users")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, "users", module)
        exec(compile(source, str(path), "exec"), module.__dict__)
        traces = []
        for resume in (first, not first):
            traces.append(tmp_path / f"{resume}.jsonl")
            with watched(traces[-1]):
                module.__dict__["run"](resume)
        pair = TracePair(*traces, root=tmp_path)
        pair.find_first(ignore=("resume",))
        return pair.find_unrestored()

    return find


@pytest.mark.parametrize(
    ("resumed", "name", "code"),
    [
        ("velocity = np.zeros(3)", "velocity", "resume.optimizer"),
        ("w = w.astype('f2').astype('f8')", "w", "resume.half_checkpoint"),
        ("rng = np.random.default_rng(0)", "rng", "resume.numpy_rng"),
        ("random.seed(0)", "state of random", "resume.python_rng"),
        ("sched = Decay()", "sched.count", "resume.scheduler"),
        ("order = [2, 0, 1]; order.sort()", "order", "resume.data_order"),
    ],
)
@pytest.mark.parametrize("first", [False, True], ids=["resumed second", "resumed first"])
def test_newly_made_state_is_named_with_its_line(unrestored, resumed: str, name: str, code: str, first: bool):
    found = unrestored(resumed, first=first)[0]
    assert (found.name.partition(".state")[0], found.code, found.line) == (name, code, 20)
    assert found.before != found.after or name == "rng"


def test_state_that_was_restored_to_the_bit_is_not_named(unrestored):
    resumed = """
        saved = (w.copy(), velocity.copy(), rng.bit_generator.state, list(order), random.getstate(), sched.count)
        w, velocity, rng, order, sched = np.zeros(3), np.zeros(3), np.random.default_rng(7), [0], Decay()
        random.seed(5)
        w, velocity, order, sched.count = saved[0], saved[1], saved[3], saved[5]
        rng.bit_generator.state = saved[2]
        random.setstate(saved[4])
    """
    assert unrestored(resumed) == []


def test_an_attribute_of_a_partly_loaded_object_is_compared_with_its_value_before(unrestored):
    found = unrestored("saved = sched.rate; sched = Decay().load(saved)")
    assert ("sched.count", "resume.scheduler", "2", "0") in [(f.name, f.code, f.before, f.after) for f in found]
    assert "rate" not in str([f.name for f in found])


def test_a_variable_of_one_run_alone_was_not_lost(unrestored):
    assert unrestored("extra = [random.getstate()]; checkpoint = w.copy()") == []


def test_another_object_under_the_same_name_was_not_lost(unrestored):
    assert [f.name for f in unrestored("sched, old = Decay, sched; sched = old")] == []
    assert [f.name for f in unrestored("velocity = 0.0")] == []


def test_rounding_to_16_bits_is_distinguished_from_other_changes():
    def shown(*numbers: str, kind: str = "ndarray float64") -> str:
        return f"{kind} ({len(numbers)},): {', '.join(numbers)}, ..."

    assert is_rounded_to_16_bits(shown("0.5982942", "-0.338809258"), shown("0.598144531", "-0.338867188"))
    assert is_rounded_to_16_bits(
        shown("0.333333343", kind="Tensor float32"), shown("0.333984375", kind="Tensor float32")
    )
    assert not is_rounded_to_16_bits(shown("0.5982942", "-0.338809258"), shown("0.598144531", "-0.3388"))
    assert not is_rounded_to_16_bits(shown("0.5", "0.25"), shown("0.5", "0.25"))
    assert not is_rounded_to_16_bits(shown("1e300"), shown("0"))
    assert not is_rounded_to_16_bits("list of 2: 0.5982942", "list of 2: 0.598144531")


@pytest.mark.parametrize(
    ("resumed", "expected"),
    [
        ("import io\nbox = io.BytesIO()\nnp.save(box, velocity)\nbox.seek(0)\nvelocity = np.load(box) * 0", True),
        ("velocity = np.zeros(3)", False),
        ("import json\nvelocity = np.array(json.loads('[0, 0, 0]'))", False),
    ],
)
def test_statements_that_save_and_load_resume_a_run(unrestored, resumed: str, expected: bool) -> None:
    assert [each.is_resumed for each in unrestored(resumed) if each.name == "velocity"] == [expected]
