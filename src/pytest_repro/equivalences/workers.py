"""assert_workers_equivalent: a data loader yields the same samples in the same order with any number of workers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.axes.integers import count_of
from pytest_repro.capturing import capture_tree
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.comparing.judgements import judged
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.arguments import check_callable, check_count, check_counts
from pytest_repro.equivalences.causes import CAUSES
from pytest_repro.equivalences.draws import note_draws
from pytest_repro.equivalences.experiment import Deviation, Equivalence, Experiment, Explanation
from pytest_repro.errors import InconclusiveError, UsageError
from pytest_repro.model import Artifacts, Leaf, NotCompared

_NAME = "assert_workers_equivalent"
_SIZES = "batch sizes"


@judged
def assert_workers_equivalent(
    make_loader: Callable[[int], Any],
    *,
    workers: Sequence[int] = (0, 1, 2),
    epochs: int = 1,
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a loader yields the same batches with any number of workers.

    Parameters
    ----------
    make_loader : callable (number of workers) -> iterable of batches
        Returns a new loader each time, usually a torch DataLoader with ``num_workers`` set. All generators are seeded
        before it.
    workers : sequence of int
        Numbers of workers, of which the first is the baseline.
    epochs : int
        Passes over one loader.
    seed : int
    tolerance, max_ulp, rtol, atol, norm
        Differences to allow in the samples, by default none.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message distinguishes the order of the samples, their content (augmentation), and duplicated samples.
    InconclusiveError
        If the baseline differs when it is repeated, or nothing was compared.
    UsageError

    Examples
    --------
    >>> import numpy as np
    >>> def make_loader(workers):  # usually a torch DataLoader(..., num_workers=workers)
    ...     return iter(np.arange(8).reshape(4, 2))
    >>> print(assert_workers_equivalent(make_loader).verdict)
    identical
    """
    __tracebackhide__ = True
    experiment = Experiment.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "make_loader", make_loader)
    counts = check_counts(_NAME, "workers", workers, least=0, min_count=2)
    check_count(_NAME, "epochs", epochs)
    passes: dict[int, _Pass] = {}

    def compute(count: int) -> Artifacts:
        loaded = _load(make_loader, count, epochs, seed)
        if count == counts[0] and not loaded.rows:
            raise InconclusiveError(f"{_NAME}: {what} yielded nothing to compare")
        passes.setdefault(count, loaded)
        return loaded.artifacts()

    first, *others = ((count_of(count, "worker"), count) for count in counts)
    what = f"the loader with {first[0]}"
    return experiment.vary(
        compute,
        first,
        others,
        lambda deviations: _explain(deviations, passes[counts[0]], passes[dict(others)[deviations[0].varied]]),
        what=what,
        fix="seed its sampler and dataset",
        keeps_unstable_variants=True,
    )


@dataclass(slots=True)
class _Pass:
    """Everything that a loader yielded, by sample if indices are known, or by place in the stream.

    Attributes
    ----------
    orders : list of list of int
        Indices in the order of arrival, by epoch. Empty if they are unknown.
    sizes : list of list of int
        Number of samples in each batch, by epoch.
    rows : dict of (epoch, artifact) -> {sample or place: leaf}
    drawn : set of str
        Global generators that this process drew from while loading.
    """

    orders: list[list[Any]] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    rows: dict[tuple[int, str], dict[Any, Leaf]] = field(default_factory=dict)
    drawn: set[str] = field(default_factory=set)
    not_compared: list[NotCompared] = field(default_factory=list)

    def artifacts(self) -> Artifacts:
        """Return the order and the samples as artifacts."""
        leaves: dict[str, Leaf] = {}
        for epoch, order in enumerate(self.orders):
            leaves.update(capture_tree({f"epoch {epoch}/order": _as_array(order)}).leaves)
        for epoch, sizes in enumerate(self.sizes):
            leaves.update(capture_tree({f"epoch {epoch}/{_SIZES}": np.array(sizes)}).leaves)
        for (epoch, path), rows in self.rows.items():
            keys = sorted(rows, key=lambda key: (not isinstance(key, int), key if isinstance(key, int) else repr(key)))
            stacked = _stack([rows[key] for key in keys])
            if stacked is not None:
                leaves[f"epoch {epoch}/{path}"] = stacked
            else:
                leaves.update({f"epoch {epoch}/{path}/{key}": rows[key] for key in keys})
        return Artifacts(leaves, self.not_compared)

    def contents(self) -> Counter[str]:
        """Count the samples by content, whatever their place."""
        samples: dict[tuple[int, Any], dict[str, Leaf]] = {}
        for (epoch, path), rows in self.rows.items():
            for key, leaf in rows.items():
                samples.setdefault((epoch, key), {})[path] = leaf
        return Counter(digest_leaves(leaves) for leaves in samples.values())


def _as_array(order: list[Any]) -> Any:
    return np.array(order) if all(isinstance(i, int) for i in order) else [repr(i) for i in order]


def _stack(leaves: list[Leaf]) -> Leaf | None:
    first = leaves[0]
    if any(leaf.form != "array" or leaf.shape != first.shape or leaf.dtype != first.dtype for leaf in leaves):
        return None
    data = np.stack([np.asarray(leaf.data) for leaf in leaves])
    return Leaf("array", data, first.type_name, first.dtype, data.shape, first.traits)


