"""assert_order_invariant: a result does not depend on the order in which its items come."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.findings import (
    Deviation,
    Equivalence,
    Explanation,
    Inquiry,
    Trial,
    check_callable,
    check_count,
)
from pytest_repro.equivalences.magnitude import is_rounding, tell_distance
from pytest_repro.equivalences.rows import Gathered, count_rows, pick_rows
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_order_invariant"


def assert_order_invariant(
    func: Callable[..., Any],
    items: Any,
    *,
    orders: int = 3,
    aligned: bool = False,
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a result is the same in whatever order the items come.

    Parameters
    ----------
    func : callable (items) -> tree
        A metric, an aggregation, a vocabulary, a fitted model. Of a tuple of items, ``func(*items)``.
    items : array, tensor, frame, list, dict of arrays, or tuple of them
        A tuple's parts, such as ``(X, y)``, are permuted together and given as separate arguments.
    orders : int
        Random orders tried beside the reversed and the rotated one.
    aligned : bool
        The result has a row for each item: rows are put back into the items' order before they are compared.
    seed : int
        Seeds all generators before each call, and the random orders.
    tolerance, max_ulp, rtol, atol, norm
        What may differ; nothing by default.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message tells sums in another order from a result that really depends on the order.
    InconclusiveError, UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    check_count(_NAME, "orders", orders, least=0)
    count = count_rows(_NAME, "items", items)
    if count < 2:
        raise UsageError(f"{_NAME}: {count} items have one order only; give at least 2")

    def run(order: Sequence[int]) -> Artifacts:
        seeding.seed_everything(seed)
        picked = pick_rows(items, order)
        result = func(*picked) if isinstance(items, tuple) else func(picked)
        if not aligned:
            return capture_tree(result)
        gathered = Gathered(_NAME)
        gathered.add(result, order)
        return gathered.artifacts()

    given = list(range(count))
    state = seeding.save_state()
    try:
        baseline = Trial("the items as given", run(given))
        inquiry.require_stable(baseline.artifacts, run(given), "the result for one order", "seed it, or undo its state")
        trials = [Trial(varied, run(order)) for varied, order in _make_orders(given, orders, seed)]
        return inquiry.conclude(baseline, trials, _explain)
    finally:
        seeding.restore_state(state)


def _make_orders(given: list[int], more: int, seed: int) -> list[tuple[str, list[int]]]:
    rng = random.Random(seed)
    orders = [("reversed", given[::-1]), ("rotated by one", given[1:] + given[:1])]
    orders += [(f"random order {k}", rng.sample(given, len(given))) for k in range(1, more + 1)]
    return orders if len(given) > 2 else orders[:1]


def _explain(deviations: Sequence[Deviation]) -> Explanation:
    distance = tell_distance(deviations[0].comparison)
    if all(is_rounding(deviation.comparison) for deviation in deviations):
        return Explanation(
            "order.rounding: sums taken in another order round differently",
            (f"{deviations[0].varied}: {distance}, no more than reordered sums explain",),
            "allow it (norm=1e-6 for float32, 1e-14 for float64), or sum exactly: math.fsum, or sorted and in float64",
        )
    return Explanation(
        "order.dependence: the result depends on the order itself, by more than rounding",
        (f"{deviations[0].varied}: {distance}",),
        "sort the items by a key of their own, break ties by that key, and keep no state from item to item",
    )
