"""Axis(["cpu", ...], auto=True), where a float64 run decides which differences rounding explains.

``cpu:1`` stands for a second device that adds a known error.
"""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

HEAD = """
    import itertools

    import numpy as np
    import pytest
    from pytest_repro import Axis, Tolerance

    RNG = np.random.default_rng(0)
    A, B = (RNG.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    BOTH = ["cpu", "cpu:1"]

    def product(repro, fault=0.0):
        a, b = repro.place(A, B)
        if repro.device == "cpu":
            return a @ b
        order = np.random.default_rng(1).permutation(64)   # the second device sums in another order
        return (a[:, order] @ b[order]) * a.dtype.type(1 + fault)
"""


def test_a_difference_by_rounding_passes_and_a_small_fault_does_not(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_other_order(repro):
        return {"product": product(repro), "argmax": int(product(repro).argmax())}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_fault(repro):
        return {"product": product(repro, 1e-5)}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_the_same_bits(repro):
        return repro.place(A) @ repro.place(B)

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_an_integer_that_differs(repro):
        return {"product": product(repro), "argmax": int(repro.device == "cpu")}
    """
    )
    assert session.verdicts == {
        "test_other_order": "within_tolerance",
        "test_fault": "diverged",
        "test_the_same_bits": "identical",
        "test_an_integer_that_differs": "diverged",
    }, session.text
    good, bad = session.test("test_other_order"), session.test("test_fault")
    assert [run["condition"] for run in good["runs"]] == [{}, {"float64 reference": "float64"}, {"device": "cpu:1"}]
    assert 0.2 < good["largest_tolerated"]["error_ratio"] < 5 < 50 < bad["divergences"][0]["error_ratio"]
    assert "device=cpu:1: product: error " in good["notes"][0]
    assert "x the baseline's, allowed 5 x; RMSE against the float64 reference" in good["notes"][0]
    assert good["matrix"] == {"device": "within_tolerance"}
    assert bad["matrix"] == {"device": "diverged"}
    assert [cause["code"] for cause in bad["diagnosis"]["causes"]] == ["device.kernels"]


def test_without_a_float64_reference_only_equal_bits_pass(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    def unplaced(repro):
        return A @ B + (np.float32(1e-6) if repro.device != "cpu" else 0)

    auto = pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})

    @auto
    def test_ignores_float64(repro):
        return {"product": unplaced(repro)}

    @auto
    def test_ignores_float64_in_a_python_float(repro):
        return float(unplaced(repro).sum())

    @auto
    def test_widens_after_rounding(repro):
        return unplaced(repro).astype(np.float64 if repro.is_reference else np.float32)

    @auto
    def test_computes_in_float64_anyway(repro):
        return {"product": unplaced(repro).astype(np.float64)}

    @auto
    def test_returns_another_shape(repro):
        return unplaced(repro)[: 3 if repro.is_reference else 4]

    @auto
    def test_fails_in_float64(repro):
        assert not repro.is_reference, "expected Float but found Double"
        return unplaced(repro)

    @auto
    def test_ignores_float64_but_is_identical(repro):
        return {"product": A @ B}

    @auto
    def test_lacks_an_artifact_of_the_other_device(repro):
        return {"product": A @ B} | ({"more": 1} if repro.device != "cpu" else {})

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True, atol=1e-5)})
    def test_falls_back_to_given_bounds(repro):
        return unplaced(repro)

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True, tolerance=Tolerance.per_dtype())})
    def test_falls_back_to_bounds_per_dtype(repro):
        return {"product": unplaced(repro), "label": 3}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True, tolerance=Tolerance.per_dtype())})
    def test_falls_back_to_bounds_per_dtype_where_integers_have_none(repro):
        return {"product": unplaced(repro), "label": int(repro.device == "cpu")}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True, atol=1e-8)})
    def test_falls_back_to_narrow_bounds(repro):
        return unplaced(repro)
    """
    )
    unjudged = [name for name, verdict in session.verdicts.items() if verdict == "inconclusive"]
    assert unjudged == [
        "test_ignores_float64",
        "test_ignores_float64_in_a_python_float",
        "test_widens_after_rounding",
        "test_computes_in_float64_anyway",
        "test_returns_another_shape",
        "test_fails_in_float64",
    ], session.text
    assert {name: v for name, v in session.verdicts.items() if name not in unjudged} == {
        "test_ignores_float64_but_is_identical": "identical",
        "test_lacks_an_artifact_of_the_other_device": "diverged",
        "test_falls_back_to_given_bounds": "within_tolerance",
        "test_falls_back_to_bounds_per_dtype": "within_tolerance",
        "test_falls_back_to_bounds_per_dtype_where_integers_have_none": "diverged",
        "test_falls_back_to_narrow_bounds": "diverged",
    }
    by_dtype = session.test("test_falls_back_to_bounds_per_dtype")
    assert by_dtype["largest_tolerated"]["allowed"] == "float32's default: rtol=1.3e-06, atol=1e-05"
    assert "judged by the bounds given, per dtype: float64 rtol=1e-07, atol=1e-07; float32" in by_dtype["notes"][0]
    reasons = {name: session.test(name)["reason"] for name in unjudged}
    assert "is float32 in the reference run too" in reasons["test_ignores_float64"]
    assert "produced the same numbers as run 1" in reasons["test_widens_after_rounding"]
    assert "in float64; a reference would have to be more precise" in reasons["test_computes_in_float64_anyway"]
    assert "expected Float but found Double" in reasons["test_fails_in_float64"]
    assert session.test("test_returns_another_shape")["matrix"] == {"device": "not_judged"}
    assert "judged by the bounds given, atol=1e-05" in session.test("test_falls_back_to_given_bounds")["notes"][0]
    assert session.outcomes == {"failed": 9, "passed": 3}


