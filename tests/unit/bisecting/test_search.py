"""The search finds the border with few probes, whatever cannot be tested."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.bisecting.search import Border, Side, find_border


@st.composite
def series(draw: st.DrawFn) -> tuple[list[bool], set[int]]:
    """Draw whether each member differs, with one border, and the members that cannot be tested."""
    count = draw(st.integers(2, 200))
    border = draw(st.integers(1, count - 1))
    untestable = draw(st.sets(st.integers(1, count - 1))) - {count - 1}
    return [index >= border for index in range(count)], untestable


@given(series())
def test_the_border_is_found_with_a_logarithmic_number_of_probes(drawn: tuple[list[bool], set[int]]):
    differs, untestable = drawn
    probed: list[int] = []

    def probe(index: int) -> Side:
        probed.append(index)
        if index in untestable:
            return Side.UNTESTABLE
        return Side.DIFFERS if differs[index] else Side.SAME

    found = find_border(len(differs), probe)
    assert not differs[found.last_same]
    assert differs[found.first_different]
    assert set(range(found.last_same + 1, found.first_different)) <= untestable
    assert len(probed) == len(set(probed))
    assert not {0, len(differs) - 1} & set(probed)
    between = len(differs) - 2
    skipped = len(untestable & set(probed))
    assert len(probed) - skipped <= (math.log2(between) + 1 if between else 0)


def test_two_neighbours_need_no_probe():
    def probe(index: int) -> Side:
        raise AssertionError(index)

    assert find_border(2, probe) == Border(0, 1)


def test_a_series_without_a_single_border_gives_one_of_its_borders():
    sides = [Side.SAME, Side.DIFFERS, Side.SAME, Side.SAME, Side.DIFFERS]
    found = find_border(5, lambda index: sides[index])
    assert (sides[found.last_same], sides[found.first_different]) == (Side.SAME, Side.DIFFERS)
    assert found.first_different == found.last_same + 1
