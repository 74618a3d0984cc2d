"""Adversarial tests: differences between runs that could go unseen, none of which may end as identical."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

HIDDEN = """
    import collections
    import itertools
    import math
    import random
    import struct
    import threading

    import numpy as np
    import pytest
    from pytest_repro import Tolerance

    c = collections.defaultdict(itertools.count)
    pytestmark = pytest.mark.reproducible

    def run_of(name):
        return next(c[name])

    def test_returned_array_is_changed_after_it_was_returned(request):
        x = np.zeros(3) + run_of("a")
        request.addfinalizer(lambda: x.fill(0))
        return x

    shared = np.zeros(3)

    def test_one_array_is_returned_by_all_runs():
        shared[:] = run_of("b")
        return shared

    def test_a_view_of_shared_memory(repro):
        shared[:] = run_of("c")
        repro.capture("view", shared[::2])
        shared[:] = 0

    def test_a_list_that_is_emptied_afterwards(repro, request):
        values = [run_of("d")]
        repro.capture("values", values)
        values.clear()

    def test_a_signed_zero():
        return -0.0 if run_of("e") else 0.0

    def test_a_nan_of_another_payload():
        bits = 0x7FF8000000000001 if run_of("f") else 0x7FF8000000000000
        return np.array([bits], np.uint64).view(np.float64)

    def test_a_subnormal():
        return np.float32(1e-40 if run_of("g") else 2e-40)

    def test_one_element_of_a_million():
        x = np.zeros(1_000_000, np.float32)
        x[999_999] = run_of("h") * 1e-45
        return x

    def test_order_of_a_list():
        return [1, 2] if run_of("i") else [2, 1]

    def test_a_value_under_a_key():
        return {"x": run_of("j"), "y": 1}

    def test_an_integer_beyond_floats():
        return 2**60 + run_of("k")

    def test_true_instead_of_one():
        return True if run_of("l") else 1

    def test_a_float_instead_of_an_integer():
        return 1.0 if run_of("m") else 1

    def test_a_trailing_blank():
        return "a " if run_of("n") else "a"

    def test_only_the_last_run_differs(repro):
        return run_of("o") // 4

    def test_a_swallowed_failure():
        try:
            if run_of("p"):
                raise OSError
            result = 1
        except OSError:
            result = None
        return {"result": result}

    def test_returns_nothing_later():
        if not run_of("q"):
            return {"x": 1}

    def test_returns_something_only_later():
        if run_of("r"):
            return {"x": 1}

    def test_captures_one_more_later(repro):
        repro.capture("x", 1)
        if run_of("s"):
            repro.capture("y", 1)

    def test_empty_only_later():
        return {"x": 1, "kept": [] if run_of("t") else [1]}

    def test_an_empty_container_only_later():
        return {"x": 1} | ({"kept": {}} if run_of("u") else {})

    def test_dtype_of_an_empty_array():
        return {"x": 1, "empty": np.empty(0, np.float32 if run_of("v") else np.float64)}

    def test_shape_of_an_empty_array():
        return {"x": 1, "empty": np.empty((0, 2 + run_of("w")))}

    def test_captured_in_a_thread(repro):
        number = run_of("x")
        thread = threading.Thread(target=lambda: repro.capture("x", number))
        thread.start()
        thread.join()

    @pytest.fixture
    def captured_in_setup(repro):
        repro.capture("x", run_of("y"))

    def test_captured_by_a_fixture(captured_in_setup):
        pass

    @pytest.mark.reproducible(tolerance={"loss": Tolerance(atol=10.0)})
    def test_next_to_a_tolerance_for_another_artifact():
        n = run_of("z")
        return {"loss": float(n), "weights": float(n)}

    @pytest.mark.reproducible(rtol=0.5)
    def test_nan_within_a_tolerance():
        return [1.0, math.nan if run_of("aa") else 1.0]

    @pytest.mark.reproducible(rtol=0.5, atol=10.0)
    def test_infinity_within_a_tolerance():
        return [1.0, math.inf if run_of("ab") else 1.0]

    def test_unseeded_generator():
        return random.SystemRandom().random(), np.random.default_rng().random()

    class Average:
        shadow = {}

    def test_state_that_is_kept_on_a_class():
        Average.shadow = {"w": np.full(2, run_of("ae"))}
        return Average(), 1

    def test_a_class_that_the_run_makes():
        factor = run_of("af")
        class Model:
            def predict(self):
                return factor
        return Model(), 1

    def test_an_ordered_dict():
        pairs = [("a", 1), ("b", 2)]
        return collections.OrderedDict(pairs[::-1] if run_of("ag") else pairs)

    def test_an_event():
        event = threading.Event()
        if run_of("ah"):
            event.set()
        return [event, 1]

    def test_memory_address():
        return id([object() for _ in range(run_of("ac") + 1)][-1]) if run_of("ad") else 0
