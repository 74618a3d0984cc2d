"""The place of a difference follows what was compared: each program marks the line that is right."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from pytest_repro.diagnosis.needed_parts import Compared
from tests.unit.diagnosis.helpers import Runs

#: In each program `noise()` and `draw()` differ in every run, and nothing that is compared depends on `noise()`.
HEAD = "import os, random, uuid\ndraw = random.SystemRandom().random\nnoise = lambda: uuid.uuid4().hex\n"

RETURNED = {
    "an argument that the callee only logs": """
        def train(folder):
            print(folder)
            w = draw()  # here
            return w * 2

        def run():
            folder = noise()
            return {"w": train(folder)}
    """,
    "an element of a list that is filled in a loop": """
        def collect():
            stamps, losses = [], []
            for i in range(4):
                stamps.append(noise())
                losses.append(draw() * i)  # here
            return stamps, losses

        def run():
            stamps, losses = collect()
            return sum(losses)
    """,
    "one of two returned values": """
        def fit():
            started = noise()
            w = draw()  # here
            return w, {"started": started, "n": 3}

        def run():
            w, history = fit()
            return {"w": w, "n": history["n"]}
    """,
    "a value returned inside of a with block": """
        def run():
            label = noise()
            name = label + ".txt"
            with open(os.devnull) as file:
                return {"w": draw()}  # here
    """,
    "a value that a callee returns before its finally block": """
        def fit():
            try:
                return draw()  # here
            finally:
                label = noise()
                print(label, label.upper())

        def run():
            label = noise()
            name = label + ".txt"
            with open(os.devnull) as file:
                return {"w": fit()}
    """,
    "a value that is returned after a with block swallowed what another return raised": """
        import contextlib

        def run():
            label = noise()
            with contextlib.suppress(ZeroDivisionError):
                return {"w": 1 / (len(label) - 32)}
            return {"w": draw()}  # here
    """,
    "one of two targets": """
        def run():
            t, x = noise(), draw()  # here
            return x
    """,
    "an attribute of an object": """
        class Trainer:
            def __init__(self):
                self.name = noise()
                self.w = 1.0
                self.rate = draw()  # here

            def fit(self):
                for _ in range(3):
                    self.step()
                return self

            def step(self):
                self.w -= self.rate * self.w

        def run():
            trainer = Trainer()
            trainer.fit()
            return trainer.w
    """,
    "an attribute that a base class sets": """
        class Base:
            def __init__(self):
                self.name = noise()
                self.bias = draw()  # here

        class Child(Base):
            def __init__(self):
                super().__init__()

            @property
            def value(self):
                return self.bias * 2

        def run():
            child = Child()
            return child.value
    """,
    "a class attribute": """
        class Model:
            scale = 1.0

            def predict(self, x):
                return x * self.scale

        def calibrate():
            Model.name = noise()
            Model.scale = draw()  # here

        def run():
            calibrate()
            return Model().predict(3.0)
    """,
    "a field of a dataclass": """
        from dataclasses import dataclass

        @dataclass
        class Config:
            name: str
            rate: float

        def make():
            name = noise()
            rate = draw()  # here
            return Config(name=name, rate=rate)

        def run():
            config = make()
            return 2 * config.rate
    """,
    "a key of a dict that stages fill": """
        def load(state):
            state["name"] = noise()

        def perturb(state):
            state["w"] = draw()  # here

        def run():
            state = {}
            for stage in (load, perturb):
                stage(state)
            return state["w"]
    """,
    "a keyword that is unpacked": """
        def build(name, seed):
            return [seed] * 2

        def run():
            config = {"name": noise()}
            config["seed"] = draw()  # here
            return build(**config)
    """,
    "positional arguments that are unpacked": """
        def combine(tag, *values):
            return sum(values)

        def run():
            tag = noise()
            values = [draw() for _ in range(3)]  # here
            return combine(tag, *values)
    """,
    "a global mapping": """
        CACHE, SEEN = {}, []

        def look_up(key):
            SEEN.append(noise())
            if key not in CACHE:
                CACHE[key] = draw()  # here
            return CACHE[key]

        def run():
            CACHE.clear()
            look_up("a")
            return CACHE["a"]
    """,
    "what a generator yields": """
        def stream():
            begun = noise()
            for i in range(4):
                yield i + draw()  # here

        def run():
            total = 0.0
            for x in stream():
                total += x
            return total
    """,
    "a chain of generators": """
        def numbers():
            tag = noise()
            yield from range(12)

        def shuffled(items):
            items = list(items)
            random.SystemRandom().shuffle(items)  # here
            yield from items

        def run():
            stream = shuffled(numbers())
            total = 0.0
            for x in stream:
                total = total * 0.5 + x
            return total
    """,
    "an object that is iterated over": """
        class Loader:
            def __init__(self):
                self.name = noise()
                self.rows = list(range(12))

            def __iter__(self):
                order = self.rows[:]
                random.SystemRandom().shuffle(order)  # here
                yield from order

        def run():
            total = 0.0
            for x in Loader():
                total = total * 0.5 + x
            return total
    """,
    "an operator of a class": """
        class Number:
            def __init__(self, v):
                self.v = v
                self.name = noise()

            def __add__(self, other):
                return Number(self.v + other.v + draw())  # here

        def run():
            a, b = Number(1.0), Number(2.0)
            c = a + b
            return c.v
    """,
    "a method of a chain of calls": """
        class Builder:
            def __init__(self):
                self.name = noise()
                self.parts = []

            def add(self, part):
                self.parts.append(part)
                return self

            def jitter(self):
                self.parts.append(draw())  # here
                return self

        def run():
            return Builder().add(1).jitter().add(2).parts
    """,
    "a callback": """
        class Clock:
            def __init__(self):
                self.times = []

            def on_epoch(self, trainer):
                self.times.append(noise())

        class Jitter:
            def on_epoch(self, trainer):
                trainer.rate *= draw()  # here

        class Trainer:
            def __init__(self, callbacks):
                self.callbacks, self.rate, self.w = callbacks, 0.1, 1.0

            def fit(self):
                for _ in range(3):
                    self.w -= self.rate * self.w
                    for callback in self.callbacks:
                        callback.on_epoch(self)

        def run():
            trainer = Trainer([Clock(), Jitter()])
            trainer.fit()
            return trainer.w
    """,
    "a decorated function": """
        import functools

        def logged(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                tag = noise()
                out = function(*args, **kwargs)
                print(tag)
                return out
            return wrapper

        @logged
        def fit(xs):
            shift = draw()  # here
            return [x + shift for x in xs]

        def run():
            return sum(fit([1, 2, 3]))
    """,
    "a variable of a closure": """
        def make():
            tag = noise()
            shift = draw()  # here
            def move(x):
                return x + shift
            return move

        def run():
            move = make()
            return [move(x) for x in range(3)]
    """,
    "a nonlocal variable": """
        def counter():
            total, tag = 0.0, noise()
            def add():
                nonlocal total
                total += draw()  # here
            def get():
                return total
            return add, get

        def run():
            add, get = counter()
            add()
            return get()
    """,
    "a variable of a lambda": """
        def run():
            tag = noise()
            offset = draw()  # here
            move = lambda x: x + offset
            return list(map(move, [1, 2, 3]))
    """,
    "a call in a comprehension": """
        def value(i):
            tag = noise()
            return i + draw()  # here

        def run():
            tags = [noise() for _ in range(3)]
            return sum([value(i) for i in range(3)])
    """,
    "a name that was bound to noise before": """
        def run():
            x = noise()
            print("started", x)
            x = draw()  # here
            return x
    """,
    "a branch": """
        def run():
            t = noise()
            w = [1.0]
            for i in range(60):
                if draw() > 0.5:  # here
                    w.append(float(i))
            return w
    """,
    "a file": """
        import json, tempfile
        FOLDER = tempfile.mkdtemp()

        def save(path):
            tag = noise()
            data = {"w": draw()}  # here
            with open(path, "w") as file:
                json.dump(data, file)

        def load(path):
            with open(path) as file:
                return json.load(file)

        def run():
            save(os.path.join(FOLDER, "w.json"))
            return load(os.path.join(FOLDER, "w.json"))["w"]
    """,
    "a view of an array": """
        import numpy as np

        def run():
            tag = noise()
            w = np.zeros((4, 4))
            row = w[2]
            row[:] = draw()  # here
            return w.sum(axis=0)
    """,
    "an array that is changed in place by a function": """
        import numpy as np

        def jitter(w):
            w[1:] += draw()  # here

        def run():
            w, tag = np.ones(4), noise()
            jitter(w)
            return w.sum()
    """,
    "a coroutine": """
        import asyncio

        async def fetch(i):
            tag = noise()
            await asyncio.sleep(0)
            return i + draw()  # here

        async def main():
            return [await fetch(i) for i in range(3)]

        def run():
            return asyncio.run(main())
    """,
}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


def right_line(source: str) -> int:
    return next(number for number, line in enumerate(source.splitlines(), 1) if "# here" in line)


@pytest.mark.parametrize("kind", RETURNED)
def test_the_place_follows_the_returned_value_through(runs: Runs, kind: str):
    source = HEAD + textwrap.dedent(RETURNED[kind])
    first = runs.first(source)
    assert (first.line, first.flows) == (right_line(source), True)


def test_the_place_follows_an_attribute_of_a_module(runs: Runs, monkeypatch: pytest.MonkeyPatch):
    settings = ModuleType("settings")
    settings.__file__ = str(runs.folder / "settings.py")
    monkeypatch.setitem(sys.modules, "settings", settings)
    source = HEAD + textwrap.dedent("""
        import settings

        def init():
            settings.name = noise()
            settings.scale = draw()  # here

        def run():
            init()
            return 2 * settings.scale
    """)
    assert runs.first(source).line == right_line(source)


def test_one_statement_of_several_on_a_line_is_told_by_its_column(runs: Runs):
    first = runs.first(HEAD + "def run():\n    tag = noise(); x = draw(); y = x + 1\n    return y\n")
    assert (first.line, first.name, first.column) == (5, "x", 20)


def test_a_statement_that_has_its_line_to_itself_has_no_column(runs: Runs):
    assert runs.first(HEAD + "def run():\n    x = draw()\n    return x\n").column is None


CAPTURED = """
from pytest_repro.engines.current import CurrentRun, Repro

def run():
    label = noise()
    w, repro = 1.0, Repro(CurrentRun(1, 5))
    for i in range(3):
        t = noise()
        if i == 1:
            w = w * draw()  # here
        CAPTURE
"""


@pytest.mark.parametrize("call", ['repro.capture(f"w{i}", w)', "repro.step(i, w=w)", "repro.step(i, n=i, w=[w])"])
def test_the_place_follows_a_captured_value(runs: Runs, call: str):
    source = HEAD + CAPTURED.replace("CAPTURE", call)
    first = runs.first(source)
    assert (first.line, first.flows) == (right_line(source), True)


def test_only_captured_values_that_differ_by_more_than_allowed_are_followed(runs: Runs):
    source = HEAD + textwrap.dedent("""
        from pytest_repro.engines.current import CurrentRun, Repro

        def run():
            repro = Repro(CurrentRun(1, 5))
            near = draw()
            far = draw()  # here
            repro.capture("near", near)
            repro.capture("far", {"x": far})
    """)
    assert runs.first(source, compared=Compared(frozenset({"far/x"}), "run")).line == right_line(source)


@pytest.mark.parametrize(
    "names",
    [
        {"x"},
        {"label", "x"},  # a UUID is no result, if there is any other
        {"rows/0", "label"},
    ],
)
def test_the_place_follows_the_local_variables_of_a_scan(runs: Runs, names: set[str]):
    source = HEAD + textwrap.dedent("""
        def fill(rows, log):
            log.append(noise())
            rows.append(draw())  # here

        def run():
            label = noise()
            rows, log = [], []
            fill(rows, log)
            x = rows[0]
    """)
    first = runs.first(source, compared=Compared(frozenset(names), "run"))
    assert (first.line, first.flows) == (right_line(source), True)


def test_a_label_is_the_place_where_nothing_else_differs(runs: Runs):
    source = HEAD + "def run():\n    label = noise()  # here\n    x = 1\n"
    assert runs.first(source, compared=Compared(frozenset({"label"}), "run")).line == right_line(source)


def test_only_the_keys_of_a_returned_dict_that_differ_are_followed(runs: Runs):
    source = HEAD + textwrap.dedent("""
        def run():
            near = draw()
            far = draw()  # here
            return {"near": near, "far": far}
    """)
    assert runs.first(source, compared=Compared(frozenset({"far"}), "run")).line == right_line(source)


def test_the_folder_of_a_run_is_no_difference(runs: Runs):
    source = textwrap.dedent("""
        import pathlib
        def run():
            folder = pathlib.Path(source())
            return [folder / "log.txt", str(folder)]
    """)
    folders = [f"/tmp/pytest-repro-abcdefgh/test-12ab34cd/{n}-{n}{n}cd1234/tmp/test_it0" for n in (1, 2)]
    assert runs.compare(source, (folders[0], folders[1])).first is None


OPAQUE = """
    import subprocess

    def run():
        label = noise()
        done = subprocess.CompletedProcess([], 0, draw())  # here
        other = draw()
        return {"x": done.stdout * 2}
"""


def test_the_place_of_a_part_is_where_an_object_was_made_that_is_read_only_in_part(runs: Runs):
    source = HEAD + textwrap.dedent(OPAQUE)
    first = runs.first(source)
    assert (first.line, first.name) == (right_line(source), "done.stdout")


def test_an_object_that_is_read_only_in_part_may_be_changed_after_it_was_made(runs: Runs):
    source = HEAD + textwrap.dedent("""
        import subprocess

        def run():
            done = subprocess.CompletedProcess([], 0, 1.0)
            value = draw()  # here
            done.__dict__.update(stdout=value)
            return {"x": done.stdout * 2}
    """)
    assert runs.first(source).line == right_line(source)


def test_the_part_of_an_object_is_named_from_which_the_result_is_made(runs: Runs):
    source = HEAD + textwrap.dedent("""
        from dataclasses import dataclass, field

        @dataclass
        class Trial:
            a: str = field(default_factory=noise)
            seed: float = field(default_factory=draw)

        def run():
            trial = Trial()  # here
            return trial.seed
    """)
    first = runs.first(source)
    assert (first.line, first.name) == (right_line(source), "trial.seed")


def test_an_iterator_of_an_object_is_followed_that_a_comprehension_makes(runs: Runs):
    source = HEAD + textwrap.dedent("""
        class Sampler:
            def __init__(self, n):
                self.n, self.tag = n, noise()
                self.rng = random.Random(os.urandom(4))  # here

            def __iter__(self):
                order = list(range(self.n))
                self.rng.shuffle(order)
                yield from order

        def run():
            order = [i for i in Sampler(10)]
            return {"order": order}
    """)
    assert runs.first(source).line == right_line(source)
