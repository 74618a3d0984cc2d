"""HTML pages of arbitrary JSON reports are well formed, or the report is rejected."""

from __future__ import annotations

import copy
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_repro.errors import StoreError
from tests.unit.reporting.html.reading import Page, document, full_case, render

TAGS = {tag for tag, _, _ in Page(render(document(full_case()))).elements}
HOSTILE = ["<script>", "\"'>", "\ud800", "inf", "nan", "9" * 40, "0x1.8p+1023", "0x1.0p+9999", ""]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**130), 2**130)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(HOSTILE)
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value within a document."""
    found = [path] if path else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += places(child, (*path, key))
    return found


FULL = document(full_case())
PLACES = places(FULL)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
def test_the_page_of_any_document_is_rejected_or_well_formed(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    changed = copy.deepcopy(FULL)
    for path, value in changes:
        part: Any = changed
        try:
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = value
        except (KeyError, IndexError, TypeError):  # an earlier change removed the place
            continue
    try:
        text = render(changed)
    except StoreError:
        return
    text.encode("utf-8")
    page = Page(text)
    assert {tag for tag, _, _ in page.elements} <= TAGS
    assert len(page.ids) == len(set(page.ids))
    assert len(page.all("script")) == 1
