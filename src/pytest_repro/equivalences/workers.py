"""assert_workers_equivalent: a data loader gives the same samples in the same order with any number of workers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_repro import seeding
from pytest_repro.capturing import capture_tree
from pytest_repro.capturing.digesting import digest_leaves
from pytest_repro.comparing.live import AnyTolerance
from pytest_repro.equivalences.findings import (
    Deviation,
    Equivalence,
    Explanation,
    Inquiry,
    Trial,
    check_callable,
    check_count,
    check_counts,
)
from pytest_repro.equivalences.generators import capture_generators
from pytest_repro.errors import InconclusiveError, UsageError
from pytest_repro.model import Artifacts, Leaf

_NAME = "assert_workers_equivalent"
_SIZES = "batch sizes"


def assert_workers_equivalent(
    make_loader: Callable[[int], Any],
    *,
    workers: Sequence[int] = (0, 1, 2),
    epochs: int = 1,
    seed: int = 0,
    tolerance: AnyTolerance = None,
    **bounds: Any,
) -> Equivalence:
    """Assert that a loader gives the same batches with any number of workers.

    Parameters
    ----------
    make_loader : callable (number of workers) -> iterable of batches
        A new loader each time, usually a torch DataLoader with ``num_workers`` set. Generators are seeded before it.
    workers : sequence of int
        Numbers of workers; the first is the baseline.
    epochs : int
        Passes over one loader.
    seed : int
    tolerance, max_ulp, rtol, atol, norm
        What may differ in the samples; nothing by default.

    Returns
    -------
    Equivalence

    Raises
    ------
    DivergenceError
        The message tells the order of the samples from their content (augmentation), and duplicated samples from both.
    InconclusiveError, UsageError
    """
    __tracebackhide__ = True
    inquiry = Inquiry.begin(_NAME, tolerance, bounds)
    check_callable(_NAME, "make_loader", make_loader)
    counts = check_counts(_NAME, "workers", workers, least=0)
    if len(counts) < 2:
        raise UsageError(f"{_NAME}: workers={workers!r} is one number only, so nothing would be varied")
    check_count(_NAME, "epochs", epochs)
    state = seeding.save_state()
    try:
        passes = {count: _load(make_loader, count, epochs, seed) for count in counts}
        first = passes[counts[0]]
        if not first.rows:
            raise InconclusiveError(f"{_NAME}: the loader with {counts[0]} workers gave nothing to compare")
        again = _load(make_loader, counts[0], epochs, seed)
        inquiry.require_stable(
            first.artifacts(), again.artifacts(), f"the loader with {counts[0]} workers", "seed its sampler and dataset"
        )
        baseline = Trial(f"{counts[0]} workers", first.artifacts())
        trials = {f"{count} workers": passes[count] for count in counts[1:]}
        made = [Trial(varied, loaded.artifacts()) for varied, loaded in trials.items()]
        return inquiry.conclude(baseline, made, lambda found: _explain(found, first, trials))
    finally:
        seeding.restore_state(state)


@dataclass(slots=True)
class _Pass:
    """All that a loader gave: by sample where indices are known, else by its place in the stream.

    Attributes
    ----------
    orders : list of int lists
        Indices in the order of arrival, by epoch; empty where unknown.
    sizes : list of int lists
        Samples in each batch, by epoch.
    rows : dict of (epoch, artifact) -> {sample or place: leaf}
    drawn : set of str
        Global generators that this process drew from while loading.
    """

    orders: list[list[Any]] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    rows: dict[tuple[int, str], dict[Any, Leaf]] = field(default_factory=dict)
    drawn: set[str] = field(default_factory=set)

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
        return Artifacts(leaves)

    def contents(self) -> Counter[str]:
        """Count the samples by content, wherever they came."""
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
    before = _digest_generators()
    loaded = _Pass()
    iterate = _open(loader, count)
    for epoch in range(epochs):
        place, seen = 0, Counter[Any]()
        loaded.sizes.append([])
        for indices, batch in iterate():
            keys: list[Any] = []
            for index in indices if indices is not None else ():
                seen[index] += 1
                keys.append(index if seen[index] == 1 else f"{index} again {seen[index] - 1}")
            start, place = place, _take(loaded, epoch, batch, keys or None, place)
            loaded.sizes[epoch].append(place - start)
            if indices is not None:
                if len(loaded.orders) <= epoch:
                    loaded.orders.append([])
                loaded.orders[epoch] += indices
    after = _digest_generators()
    loaded.drawn = {name for name in after if after[name] != before.get(name)}
    return loaded


def _open(loader: Any, count: int) -> Callable[[], Iterator[tuple[list[Any] | None, Any]]]:
    """Return what iterates over a loader once: with indices, where it can be made to tell them."""
    if "torch" in sys.modules:
        from pytest_repro.frameworks import torch_loader

        if torch_loader.is_loader(loader):
            if loader.num_workers != count:
                raise UsageError(
                    f"{_NAME}: make_loader({count}) made a DataLoader with num_workers={loader.num_workers}; pass it on"
                )
            tagged = torch_loader.tag(loader)
            return lambda: torch_loader.iterate(loader, tagged=tagged)
    if not hasattr(loader, "__iter__"):
        raise UsageError(
            f"{_NAME}: make_loader({count}) returned a {type(loader).__name__}, which cannot be iterated over"
        )
    return lambda: ((None, batch) for batch in loader)


def _take(loaded: _Pass, epoch: int, batch: Any, keys: list[Any] | None, place: int) -> int:
    """Take a batch apart into samples; return the place of the next."""
    leaves = capture_tree(batch, root="samples").leaves
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
    return place + size


def _digest_generators() -> dict[str, str]:
    groups: dict[str, dict[str, Leaf]] = {}
    for path, leaf in capture_generators().leaves.items():
        groups.setdefault(path.split("/")[1], {})[path] = leaf
    return {name: digest_leaves(leaves) for name, leaves in groups.items()}


def _explain(deviations: Sequence[Deviation], first: _Pass, trials: dict[str, _Pass]) -> Explanation:
    shown = deviations[0]
    other = trials[shown.varied]
    expected, actual = first.contents(), other.contents()
    if sum(actual.values()) > sum(expected.values()) and all(actual[key] >= n for key, n in expected.items()):
        return Explanation(
            "workers.duplicated: every worker gives the samples of all",
            (f"{sum(expected.values())} samples -> {sum(actual.values())}, none of them new",),
            "let an iterable dataset read torch.utils.data.get_worker_info() and give its own share only",
        )
    names = [difference.artifact for difference in shown.comparison.divergences]
    order = [name for name in names if name.endswith(("/order", f"/{_SIZES}"))]
    content = [name for name in names if name not in order]
    if not first.orders and actual == expected:
        order, content = names, []
    evidence = [f"order: {_tell_order(first, other)}" if order else "order: the same samples in the same order"]
    evidence.append(f"content: {_tell_content(content, first)}" if content else "content: each sample the same")
    only_here = sorted(first.drawn - other.drawn)
    if content and only_here:
        evidence.append(f"without workers the dataset draws from this process' {', '.join(only_here)} generator")
    codes = ["workers.order"] if order else []
    codes += ["workers.augmentation"] if content else []
    fixes = {
        "workers.order": "keep in_order=True, and give the sampler a generator of its own",
        "workers.augmentation": "draw for each sample from a generator seeded with (seed, epoch, index), not from "
        "a global one, which every worker has for itself",
    }
    what = "the order and the content" if len(codes) == 2 else f"only the {'order' if order else 'content'}"
    return Explanation(
        f"{', '.join(codes)}: {what} of samples depends on the workers",
        tuple(evidence),
        "; ".join(fixes[code] for code in codes),
    )


def _tell_order(first: _Pass, other: _Pass) -> str:
    for epoch, (expected, actual) in enumerate(zip(first.orders, other.orders, strict=False)):
        for place, (e, a) in enumerate(zip(expected, actual, strict=False)):
            if e != a:
                return f"epoch {epoch}, place {place}: sample {a} came instead of {e}"
        if len(expected) != len(actual):
            return f"epoch {epoch}: {len(actual)} samples came instead of {len(expected)}"
    if first.sizes != other.sizes:
        return f"batches of {other.sizes[0][:6]} samples came instead of {first.sizes[0][:6]}"
    return "the same samples came in another order"


def _tell_content(names: list[str], first: _Pass) -> str:
    by = "sample by sample, by its index" if first.orders else "place by place: what a sample is cannot be told"
    return f"{len(names)} artifacts differ ({names[0]}), compared {by}"
