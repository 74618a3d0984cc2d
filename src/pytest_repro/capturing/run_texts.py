"""Texts of one run without what differs between any two runs: its temporary folders, and addresses in a `repr`."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

#: What stands for a temporary folder, for a name that :mod:`tempfile` drew, and for an address.
FOLDER, NAME, ADDRESS = "<tmp>", "<random>", "0x..."

#: As ``object.__repr__`` writes an address.
_ADDRESS = re.compile(r"(?<=\bat )0x[0-9a-fA-F]{6,16}\b")
#: Addresses are compared with the memory of this process in pieces of 1 GiB: what a repr names may be freed already.
_PIECE_BITS = 30


class RunTexts:
    """Replaces in the texts of one run what another run cannot have.

    Parameters
    ----------
    folders : iterable of str
        The run's temporary folders, as absolute paths. A path that climbs to one is found too. Only whole path
        components are replaced: ``/tmp/pytest-3`` is not found in ``/tmp/pytest-3x``.
    names : collection of str
        Names that `tempfile` drew in the run, as a growing collection. Each is replaced wherever it stands: eight
        random characters do not occur by chance.

    Notes
    -----
    An address is replaced only if it has the form in which Python writes one, and points into the memory of this
    process. A hash or a checksum in the same form does so once in some 10,000 times, and only then would a difference
    in it be missed.
    """

    def __init__(self, folders: Iterable[str] = (), names: Collection[str] = ()) -> None:
        forms = {form.rstrip(os.sep) for folder in folders for form in (folder, os.path.realpath(folder))}
        # The longest first: one may lie inside another.
        self._folders = sorted((form for form in forms if form.count(os.sep) > 1), key=len, reverse=True)
        pattern = "|".join(rf"(?<![\w.-]){re.escape(form)}|(?<=\.\./)(?:{_climbed(form)})" for form in self._folders)
        self._pattern = re.compile(rf"(?:{pattern})(?![\w-]|\.\w)", re.ASCII) if pattern else None
        self._names = names
        self._pieces: frozenset[int] | None = None

    def replace_folders(self, text: str) -> str:
        """Return a text without the run's folders."""
        return self._pattern.sub(FOLDER, text) if self._pattern is not None and os.sep in text else text

    def normalise(self, text: str) -> str:
        """Return a text without the run's folders, drawn names and addresses."""
        text = self.replace_folders(text)
        for name in tuple(self._names):
            if name in text:
                text = text.replace(name, NAME)
        return _ADDRESS.sub(self._replace_address, text) if "at 0x" in text else text

    def normalise_bytes(self, content: bytes) -> bytes:
        """Return bytes, changed as the text that they may hold would be."""
        text = content.decode("latin-1")
        changed = self.normalise(text)
        return content if changed == text else changed.encode("latin-1")

    def _replace_address(self, found: re.Match[str]) -> str:
        if self._pieces is None:
            self._pieces = _read_pieces()
        text = found.group()
        return ADDRESS if not self._pieces or int(text, 16) >> _PIECE_BITS in self._pieces else text


def _climbed(folder: str) -> str:
    """Return a pattern for a folder as a relative path reaches it: without the components that it shares."""
    parts = [re.escape(part) for part in Path(folder).parts[1:]]
    # Not the last component alone, which may be as short as `tmp`.
    return "|".join("/".join(parts[start:]) for start in range(max(1, len(parts) - 1)))


def _read_pieces() -> frozenset[int]:
    """Return the pieces of memory that this process uses, or none where the system does not tell."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    ranges = [line.split(" ", 1)[0].split("-") for line in lines]
    return frozenset(
        piece
        for start, end in ranges
        # A reserved range may be huge: its two ends are enough.
        for piece in (int(start, 16) >> _PIECE_BITS, (int(end, 16) - 1) >> _PIECE_BITS)
    )