def _load(make_loader: Callable[[int], Any], count: int, epochs: int, seed: int) -> _Pass:
    seeding.seed_everything(seed)
    loader = make_loader(count)
    loaded = _Pass()
    with note_draws(loaded.drawn):
        iterate = _open(loader, count)
        for epoch in range(epochs):
            place, seen = 0, Counter[Any]()
            loaded.sizes.append([])
            for indices, batch in iterate():
                keys: list[Any] = []
                for index in indices if indices is not None else ():
                    seen[index] += 1
                    keys.append(index if seen[index] == 1 else f"{index} again {seen[index] - 1}")
                size = _add_batch(loaded, epoch, batch, keys or None, place)
                place += size
                loaded.sizes[epoch].append(size)
                if indices is not None:
                    if len(loaded.orders) <= epoch:
                        loaded.orders.append([])
                    loaded.orders[epoch] += indices
    return loaded


def _open(loader: Any, count: int) -> Callable[[], Iterator[tuple[list[Any] | None, Any]]]:
    """Return a function that iterates over a loader once, with the indices of each batch if they can be found."""
    if "torch" in sys.modules:
        from pytest_repro.frameworks import torch_loader

        if torch_loader.is_loader(loader):
            if loader.num_workers != count:
                raise UsageError(
                    f"{_NAME}: make_loader({count}) returned a DataLoader with num_workers={loader.num_workers}; "
                    "pass it on"
                )
            tagged = torch_loader.tag(loader)
            return lambda: torch_loader.iterate(loader, tagged=tagged)
    if not hasattr(loader, "__iter__"):
        raise UsageError(
            f"{_NAME}: make_loader({count}) returned a {type(loader).__name__}, which cannot be iterated over"
        )
    return lambda: ((None, batch) for batch in loader)


def _add_batch(loaded: _Pass, epoch: int, batch: Any, keys: list[Any] | None, place: int) -> int:
    """Split a batch into samples, which begin at a place of the stream, and return their number."""
    captured = capture_tree(batch, root="samples")
    leaves = captured.leaves
    loaded.not_compared += captured.not_compared
    arrays = [leaf for leaf in leaves.values() if leaf.form == "array" and leaf.shape]
    size = len(keys) if keys is not None else (arrays[0].shape[0] if arrays else 1)
    names = keys if keys is not None else list(range(place, place + size))
    for path, leaf in leaves.items():
        if leaf.form == "node":
            continue
        rows = loaded.rows.setdefault((epoch, path), {})
        if leaf.form == "array" and leaf.shape[:1] == (size,):
            for j, key in enumerate(names):
                row = np.array(leaf.data[j])
                rows[key] = Leaf("array", row, leaf.type_name, leaf.dtype, row.shape, leaf.traits)
        else:
            rows[names[0]] = leaf
    return size


def _explain(deviations: Sequence[Deviation], first: _Pass, other: _Pass) -> Explanation:
    expected, actual = first.contents(), other.contents()
    if sum(actual.values()) > sum(expected.values()) and all(actual[key] >= n for key, n in expected.items()):
        count = f"{sum(expected.values())} samples -> {sum(actual.values())}, none of them new"
        return Explanation.of("workers.duplicated", count)
    names = [difference.artifact for difference in deviations[0].comparison.divergences]
    order = [name for name in names if name.endswith(("/order", f"/{_SIZES}"))]
    content = [name for name in names if name not in order]
    if not first.orders and actual == expected:
        order, content = names, []
    evidence = [f"order: {_describe_order(first, other)}" if order else "order: the same samples in the same order"]
    evidence.append(f"content: {_describe_content(content, first)}" if content else "content: each sample is the same")
    only_here = sorted(first.drawn - other.drawn)
    if content and only_here:
        evidence.append(f"without workers the dataset draws from this process' {', '.join(only_here)} generator")
    codes = [code for code, names in (("workers.order", order), ("workers.augmentation", content)) if names]
    what = "the order and the content" if len(codes) == 2 else f"only the {'order' if order else 'content'}"
    cause = f"{', '.join(codes)}: {what} of samples depends on the workers"
    return Explanation(cause, tuple(evidence), "; ".join(CAUSES[code].fix for code in codes))


def _describe_order(first: _Pass, other: _Pass) -> str:
    for epoch, (expected, actual) in enumerate(zip(first.orders, other.orders, strict=False)):
        for place, (e, a) in enumerate(zip(expected, actual, strict=False)):
            if e != a:
                return f"epoch {epoch}, place {place}: sample {a} instead of {e}"
        if len(expected) != len(actual):
            return f"epoch {epoch}: {len(actual)} samples instead of {len(expected)}"
    if first.sizes != other.sizes:
        return f"batches of {other.sizes[0][:6]} samples instead of {first.sizes[0][:6]}"
    return "the same samples in another order"


def _describe_content(names: list[str], first: _Pass) -> str:
    by = "sample by sample, by its index" if first.orders else "place by place, since samples have no index"
    return f"{len(names)} artifacts differ ({names[0]}), compared {by}"