def test_a_training_is_compared_only_while_its_own_noise_is_small(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    def train(repro, fault_at=None, steps=60):
        # A chaotic map: an error grows by 2 to 4 times a step, so float32 has left the exact path by step 25.
        x = repro.place(np.full(32, 0.3, np.float32) + np.linspace(0, 0.1, 32, dtype=np.float32))
        for i in range(steps):
            x = 4 * x * (1 - x) if repro.device == "cpu" else 4 * x - 4 * x * x
            if repro.device != "cpu" and i == fault_at:
                x = x * x.dtype.type(1.001)
            repro.step(i, x=x)
        return x

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True, tolerance={"metrics/*": Tolerance(atol=0.2)})})
    def test_first_steps_and_metrics(repro):
        return {"metrics": {"mean": float(train(repro).mean())}}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True, tolerance={"metrics/*": Tolerance(atol=0.2)})})
    def test_fault_at_step_2(repro):
        return {"metrics": {"mean": float(train(repro, fault_at=2).mean())}}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_end_without_a_bound(repro):
        return {"end": train(repro)}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_short(repro):
        return {"end": train(repro, steps=5)}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_noise_from_the_first_step_on(repro):
        x = repro.place(np.float32([1e4, 1.0]))
        repro.step(0, x=np.sin(x * x * x) + x.dtype.type(repro.device != "cpu"))
        return {"count": 3}   # equal, but too little to pass
    """
    )
    assert session.verdicts == {
        "test_first_steps_and_metrics": "within_tolerance",
        "test_fault_at_step_2": "diverged",
        "test_end_without_a_bound": "inconclusive",
        "test_short": "within_tolerance",
        "test_noise_from_the_first_step_on": "inconclusive",
    }, session.text
    note = session.test("test_first_steps_and_metrics")["notes"][0]
    assert "steps are compared numerically before step 16" in note
    assert "later steps are not compared" in note
    assert session.test("test_fault_at_step_2")["divergences"][-1]["artifact"].startswith("step/")
    assert "of end" in session.test("test_end_without_a_bound")["reason"]
    assert "up to the last step, 4" in session.test("test_short")["notes"][0]


def test_a_device_that_differs_from_itself_is_reported_as_nondeterministic(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    noise = np.random.default_rng()

    def atomics(repro, size):
        return product(repro) + (np.float32(size) * noise.standard_normal((64, 64), np.float32)
                                 if repro.device != "cpu" else 0)

    @pytest.mark.reproducible(across={"device": BOTH})
    def test_bit_for_bit(repro):
        return atomics(repro, 1e-3)

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_beyond_rounding(repro):
        return atomics(repro, 1e-3)

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_within_rounding(repro):
        return atomics(repro, 1e-7)

    @pytest.mark.reproducible(across={"device": BOTH})
    def test_another_device_that_repeats_itself(repro):
        return product(repro, 1e-3)
    """
    )
    assert session.verdicts == {
        "test_bit_for_bit": "diverged",
        "test_beyond_rounding": "diverged",
        "test_within_rounding": "within_tolerance",
        "test_another_device_that_repeats_itself": "diverged",
    }, session.text
    for name in ("test_bit_for_bit", "test_beyond_rounding"):
        test = session.test(name)
        assert test["matrix"] == {"device": "unstable"}, session.text
        assert [cause["code"] for cause in test["diagnosis"]["causes"]] == ["device.nondeterminism"]
        assert all(divergence["axis"] is None for divergence in test["divergences"])
        assert test["runs"][-1]["condition"] == {"device": "cpu:1"}
    assert "cpu:1 differs from itself" in session.text
    other = session.test("test_another_device_that_repeats_itself")
    assert [cause["code"] for cause in other["diagnosis"]["causes"]] == ["device.kernels"]
    assert [run["condition"] for run in other["runs"]] == [{}, {"device": "cpu:1"}, {}, {"device": "cpu:1"}]


