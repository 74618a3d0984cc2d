"""Equivalences as axes, as in across={"resume": assert_resume_equivalent}, on a fault and on its repaired twin."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

IN_THIS_PROCESS = """
    import json
    from functools import partial

    import numpy as np
    import pytest
    from pytest_repro import (
        assert_accumulation_equivalent,
        assert_batch_invariant,
        assert_order_invariant,
        assert_resume_equivalent,
        assert_roundtrip,
        assert_thread_invariant,
        assert_workers_equivalent,
    )
    from pytest_repro.axes import find_axis

    X = np.random.default_rng(0).standard_normal((12, 4))
    is_repaired = pytest.mark.parametrize("is_repaired", [False, True], ids=["fault", "repaired"])

    class Walk:
        def __init__(self, is_repaired):
            self.is_repaired, self.weights, self.momentum = is_repaired, np.zeros(2), np.zeros(2)

        def step(self, i):
            self.momentum = 0.5 * self.momentum + i
            self.weights = self.weights - self.momentum

        def save(self, path):
            path.write_text(json.dumps([self.weights.tolist(), self.momentum.tolist()]))

        def load(self, path):
            weights, momentum = map(np.array, json.loads(path.read_text()))
            self.weights = weights
            if self.is_repaired:
                self.momentum = momentum

    @is_repaired
    @pytest.mark.reproducible(across={"resume": partial(assert_resume_equivalent, steps=4, process="same")})
    def test_resume(resume, is_repaired):
        resume(partial(Walk, is_repaired))

    @is_repaired
    @pytest.mark.reproducible(across={"batch": partial(assert_batch_invariant, batch_sizes=[1, 4])})
    def test_batch(batch, is_repaired):
        batch((lambda b: b * 2) if is_repaired else (lambda b: b - b.mean(axis=0)), X)

    @is_repaired
    @pytest.mark.reproducible(across={"order": assert_order_invariant})
    def test_order(order, is_repaired):
        order(np.max if is_repaired else (lambda x: x[0]), X)

    @is_repaired
    @pytest.mark.reproducible(across={"accumulate": partial(assert_accumulation_equivalent, norm=1e-13)})
    def test_accumulate(accumulate, is_repaired):
        accumulate(lambda parts: sum(p.sum() for p in parts) / (1 if is_repaired else len(parts[0])), X)

    @is_repaired
    @pytest.mark.reproducible(across={"num_workers": assert_workers_equivalent})
    def test_num_workers(num_workers, is_repaired):
        num_workers(lambda workers: [X if is_repaired else X + workers])

    @is_repaired
    @pytest.mark.reproducible(
        across={"thread_count": partial(assert_thread_invariant, threads=[1, 2], repeats=1, process="same")}
    )
    def test_thread_count(thread_count, is_repaired):
        count = lambda: max(find_axis("threads").verify(None).observed.values())
        thread_count(lambda: 1.0 if is_repaired else float(count()))

    @is_repaired
    @pytest.mark.reproducible(across={"roundtrip": assert_roundtrip})
    def test_roundtrip(roundtrip, is_repaired):
        digits = 17 if is_repaired else 6
        roundtrip(
            {"x": X[0]},
            save=lambda value, path: path.write_text(" ".join(f"{x:.{digits}g}" for x in value["x"])),
            load=lambda path: {"x": np.array(path.read_text().split(), float)},
        )
