"""assert_order_invariant: a result does not depend on the order of its items."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_count
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation
from pytest_repro.equivalences.rows import Gathered, count_rows, pick_rows
from pytest_repro.errors import UsageError
from pytest_repro.model import Artifacts

_NAME = "assert_order_invariant"


@judged
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
    """Assert that a result is the same in any order of the items.

    Parameters
    ----------
    func : callable (items) -> tree
        A metric, an aggregation, a vocabulary, a fitted model. For a tuple of items, ``func(*items)``.
    items : array, tensor, frame, list, dict of arrays, or tuple of them
        The parts of a tuple, such as ``(X, y)``, are permuted together and passed as separate arguments.
    orders : int
        Number of random orders, in addition to the reversed and the rotated one.
    aligned : bool
        The result has one row for each item. The rows are sorted back into the order of the items before they are
        compared.
    seed : int
        Seeds all generators before each call, and the random orders.
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow, by default none.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message distinguishes sums in another order from a result that depends on the order itself.
    InconclusiveError
        If the result differs when it is repeated in one order, or nothing was compared.
    UsageError

    Examples
    --------
    >>> print(assert_order_invariant(lambda words: sorted(set(words)), ["b", "a", "c", "a"]).verdict)
    identical
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "func", func)
    check_count(_NAME, "orders", orders, least=0)
    count = count_rows(_NAME, "items", items)
    if count < 2:
        raise UsageError(f"{_NAME}: {count} items have only one order; give at least 2")

    def compute(order: Sequence[int]) -> Artifacts:
        seeding.seed_everything(seed)
        picked = pick_rows(items, order)
        result = func(*picked) if isinstance(items, tuple) else func(picked)
        if not aligned:
            return capture_tree(result)
        gathered = Gathered(_NAME)
        gathered.add(result, order)
        return gathered.artifacts()

    given = list(range(count))
    return experiment.vary(
        compute,
        ("the items as given", given),
        _make_orders(given, orders, seed),
        _explain,
        what="the result for one order",
        fix="seed it, or reset the state that it keeps",
    )


def _make_orders(given: list[int], count: int, seed: int) -> list[tuple[str, list[int]]]:
    if len(given) == 2:
        return [("reversed", given[::-1])]
    rng = random.Random(seed)
    orders = [("reversed", given[::-1]), ("rotated by one", given[1:] + given[:1])]
    return orders + [(f"random order {k}", rng.sample(given, len(given))) for k in range(1, count + 1)]


def _explain(deviations: Sequence[Deviation]) -> Explanation:
    return Explanation.by_magnitude(deviations, rounding="order.rounding", other="order.dependence")