"""


def test_no_hidden_difference_passes(sessions: Sessions) -> None:
    session = sessions.run(HIDDEN, "--repro-runs=5")
    wrong = {name: verdict for name, verdict in session.verdicts.items() if verdict not in ("diverged",)}
    assert wrong == {}, session.text
    assert len(session.verdicts) == HIDDEN.count("    def test_")
    assert set(session.outcomes) == {"failed"}


def test_a_rejected_capture_that_the_test_swallows_does_not_pass(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible
        def test_swallows_the_refusal(repro):
            try:
                repro.capture("model", object())
            except Exception:
                pass

        @pytest.mark.reproducible
        def test_swallows_everything(repro):
            try:
                repro.capture("x", 1)
                repro.capture("x", 2)
            except BaseException:
                pass
        """
    )
    assert session.verdicts["test_swallows_the_refusal"] == "inconclusive"


def test_a_value_cached_in_the_process_differs_only_between_fresh_processes(sessions: Sessions) -> None:
    source = """
        import functools
        import os

        import pytest

        @functools.lru_cache
        def train():
            return int.from_bytes(os.urandom(7), "big")

        @pytest.fixture(scope="module")
        def trained():
            return int.from_bytes(os.urandom(7), "big")

        @pytest.mark.reproducible
        def test_cached():
            return train()

        @pytest.mark.reproducible
        def test_of_the_module(trained):
            return trained
    """
    here = sessions.run(source)
    # A correct verdict: it is about runs in one process, and these were identical.
    assert set(here.verdicts.values()) == {"identical"}
    apart = sessions.run(source, "--repro-isolate", apart=True)
    assert set(apart.verdicts.values()) == {"diverged"}, apart.text


def test_a_plugin_that_wraps_the_item_takes_part_in_every_run(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(runs=3)
        def test_it(request):
            return getattr(request.config, "wrapped", 0) > 0

        def test_wrapped_three_times(request):
            assert request.config.wrapped == 3 + 1
        """,
        conftest="""
        def pytest_collection_modifyitems(items):
            for item in items:
                def runtest(original=item.runtest, config=item.config):
                    config.wrapped = getattr(config, "wrapped", 0) + 1
                    original()
                item.runtest = runtest
        """,
    )
    assert session.outcomes == {"passed": 2}, session.text
    assert session.verdicts == {"test_it": "identical"}


TORCH = """
    import itertools
    import pytest
    import torch

    calls = itertools.count()
    model = torch.nn.Linear(2, 2)

    @pytest.mark.reproducible
    def test_one_model_is_trained_on():
        with torch.no_grad():
            model.weight += 1
        return model

    @pytest.mark.reproducible
    def test_parameters_change_after_the_capture(repro):
        layer = torch.nn.Linear(2, 2)
        with torch.no_grad():
            layer.weight.fill_(next(calls))
        repro.capture("layer", layer)
        with torch.no_grad():
            layer.weight.zero_()

    @pytest.mark.reproducible
    def test_gradients():
        layer = torch.nn.Linear(2, 2)
        layer.weight.grad = torch.full((2, 2), float(next(calls)))
        return layer

    @pytest.mark.reproducible
    def test_of_numpy_memory(repro):
        import numpy as np
        x = np.full(3, next(calls), np.float32)
        repro.capture("x", torch.from_numpy(x))
        x[:] = 0
"""


@pytest.mark.needs("torch")
def test_values_of_torch_are_copied_when_they_are_captured(sessions: Sessions) -> None:
    session = sessions.run(TORCH, apart=True)
    assert set(session.verdicts.values()) == {"diverged"}, session.text
    assert len(session.verdicts) == 4