"""
CAUSES = {
    "resume": "resume.momentum",
    "batch": "batch.statistics",
    "order": "order.dependence",
    "accumulate": "accumulation.scale",
    "num_workers": "workers.augmentation",
    "thread_count": "threads.amplified",
    "roundtrip": "roundtrip.values",
}


def test_each_equivalence_names_the_cause_of_a_fault_and_passes_its_twin(sessions: Sessions) -> None:
    session = sessions.run(IN_THIS_PROCESS)
    for axis, cause in CAUSES.items():
        fault, twin = session.test(f"test_{axis}[fault]"), session.test(f"test_{axis}[repaired]")
        assert (fault["verdict"], fault["matrix"]) == ("diverged", {axis: "diverged"}), session.text
        assert [(c["code"], c["axis"]) for c in fault["diagnosis"]["causes"]] == [(cause, axis)]
        assert [d["axis"] for d in fault["divergences"]] == [axis] * len(fault["divergences"]) != []
        assert fault["equivalences"][0]["first"] in fault["equivalences"][0]["message"] != ""
        assert twin["verdict"] in ("identical", "within_tolerance"), session.text
        assert twin["matrix"] == {axis: twin["verdict"]}
        assert twin["compared"]["elements"] > 0
    assert session.outcomes == {"passed": 7, "failed": 7}
    assert "  first     step 2: weights" in session.text
    assert ["test_it.py::test_resume[fault]", "DIFFERS"] in [line.split()[:2] for line in session.text.splitlines()]
    assert "could still be missed" not in session.text  # nothing was repeated


@pytest.mark.needs("torch")
def test_compiling_and_world_sizes_are_axes_too(sessions: Sessions) -> None:
    session = sessions.run(
        """
        from functools import partial

        import pytest
        import torch
        import torch.distributed as dist
        from pytest_repro import assert_compile_equivalent, assert_world_size_invariant

        def reduce(rank, is_repaired):
            value = torch.ones(3) * 2
            dist.all_reduce(value, op=dist.ReduceOp.SUM)
            return value / (dist.get_world_size() if is_repaired else 1)

        class Graph(torch.nn.Module):
            def __init__(self, is_repaired):
                super().__init__()
                self.is_repaired = is_repaired

            def forward(self, x):
                return x + 1 if torch.compiler.is_exporting() and not self.is_repaired else x

        is_repaired = pytest.mark.parametrize("is_repaired", [False, True], ids=["fault", "repaired"])

        @is_repaired
        @pytest.mark.reproducible(across={"compile": partial(assert_compile_equivalent, backends="torch.export")})
        def test_compile(compile, is_repaired):
            compile(Graph(is_repaired), torch.ones(3))

        @is_repaired
        @pytest.mark.reproducible(across={"world_size": assert_world_size_invariant})
        def test_world_size(world_size, is_repaired):
            world_size(partial(reduce, is_repaired=is_repaired))
        """,
        apart=True,
    )
    assert session.verdicts == {
        "test_compile[fault]": "diverged",
        "test_compile[repaired]": "identical",
        "test_world_size[fault]": "diverged",
        "test_world_size[repaired]": "identical",
    }, session.text
    causes = {
        name: session.test(f"{name}[fault]")["diagnosis"]["causes"] for name in ("test_compile", "test_world_size")
    }
    assert [cause["code"] for cause in causes["test_compile"]] == ["compile.semantics"]
    assert [cause["code"] for cause in causes["test_world_size"]] == ["world_size.scale"]


SILENCES = """
    import itertools

    import numpy as np
    import pytest
    from pytest_repro import assert_batch_invariant, assert_order_invariant

    X = np.arange(12.0).reshape(6, 2)
    centred = lambda b: b - b.mean(axis=0)

    @pytest.mark.reproducible(across={"batch": assert_batch_invariant}, runs=2)
    def test_never_calls_it(batch):
        return 1.0

    @pytest.mark.reproducible(across={"batch": assert_batch_invariant})
    def test_calls_it_with_a_sound_and_a_faulty_function(batch):
        batch(lambda b: b, X)
        batch(centred, X)

    @pytest.mark.reproducible(across={"batch": assert_batch_invariant})
    def test_swallows_the_error(batch):
        try:
            assert batch(centred, X)
        except AssertionError:
            pass

    @pytest.mark.reproducible(across={"batch": assert_batch_invariant})
    def test_asserts_the_result(batch):
        assert batch(centred, X)

    @pytest.mark.reproducible(across={"order": assert_order_invariant})
    def test_never_repeats(order):
        calls = itertools.count()
        order(lambda x: float(next(calls)), X)

    @pytest.mark.reproducible(across={"order": assert_order_invariant})
    def test_returns_nothing(order):
        order(lambda x: {}, X)

    @pytest.mark.reproducible(across={"order": assert_order_invariant})
    def test_breaks(order):
        order(lambda x: 1 / 0, X)

    calls = itertools.count()

    @pytest.mark.reproducible(across={"order": assert_order_invariant}, runs=2)
    def test_differs_between_runs(order):
        order(lambda x: np.max(x), X)
        return next(calls)
