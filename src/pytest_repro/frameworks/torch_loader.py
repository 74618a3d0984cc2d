"""Indices of the samples in each batch of torch's DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, IterableDataset


class Tagged(NamedTuple):
    """A sample and its index."""

    index: Any
    sample: Any


class IndexedDataset:
    """Dataset whose samples carry their index. Every other attribute is read from and written to the real dataset."""

    def __init__(self, dataset: Any) -> None:
        object.__setattr__(self, "_pytest_repro_inner", dataset)

    def __reduce__(self) -> tuple[Any, ...]:
        return IndexedDataset, (self._pytest_repro_inner,)

    def __len__(self) -> int:
        return len(self._pytest_repro_inner)

    def __getitem__(self, index: Any) -> Tagged:
        return Tagged(index, self._pytest_repro_inner[index])

    def __getitems__(self, indices: list[Any]) -> list[Tagged]:
        inner = self._pytest_repro_inner
        many = getattr(inner, "__getitems__", None)
        samples = many(indices) if many is not None else [inner[i] for i in indices]
        return [Tagged(i, sample) for i, sample in zip(indices, samples, strict=True)]

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_pytest_repro_inner"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._pytest_repro_inner, name, value)


class IndexedCollate:
    """Collates samples as before, and returns their indices with the batch."""

    def __init__(self, inner: Callable[[Any], Any]) -> None:
        self._inner = inner

    def __call__(self, samples: Any) -> tuple[list[Any], Any]:
        """Return the indices and the batch."""
        if isinstance(samples, Tagged):  # batch_size=None: one sample at a time
            return [samples.index], self._inner(samples.sample)
        return [tagged.index for tagged in samples], self._inner([tagged.sample for tagged in samples])


def is_loader(value: Any) -> bool:
    """Return whether a value is torch's DataLoader."""
    return isinstance(value, DataLoader)


def tag(loader: Any) -> bool:
    """Make a loader yield ``(indices, batch)``, and return whether its dataset has indices."""
    if isinstance(loader.dataset, IterableDataset):
        return False
    if isinstance(loader.dataset, IndexedDataset):
        return True
    # The loader's own __setattr__ rejects a dataset that the sampler would not follow. This one has the old length.
    object.__setattr__(loader, "dataset", IndexedDataset(loader.dataset))
    loader.collate_fn = IndexedCollate(loader.collate_fn)
    return True


def iterate(loader: Any, *, tagged: bool) -> Iterator[tuple[list[Any] | None, Any]]:
    """Yield the indices of each batch, None if they are unknown, and the batch."""
    for batch in loader:
        if tagged:
            yield list(batch[0]), batch[1]
        else:
            yield None, batch
