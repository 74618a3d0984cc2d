from __future__ import annotations

import copy
import os
import sys
from types import ModuleType

import pytest

from pytest_repro.sources import module_state
from pytest_repro.sources.module_state import ModuleState
from pytest_repro.tracing.user_code import is_user_file

SOURCE = """
import functools, itertools, random
import numpy as np
TABLE = {}
DATA = np.arange(5.0)
BUFFER = np.zeros(4)
RNG = np.random.default_rng(0)
PYTHON_RNG = random.Random(0)
COUNT = itertools.count()
ROWS = [1, 2, 3]
STEPS = iter([1, 2, 3])

def stream(start, *, by=2):
    while True:
        yield start
        start += by

STREAM = stream(5, by=3)

class Loader:
    def __init__(self):
        self.first, self.batches = 2, self.draw(1)

    def draw(self, by):
        while True:
            self.first += sum(by for _ in range(1))  # a cell, up to Python 3.11
            yield self.first

LOADER = Loader()

def keep(item, kept=[]):
    kept.append(item)
    return kept

@functools.lru_cache
def cached(n):
    return n

class Model:
    seen = []

class Augment:
    def __init__(self):
        self.rng, self.scale = np.random.default_rng(1), 2.0

class Corpus:
    def __init__(self):
        self.images, self.epoch = np.arange(3.0), 0

class Scaler:
    mean_ = None
    def fit(self, rows):
        self.mean_ = rows.mean()
    def get_params(self):
        return {}

class Pipeline:
    def __init__(self):
        self.augment = Augment()

AUGMENT, CORPUS, BOTH, SCALER, PIPELINE = Augment(), Corpus(), Corpus(), Scaler(), Pipeline()
WEIGHTS = np.arange(3.0)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    path = tmp_path / "leaky_module.py"
    path.write_text(SOURCE, encoding="utf-8")
    found = ModuleType("leaky_module")
    found.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "leaky_module", found)
    # As in a project of its own: a session of all tests imports modules with more places than are recorded.
    monkeypatch.setattr(module_state, "is_user_file", lambda file: file == str(path) and is_user_file(file))
    exec(compile(SOURCE, str(path), "exec"), vars(found))
    return found


LEAKS = {
    "leaky_module.TABLE": ("module_global", lambda m: m.TABLE.update(w=1)),
    "leaky_module.DATA": ("mutated_data", lambda m: m.DATA.__isub__(1.0)),
    "leaky_module.BUFFER": ("stale_buffer", lambda m: m.BUFFER.__setitem__(0, 1.0)),
    "leaky_module.RNG": ("rng_object", lambda m: m.RNG.random()),
    "leaky_module.PYTHON_RNG": ("rng_object", lambda m: m.PYTHON_RNG.random()),
    "leaky_module.COUNT": ("module_global", lambda m: next(m.COUNT)),
    "leaky_module.ROWS": ("mutated_data", lambda m: m.ROWS.append(4)),
    "leaky_module.STEPS": ("iterator", lambda m: next(m.STEPS)),
    "leaky_module.STREAM": ("iterator", lambda m: next(m.STREAM)),
    "leaky_module.keep()": ("mutable_default", lambda m: m.keep(1)),
    "leaky_module.cached": ("cache", lambda m: m.cached(1)),
    "leaky_module.AUGMENT": ("rng_object", lambda m: m.AUGMENT.rng.random()),
    "leaky_module.PIPELINE": ("rng_object", lambda m: m.PIPELINE.augment.rng.random()),
    "leaky_module.CORPUS": ("mutated_data", lambda m: m.CORPUS.images.__imul__(2.0)),
    "leaky_module.BOTH": ("module_global", lambda m: (m.BOTH.images.__imul__(2.0), setattr(m.BOTH, "epoch", 1))),
    "leaky_module.SCALER": ("buffers", lambda m: m.SCALER.fit(m.DATA)),
    "leaky_module.WEIGHTS": ("module_global", lambda m: setattr(m, "WEIGHTS", m.WEIGHTS + 1)),
    "leaky_module.Model.seen": ("mutated_data", lambda m: m.Model.seen.append(1)),
}


@pytest.mark.parametrize("name", sorted(LEAKS.keys() - {"leaky_module.Model.seen"}))
def test_leaked_state_is_named_with_its_kind_and_can_be_restored(module, name):
    kind, leak = LEAKS[name]
    state = ModuleState()
    leak(module)
    found = {entry["name"]: entry["kind"] for entry in state.changed() if str(entry["name"]).startswith("leaky_module")}
    assert found == {name: kind}
    state.restore([name])
    assert not [entry for entry in state.changed() if str(entry["name"]).startswith("leaky_module")]


def test_unchanged_state_is_not_reported(module):
    state = ModuleState()
    assert not [entry for entry in state.changed() if str(entry["name"]).startswith("leaky_module")]


def test_a_place_beyond_the_bound_is_neither_taken_for_new_nor_removed(module, monkeypatch):
    monkeypatch.setattr(module_state, "MAX_ENTRIES", 0)
    state = ModuleState()
    module.ROWS.append(4)
    assert not [entry for entry in state.changed() if str(entry["name"]).startswith("leaky_module")]
    state.restore(["leaky_module.ROWS"])
    assert module.ROWS == [1, 2, 3, 4]


def test_a_place_that_is_new_is_found_and_removed_where_others_are_beyond_the_bound(module, monkeypatch):
    count = len(list(module_state._entries()))
    monkeypatch.setattr(module_state, "MAX_ENTRIES", count - 1)
    state = ModuleState()
    module.ADDED = [1]
    found = [entry["name"] for entry in state.changed() if str(entry["name"]).startswith("leaky_module")]
    assert found == ["leaky_module.ADDED"]
    state.restore(["leaky_module.ADDED"])
    assert not hasattr(module, "ADDED")


def test_an_environment_variable_that_was_set_is_reported_and_removed(monkeypatch):
    monkeypatch.delenv("A_LEAKED_VARIABLE", raising=False)
    state = ModuleState()
    os.environ["A_LEAKED_VARIABLE"] = "1"
    (entry,) = [entry for entry in state.changed() if "A_LEAKED_VARIABLE" in str(entry["name"])]
    assert entry["kind"] == "environ"
    state.restore([str(entry["name"])])
    assert "A_LEAKED_VARIABLE" not in os.environ


def test_a_generator_is_made_again_from_its_arguments_and_not_where_it_has_begun(module):
    before = ModuleState()
    assert [next(module.STREAM), next(module.STREAM)] == [5, 8]
    before.restore(["leaky_module.STREAM"])
    assert [next(module.STREAM), next(module.STREAM)] == [5, 8]
    begun = ModuleState()
    next(module.STREAM)
    begun.restore(["leaky_module.STREAM"])
    assert next(module.STREAM) == 14  # it has no copy to restore


def test_a_generator_in_an_object_is_made_again_and_is_of_the_new_object(module):
    before = ModuleState()
    loader = module.LOADER
    assert [next(loader.batches), next(loader.batches), loader.first] == [3, 4, 4]
    before.restore(["leaky_module.LOADER"])
    assert module.LOADER is not loader
    assert [next(module.LOADER.batches), module.LOADER.first] == [3, 3]
    assert loader.first == 4


def test_generators_are_copied_here_alone(module):
    ModuleState()
    with pytest.raises(TypeError):
        copy.deepcopy(module.STREAM)