"""


def test_a_test_that_varies_nothing_does_not_pass(sessions: Sessions) -> None:
    session = sessions.run(SILENCES)
    assert session.verdicts == {
        "test_never_calls_it": "inconclusive",
        "test_calls_it_with_a_sound_and_a_faulty_function": "diverged",
        "test_swallows_the_error": "diverged",
        "test_asserts_the_result": "diverged",
        "test_never_repeats": "inconclusive",
        "test_returns_nothing": "inconclusive",
        "test_breaks": "error",
        "test_differs_between_runs": "diverged",
    }, session.text
    assert session.outcomes == {"failed": 8}
    assert session.test("test_never_calls_it")["matrix"] == {"batch": "not_varied"}
    assert session.test("test_never_repeats")["matrix"] == {"order": "unstable"}
    assert session.test("test_returns_nothing")["matrix"] == {"order": "not_varied"}
    assert session.test("test_differs_between_runs")["matrix"] == {"order": "identical"}
    assert "never called its argument 'batch'" in session.text
    assert session.text.count("cause     batch.statistics") == 3


def test_an_assertion_can_be_combined_with_other_axes(sessions: Sessions) -> None:
    source = """
        import numpy as np
        import pytest
        from pytest_repro import assert_batch_invariant

        @pytest.mark.reproducible(across={"batch": assert_batch_invariant, "hash_seed": [0, 1]})
        def test_it(batch):
            batch(lambda b: b - b.mean(axis=0), np.arange(12.0).reshape(6, 2))
        """
    session = sessions.run(source, apart=True)
    assert session.test("test_it")["matrix"] == {"batch": "diverged", "hash_seed": "identical"}, session.text
    assert [c["code"] for c in session.test("test_it")["diagnosis"]["causes"]] == ["batch.statistics"]
    assert session.text.count("axis batch: assert_batch_invariant") == 2  # in the report, and in the summary of pytest
    here = sessions.run(source, "--repro-across=timezone")
    assert here.test("test_it")["matrix"] == {"batch": "diverged", "timezone": "identical"}, here.text


def test_an_assertion_gets_the_seed_of_the_run_unless_it_has_its_own(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import functools

        import numpy as np
        import pytest
        from pytest_repro import assert_order_invariant

        seen = []

        @pytest.mark.reproducible(
            across={"order": assert_order_invariant, "own": functools.partial(assert_order_invariant, seed=5)}, seed=7
        )
        def test_it(order, own):
            order(lambda x: seen.append(np.random.random()) or 1, [1, 2])
            own(lambda x: seen.append(np.random.random()) or 1, [1, 2])
            assert {*seen} == {np.random.RandomState(7).random_sample(), np.random.RandomState(5).random_sample()}
        """
    )
    assert session.verdicts == {"test_it": "identical"}, session.text


@pytest.mark.parametrize(
    ("across", "arguments", "message"),
    [
        ("{'batch': assert_batch_invariant}", "", "which the test does not take"),
        ("{'threads': assert_batch_invariant}", "threads", "'threads' cannot name an argument of the test here"),
        ("{'batch': print}", "batch", "give a list of values, or one of assert_accumulation_equivalent"),
    ],
)
def test_an_invalid_assertion_is_rejected_at_collection(
    sessions: Sessions, across: str, arguments: str, message: str
) -> None:
    session = sessions.run(
        f"""
        import pytest
        from pytest_repro import assert_batch_invariant

        @pytest.mark.reproducible(across={across})
        def test_it({arguments}):
            return 1
        """
    )
    assert session.outcomes == {"errors": 1}
    assert message in session.text


@pytest.mark.needs("hypothesis")
def test_given_and_an_assertion_as_an_axis_are_rejected_together(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest
        from hypothesis import given, strategies
        from pytest_repro import assert_batch_invariant

        @pytest.mark.reproducible(across={"batch": assert_batch_invariant})
        @given(x=strategies.integers())
        def test_it(x, batch):
            return x
        """,
        apart=True,
    )
    assert "across= cannot be used with @given yet" in session.text
