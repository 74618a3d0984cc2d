"""Files that earlier runs of the session left: moved aside for the time of one run, and put back whatever happens."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_repro.sources.left_files import is_left

#: More is no cache or checkpoint of a test, and moving it takes time.
MAX_FILES = 50


def find_left(paths: Iterable[str], since: float) -> list[Path]:
    """Return the regular files among paths that are there and were written since a moment [s since 1970].

    Nothing older is ever moved: what the session did not write is the user's.
    """
    return [Path(path) for path in sorted(set(paths)) if is_left(path, since)][:MAX_FILES]


@contextmanager
def moved_aside(files: Iterable[Path]) -> Iterator[None]:
    """Move files away within their folders, and back over what was made in their place."""
    moved: list[tuple[Path, Path]] = []
    try:
        for file in files:
            aside = file.with_name(f".{file.name[:80]}.{secrets.token_hex(4)}.repro-aside")
            with suppress(OSError):
                file.rename(aside)
                moved.append((aside, file))
        yield
    finally:
        for aside, file in moved:
            aside.replace(file)
