"""One bit anywhere in a tree of values is never passed over, and equal trees are identical."""

from __future__ import annotations

import os
import random
import zlib
from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree, digest
from pytest_repro.comparing import compare, compare_artifacts
from pytest_repro.errors import CaptureError
from pytest_repro.model import Artifacts, Verdict
from pytest_repro.undisturbed import undisturbed
from tests.properties.trees import LEAVES, Leaf, Tree

#: ``REPRO_TREES`` sets the number of trees, of which each of the parts makes a share.
TREES = int(os.environ.get("REPRO_TREES", "20000"))
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_no_bit_of_a_tree_is_passed_over(part: int) -> None:
    seeds = range(part, TREES, PARTS)
    captured = 0
    for seed in seeds:
        captured += check_tree(seed)
    assert captured > 0.9 * len(seeds), "too many trees were refused"


def test_no_bit_of_a_tree_of_frameworks_is_passed_over() -> None:
    leaves = [*framework_leaves(), *LEAVES[:3]]
    seeds = range(TREES // 10)
    assert sum(check_tree(seed, leaves) for seed in seeds) > 0.9 * len(seeds)


def framework_leaves() -> list[Leaf]:
    pandas = pytest.importorskip("pandas")
    sparse = pytest.importorskip("scipy.sparse")
    torch = pytest.importorskip("torch")
    base = pytest.importorskip("sklearn.base")
    pyarrow = pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    xarray = pytest.importorskip("xarray")
    image = pytest.importorskip("PIL.Image")

    class Estimator(base.BaseEstimator):  # type: ignore[misc, name-defined]
        def fit(self, weights: object) -> Estimator:
            self._tree = weights  # the name of an attribute that scikit-learn's own classes rebuild
            self.n_jobs = 1
            return self

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, weight: object, average: object) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(weight)
            self.average = average

    def numbers(rng: random.Random, bit: random.Random | None) -> np.ndarray[Any, Any]:
        made = np.frombuffer(rng.randbytes(24), "u1").copy()
        if bit is not None:
            made[bit.randrange(24)] ^= 1 << bit.randrange(8)
        return made

    def tensor(rng: random.Random, bit: random.Random | None) -> object:
        names = ["float32", "bfloat16", "int64", "float64", "uint8"]
        return torch.from_numpy(numbers(rng, bit)).view(getattr(torch, rng.choice(names)))

    def tables(rng: random.Random, bit: random.Random | None) -> object:
        values = numbers(rng, bit).view("i8")
        which = rng.randrange(5)
        if which == 0:
            return pandas.DataFrame({"x": values, "y": ["a", "b", "c"]})
        if which == 1:
            return pandas.Series([1.0, 2.0, 3.0], index=values)
        if which == 2:
            return pandas.Series(values).astype("category")
        if which == 3:
            return sparse.csr_matrix(values.reshape(1, 3) | 1 << 62)
        return pandas.Index(values)

    def arrow(rng: random.Random, bit: random.Random | None) -> object:
        values = numbers(rng, bit).view("i8")
        which = rng.randrange(6)
        if which == 0:
            return pyarrow.table({"x": values, "y": [["a"], None, []]})
        if which == 1:
            return pyarrow.chunked_array([values[:1], values[1:]])
        if which == 2:
            return polars.DataFrame({"x": values, "y": [{"z": 1.0}, None, {"z": 2.0}]})
        if which == 3:
            return polars.Series(values.tolist(), dtype=polars.Int64)
        if which == 4:
            return xarray.DataArray(values, dims=["t"], coords={"t": [1, 2, 3]})
        return image.frombytes("RGB", (4, 2), values.tobytes())

    def passing(rng: random.Random, bit: random.Random | None) -> object:
        """Make a model with what a checkpoint does not hold: its mode, a tie, a hook, or what an optimizer updates."""
        which, is_changed = rng.randrange(7), bit is not None
        layers = [torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)]
        net = torch.nn.Sequential(*layers)
        if which == 0:
            net.train(is_changed)
        elif which == 1:
            layers[1].train(is_changed)
        elif which == 2:
            return {"net": net, "step": torch.optim.SGD([layers[is_changed].weight], lr=0.1)}
        elif which == 3:
            layers[0].weight.register_hook(lambda grad: is_changed)
        elif which == 4:
            step = torch.optim.SGD(net.parameters(), lr=0.1)
            step.register_step_pre_hook(lambda *given: is_changed)
            return step
        elif which == 5:
            return torch.optim.swa_utils.AveragedModel(net, avg_fn=lambda *given: is_changed)
        elif is_changed:
            layers[1].weight = layers[0].weight
        return net

    def models(rng: random.Random, bit: random.Random | None) -> object:
        weights = numbers(rng, bit).view("f8")
        which = rng.randrange(5)
        if which == 0:
            return Estimator().fit(weights)
        if which == 1:
            return Module(torch.zeros(2), Estimator().fit(weights))
        if which == 2:
            return torch.nn.Sequential(Module(torch.from_numpy(weights), None))
        if which == 3:
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.1, momentum=0.9)
            optimizer.param_groups[0]["lr"] = float(weights[0])
            optimizer.param_groups[0]["more"] = weights
            return optimizer
        generator = torch.Generator()
        generator.manual_seed(zlib.crc32(numbers(rng, bit).tobytes()))
        return generator

    passing.has_surroundings = True  # type: ignore[attr-defined]
    return [tensor, tensor, tables, arrow, arrow, models, passing]


@undisturbed  # once for a tree, of whose time it would take a third if each call below did it for itself
def check_tree(seed: int, leaves: list[Leaf] = LEAVES) -> bool:
    """Check one tree, and return False if it is refused, which no change of it may turn into a verdict."""
    one, again = Tree(seed, leaves=leaves), Tree(seed, leaves=leaves)
    changed = Tree(seed, random.Random(seed).randrange(one.count), leaves)
    try:
        first = capture(one.value)
    except CaptureError:
        with pytest.raises(CaptureError):
            compare(again.value, one.value)
        return False
    left_out = [value for value in first.not_compared if value.is_state]
    second = capture(again.value)
    assert digest(first) == digest(second), seed
    expected = Verdict.INCONCLUSIVE if left_out else Verdict.IDENTICAL
    comparisons = [compare_artifacts(second, first)]
    if is_compared_live(seed):
        comparisons.append(compare(again.value, one.value))
    for same in comparisons:
        assert same.verdict is expected, (seed, same)
        assert len(same.not_compared) >= len(first.not_compared), seed
    try:
        third = capture(changed.value)
    except CaptureError:
        return True
    comparisons = [compare_artifacts(third, first)]
    if is_compared_live(seed) and not one.has_surroundings:
        comparisons.append(compare(changed.value, one.value))
    for other in comparisons:
        assert not other, (seed, other)
        assert other.verdict is Verdict.DIVERGED or left_out, (seed, other)
    if not left_out:
        assert digest(third) != digest(first), seed
    return True


def capture(value: object) -> Artifacts:
    return capture_tree(value, gradients=True, surroundings=True)


def is_compared_live(seed: int) -> bool:
    """Return whether a tree is also compared by `compare`, which captures both sides and strips what is equal first."""
    return (seed // PARTS) % 4 == 0
