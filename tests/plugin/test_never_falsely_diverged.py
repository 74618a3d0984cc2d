"""Adversarial tests: sound tests whose runs differ in ways that must not count as a divergence."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

SOUND = """
    import collections
    import itertools
    import random
    import threading
    import weakref

    import numpy as np
    import pytest

    pytestmark = pytest.mark.reproducible(runs=3)
    first = []

    def test_imports_in_the_first_run_only():
        before = random.random()
        import colorsys
        import wave
        return before, random.random(), np.random.rand()

    def test_fills_a_cache_in_the_first_run_only():
        if not first:
            first.append(sorted(random.random() for _ in range(5)))
        np.random.seed(3)
        return np.random.rand()

    @pytest.fixture(scope="module")
    def draws():
        return [random.random() for _ in range(random.randrange(5, 9))], np.random.rand(7)

    def test_draws_after_a_wider_fixture_drew(draws):
        return random.random(), np.random.rand()

    @pytest.fixture(scope="session", autouse=True)
    def autouse():
        np.random.rand(3)

    @pytest.fixture
    def lazy(request):
        if random.random() < 2:
            return request.getfixturevalue("late")

    @pytest.fixture(scope="module")
    def late():
        return random.random()

    def test_requests_a_wider_fixture_late(lazy):
        return lazy, random.random()

    def test_requests_one_in_its_body(request):
        x = random.random()
        return x, request.getfixturevalue("late"), random.random()

    def test_another_hash_order_of_sets():
        return {"a", "b", "c"}, frozenset([1, 2, 3])

    def test_nan_is_itself():
        return float("nan"), np.array([np.nan, np.inf, -np.inf])

    def test_strides_are_not_values():
        x = np.arange(12.0).reshape(3, 4)
        first.append(1)
        return x.T if len(first) % 2 else np.ascontiguousarray(x.T)

    def test_order_of_keys():
        first.append(1)
        pairs = [("a", 1), ("b", 2)]
        return dict(pairs if len(first) % 2 else pairs[::-1])

    class Registered:
        instances = weakref.WeakSet()
        lock = threading.Lock()

        def __init__(self):
            self.instances.add(self)

    kept = []

    def test_a_class_that_registers_its_objects():
        kept.append(Registered())
        return Registered(), 1

    class Counted:
        calls = 0

        def __init__(self):
            Counted.calls += 1

    def test_a_class_that_counts_its_objects():
        return Counted(), 1

    def test_a_class_that_closes_over_fixtures(repro, monkeypatch, tmp_path_factory):
        class Model:
            def fit(self):
                return repro.seed, monkeypatch, tmp_path_factory
        return Model(), 1

    def test_restores_the_state_itself():
        state = random.getstate(), np.random.get_state()
        random.random(), np.random.rand()
        random.setstate(state[0]), np.random.set_state(state[1])
        return random.random(), np.random.rand()

    class TestClass:
        instances = weakref.WeakSet()

        def test_has_no_state_of_the_run_before(self):
            assert not hasattr(self, "kept")
            self.kept = 1
            return self.kept

    def test_a_threads_generator():
        found = []
        thread = threading.Thread(target=lambda: found.append(random.random()))
        thread.start()
        thread.join()
        return found

    def test_after_many_draws():
        np.random.rand(1000)
        return random.random()
"""


def test_no_sound_test_diverges(sessions: Sessions) -> None:
    session = sessions.run(SOUND)
    assert set(session.verdicts.values()) == {"identical"}, session.text
    assert len(session.verdicts) == SOUND.count("def test_")


@pytest.mark.needs("randomly")
def test_no_sound_test_diverges_in_another_order(sessions: Sessions) -> None:
    for seed in ("3", "4"):
        session = sessions.run(SOUND, f"--randomly-seed={seed}", plugins=("randomly",))
        assert set(session.verdicts.values()) == {"identical"}, session.text


def test_a_returned_path_is_compared_without_the_temporary_folder(sessions: Sessions) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_returns_its_folder(tmp_path):
            return {"folder": str(tmp_path), "weights": 1.0}

        @pytest.mark.reproducible
        def test_returns_its_contents(tmp_path):
            (tmp_path / "model.bin").write_bytes(b"123")
            return {p.name: p.read_bytes() for p in tmp_path.iterdir()}

        @pytest.mark.reproducible
        def test_returns_another_name_within_it(tmp_path, repro):
            return {"path": tmp_path / f"model-{repro.run}.bin"}
    """
    for options in ((), ("--repro-isolate",)):
        assert sessions.run(source, *options).verdicts == {
            "test_returns_its_folder": "identical",
            "test_returns_its_contents": "identical",
            "test_returns_another_name_within_it": "diverged",
        }


FRAMEWORKS = """
    import pytest

    pytestmark = pytest.mark.reproducible

    def test_a_loader_with_workers():
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        data = TensorDataset(torch.arange(12.0))
        return [batch[0] for batch in DataLoader(data, batch_size=4, shuffle=True)]

    def test_a_forest():
        import numpy as np
        from sklearn.ensemble import RandomForestClassifier
        x = np.random.rand(30, 3)
        return RandomForestClassifier(n_estimators=3).fit(x, x[:, 0] > 0.5)

    def test_dropout():
        import torch
        return torch.nn.Dropout(0.5)(torch.ones(20))

    def test_a_frame():
        import pandas as pd
        return pd.DataFrame({"x": range(5)}).sample(frac=1.0)
"""


@pytest.mark.needs("torch", "sklearn", "pandas")
def test_frameworks_that_the_first_run_imports_are_seeded_in_every_run(sessions: Sessions) -> None:
    session = sessions.run(FRAMEWORKS, apart=True)
    assert set(session.verdicts.values()) == {"identical"}, session.text


@pytest.mark.needs("hypothesis")
def test_hypothesis_database_of_an_earlier_session_changes_no_verdict(sessions: Sessions) -> None:
    source = """
        import itertools
        import pytest
        from hypothesis import given, strategies as st

        calls = itertools.count()

        @pytest.mark.reproducible
        @given(x=st.integers(0, 100))
        def test_it(x):
            return next(calls) if x > 50 and FAILS else x
    """
    first = sessions.run(source.replace("FAILS", "True"), plugins=("hypothesis",))
    assert first.verdicts == {"test_it": "diverged"}
    second = sessions.run(source.replace("FAILS", "False"), plugins=("hypothesis",))
    assert second.verdicts == {"test_it": "identical"}, second.text
