from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_repro.sources import sightings


@pytest.fixture
def seen() -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Return a function that lists the uses of sources recorded during the test, as (kind, detail)."""
    found = sightings.Sightings()
    sightings.collect_into(found)
    yield lambda: [(entry["kind"], entry["detail"]) for entry in found.to_json()]
    sightings.collect_into(None)
