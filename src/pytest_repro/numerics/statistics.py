"""Figures of the comparison of two arrays, and their accumulation over blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_repro.model import Tolerance
from pytest_repro.numerics.kinds import Distances, Kind
from pytest_repro.numerics.norms import SquareSum
from pytest_repro.numerics.ulps import Scratch, bit_length_counts

Array = NDArray[Any]

#: Differing elements measured at a time: a few float64 buffers of 128 KiB stay in the cache.
_MEASURED_AT_ONCE = 16384
_SPECIAL_COUNTS = ("nan_actual", "nan_expected", "inf_actual", "inf_expected")


@dataclass(frozen=True, slots=True)
class ArrayStatistics:
    """Figures of one comparison of two arrays of one shape and dtype.

    Attributes
    ----------
    elements, differing, over : int
        Elements in total, those whose bits differ, those that no elementwise bound admits.
    incomparable : int
        Differing elements with NaN or infinity on a side, which no bound admits.
    max_ulp : int or None
        Largest distance [steps] between comparable elements, or None if the dtype has no distances or no element is
        comparable.
    max_abs, max_rel : float or None
        Largest ``|a - e|`` and ``|a - e| / |e|`` (infinite where e is 0) of comparable elements.
    norm_rel : float or None
        ``||a - e||_2 / ||e||_2`` over finite elements.
    max_expected : float or None
        Largest finite ``|e|`` of the whole array, measured only if a `norm` bound is given.
    ulp_histogram : tuple of int
        ``[k]`` counts distances in ``[2**(k-1), 2**k)``, ``[0]`` elements 0 steps apart with different bits.
    first_index, worst_index : tuple of int or None
        First differing element in C order, and the worst one: the first incomparable element, else the one with
        `max_ulp`, else the first differing one.
    nan_actual, nan_expected, inf_actual, inf_expected : int
        Number of NaN and infinities among the differing elements.
    """

    elements: int
    differing: int = 0
    over: int = 0
    incomparable: int = 0
    max_ulp: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    norm_rel: float | None = None
    max_expected: float | None = None
    ulp_histogram: tuple[int, ...] = ()
    first_index: tuple[int, ...] | None = None
    worst_index: tuple[int, ...] | None = None
    nan_actual: int = 0
    nan_expected: int = 0
    inf_actual: int = 0
    inf_expected: int = 0

    @property
    def is_identical(self) -> bool:
        """Whether every bit is the same."""
        return not self.differing

    def times(self, factor: int) -> ArrayStatistics:
        """Return the figures of arrays that show each element as many times, along axes of size 1 here."""
        counts = ("elements", "differing", "over", "incomparable", *_SPECIAL_COUNTS)
        counted = {name: getattr(self, name) * factor for name in counts}
        histogram = tuple(count * factor for count in self.ulp_histogram)
        return replace(self, ulp_histogram=histogram, **counted)


class Tally:
    """Accumulates the figures, block by block."""

    def __init__(self, kind: Kind, bound: Tolerance) -> None:
        self.kind = kind
        self.bound = bound
        self._scratch = Scratch()
        self._waiting: list[tuple[Array, Array, Array]] = []
        self._waiting_count = 0
        self.differing: int = 0
        self.over: int = 0
        self.incomparable: int = 0
        self.max_ulp: int = -1
        self.max_abs: float = -1.0
        self.max_rel: float = -1.0
        self.max_expected: float = 0.0
        self.histogram: Array = np.zeros(130, np.int64)
        self.first: int | None = None
        self.worst: int | None = None
        self.first_incomparable: int | None = None
        self.categories: list[int] = [0, 0, 0, 0]
        self.difference_squares: SquareSum = SquareSum()
        self.expected_squares: SquareSum = SquareSum()

    def add_expected(self, expected: Array) -> None:
        """Add a block to the norm of the expected side."""
        if self.bound.norm is None and (total := self.kind.sum_squares_fast(expected)) is not None:
            self.expected_squares.add(total)
            return
        for offset in range(0, expected.size, _MEASURED_AT_ONCE):
            self._add_expected_part(expected[offset : offset + _MEASURED_AT_ONCE])

    def _add_expected_part(self, expected: Array) -> None:
        values = self.kind.values(expected)
        if values is None:
            return
        self.expected_squares.add_values(values)
        if self.bound.norm is not None:
            finite = np.abs(values[np.isfinite(values)])
            self.max_expected = max(self.max_expected, float(finite.max(initial=0)))

    def add_block(self, start: int, actual: Array, expected: Array) -> None:
        """Measure a block whose bytes differ, which begins at flat index `start`."""
        for offset in range(0, actual.size, _MEASURED_AT_ONCE):
            part = slice(offset, offset + _MEASURED_AT_ONCE)
            self._add_part(start + offset, actual[part], expected[part])

    def _add_part(self, start: int, actual: Array, expected: Array) -> None:
        unequal = self.kind.differs(actual, expected)
        count = int(np.count_nonzero(unequal))
        if not count:
            return
        places = np.flatnonzero(unequal)
        if self.first is None:
            self.first = start + int(places[0])
        if count * 4 > _MEASURED_AT_ONCE:
            self.add_differing(
                start, places, *((actual, expected) if count == actual.size else (actual[places], expected[places]))
            )
            return
        # A few differing elements wait for others: measuring costs some 50 calls of NumPy for any number of elements.
        self._waiting.append((places + start, actual[places], expected[places]))
        self._waiting_count += count
        if self._waiting_count >= _MEASURED_AT_ONCE:
            self._measure_waiting()

    def _measure_waiting(self) -> None:
        if self._waiting:
            places, actual, expected = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
            self._waiting, self._waiting_count = [], 0
            self.add_differing(0, places, actual, expected)

    def add_differing(self, start: int, places: Array, actual: Array, expected: Array) -> None:
        """Measure elements that all differ, at flat indices ``start + places`` (ascending)."""
        self.differing += places.size
        if self.first is None:
            self.first = start + int(places[0])
        distances = self.kind.measure(actual, expected)
        if distances is None:
            self.over += places.size
            return
        self.over += places.size - int(np.count_nonzero(self.kind.admits(distances, self.bound)))
        self._add_categories(start, places, distances)
        if not distances.comparable.all():
            keep = distances.comparable
            places, distances = places[keep], distances.take(keep)
        if places.size:
            self._add_distances(start, places, distances)

    def _add_categories(self, start: int, places: Array, distances: Distances) -> None:
        if distances.comparable.all():
            return
        counts = (distances.nan_actual, distances.nan_expected, distances.inf_actual, distances.inf_expected)
        self.categories = [total + count for total, count in zip(self.categories, counts, strict=True)]
        outside = np.flatnonzero(~distances.comparable)
        self.incomparable += outside.size
        if outside.size:
            place = start + int(places[outside[0]])
            self.first_incomparable = place if self.first_incomparable is None else min(place, self.first_incomparable)

    def _add_distances(self, start: int, places: Array, distances: Distances) -> None:
        top, position = _largest(distances)
        self.note_worst(top, start + int(places[position]))
        self.add_histogram(_histogram(distances, self._scratch))
        self.max_abs = max(self.max_abs, float(distances.absolute.max()))
        self.max_rel = max(self.max_rel, _largest_ratio(distances))
        self.difference_squares.add_values(distances.absolute)

    def note_worst(self, steps: int, place: int) -> None:
        """Record the largest distance of some elements and the flat index of its first occurrence."""
        if steps > self.max_ulp or (steps == self.max_ulp and self.worst is not None and place < self.worst):
            self.max_ulp, self.worst = steps, place

    def add_histogram(self, counts: Array) -> None:
        """Add counts by bit length."""
        self.histogram[: counts.size] += counts

    def finish(self, shape: tuple[int, ...]) -> ArrayStatistics:
        """Return the figures for arrays of this shape."""
        self._measure_waiting()
        if not self.differing:
            return ArrayStatistics(math.prod(shape))
        measured = self.max_ulp >= 0
        worst = self.first_incomparable if self.first_incomparable is not None else self.worst
        return ArrayStatistics(
            elements=math.prod(shape),
            differing=self.differing,
            over=self.over,
            incomparable=self.incomparable,
            max_ulp=self.max_ulp if measured else None,
            max_abs=self.max_abs if measured else None,
            max_rel=self.max_rel if measured else None,
            norm_rel=self.difference_squares.ratio(self.expected_squares) if measured and self.kind.scales else None,
            max_expected=self.max_expected if self.bound.norm is not None else None,
            ulp_histogram=tuple(np.trim_zeros(self.histogram, "b").tolist()),
            first_index=_unravel(self.first, shape),
            worst_index=_unravel(worst if worst is not None else self.first, shape),
            nan_actual=self.categories[0],
            nan_expected=self.categories[1],
            inf_actual=self.categories[2],
            inf_expected=self.categories[3],
        )


def _unravel(flat: int | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if flat is None else tuple(int(i) for i in np.unravel_index(flat, shape))


def _largest(distances: Distances) -> tuple[int, int]:
    """Return the largest number of steps and its position."""
    if distances.ulp_high is None:
        position = int(distances.ulp.argmax())
        return int(distances.ulp[position]), position
    top = distances.ulp_high == distances.ulp_high.max()
    position = int(np.where(top, distances.ulp, 0).argmax()) if top.any() else 0
    if not top[position]:  # all low words are 0 there
        position = int(top.argmax())
    return (int(distances.ulp_high[position]) << 64) | int(distances.ulp[position]), position


def _histogram(distances: Distances, scratch: Scratch) -> Array:
    if distances.ulp_high is None or not distances.ulp_high.any():
        return bit_length_counts(distances.ulp, scratch)
    wide = distances.ulp_high != 0
    low, high = bit_length_counts(distances.ulp[~wide]), bit_length_counts(distances.ulp_high[wide])
    return np.concatenate([low, high[1:]])


def _largest_ratio(distances: Distances) -> float:
    """Return the largest ``absolute / magnitude``, infinite for x/0 and 0 for 0/0."""
    ratios = distances.absolute / distances.magnitude
    largest = float(np.fmax.reduce(ratios))  # 0/0, of -0 against +0, is NaN
    return 0.0 if math.isnan(largest) else largest