def test_isolated_runs_are_judged_the_same_way(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_other_order(repro):
        return {"product": product(repro)}

    @pytest.mark.reproducible(across={"device": Axis(BOTH, auto=True)})
    def test_fails_in_float64(repro):
        assert not repro.is_reference
        return product(repro)

    @pytest.mark.reproducible(across={"device": BOTH})
    def test_differs_from_itself(repro):
        return np.random.default_rng().random() * (repro.device != "cpu")
    """,
        "--repro-isolate",
        apart=True,
    )
    assert session.verdicts == {
        "test_other_order": "within_tolerance",
        "test_fails_in_float64": "inconclusive",
        "test_differs_from_itself": "diverged",
    }, session.text
    unstable = session.test("test_differs_from_itself")
    assert unstable["matrix"] == {"device": "unstable"}
    assert [cause["code"] for cause in unstable["diagnosis"]["causes"]] == ["device.nondeterminism"]


@pytest.mark.needs("torch")
def test_torch_models_are_widened_from_their_float32_weights(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest
        import torch
        from pytest_repro import Axis

        @pytest.mark.parametrize("fault", [0.0, 1e-4])
        @pytest.mark.reproducible(across={"device": Axis(["cpu", "cpu:1"], auto=True)})
        def test_training(repro, fault):
            layers = torch.nn
            model = layers.Sequential(layers.Linear(8, 16), layers.Tanh(), layers.Linear(16, 1))
            x = torch.randn(32, 8)
            model, x = repro.place(model, x)
            y = x.sum(1, keepdim=True).tanh()
            optimizer = torch.optim.SGD(model.parameters(), 0.1 * (1 + fault * (repro.device == "cpu:1")))
            for i in range(5):
                optimizer.zero_grad()
                rows = torch.randperm(32) if repro.device == "cpu:1" else slice(None)
                loss = (model(x[rows]) - y[rows]).square().mean()
                loss.backward()
                optimizer.step()
                repro.step(i, loss=loss)
            return {"weights": model}
        """,
        apart=True,
    )
    assert session.verdicts == {"test_training[0.0]": "within_tolerance", "test_training[0.0001]": "diverged"}, (
        session.text
    )


def test_a_type_that_cannot_be_placed_is_rejected_by_name(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible
        def test_it(repro):
            assert repro.place([1, None]) == [1, None]
            return repro.place(object())
        """
    )
    assert session.verdicts == {"test_it": "error"}
    assert "repro.place: a object cannot be placed" in session.text


@pytest.mark.parametrize("auto", ["1", "None"])
def test_auto_is_true_or_false(sessions: Sessions, auto: str) -> None:
    session = sessions.run(f"from pytest_repro import Axis\nAxis(['cpu', 'cuda'], auto={auto})")
    assert "auto must be True or False" in session.text
