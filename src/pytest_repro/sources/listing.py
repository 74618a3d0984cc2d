"""The order in which directories are listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pytest_repro.model import JSON, CauseWords
from pytest_repro.sources.base import EventHandler, Source
from pytest_repro.sources.sightings import note


def _note_listing(event: str, args: tuple[Any, ...]) -> None:
    note("listing", event)


class Listing(Source):
    """Listings, pinned by the axis `file_order`."""

    name = "listing"
    label = "order of listings"
    pinned = "with listings sorted"
    code = "fs.order"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "fs.order": CauseWords("the order in which directories are listed", "sort the listing: sorted(os.listdir(...))")
    }
    kinds: ClassVar[tuple[str, ...]] = ("listing",)
    events: ClassVar[Mapping[str, EventHandler]] = dict.fromkeys(
        ("os.listdir", "os.scandir", "glob.glob"), _note_listing
    )

    def condition(self, run: int) -> tuple[str, JSON]:
        return "file_order", "sorted"
