"""The files of a bundle that is not trusted: what was digested is what is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pytest_repro.comparing.elements import escape, shorten
from pytest_repro.errors import RecordError, StoreError
from pytest_repro.model.reading import OpenedFile, opened

#: The bundle's copies of records and their arrays.
RECORDS_FOLDER = "records"
MAX_FILE_BYTES = 256 * 2**20
#: Arrays of a record, which are digested and not read.
MAX_ARRAYS_BYTES = 64 * 2**30
#: Longest name that a message shows: a file of a record has up to some 100 characters.
MAX_NAME = 200
#: Kept when they are digested, because they are read afterwards.
_DOCUMENTS = ("statement.json", "evidence.json", "record.json")

T = TypeVar("T")


class BundleFiles:
    """Reads the files of one bundle, each of them once.

    Attributes
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._content: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}

    @classmethod
    def of(cls, bundle: Path | BundleFiles) -> BundleFiles:
        """Return the reader of a bundle that may be given by its directory."""
        return bundle if isinstance(bundle, BundleFiles) else cls(bundle)

    def read(self, name: str) -> bytes:
        """Return the content of a file, by a plain name, or one in the folder of records.

        Raises
        ------
        RecordError
            If it would be outside the directory, is no regular file, is too large, cannot be read, or was changed since
            it was digested.
        """
        if name not in self._content:
            data = self._open(name, OpenedFile.read)
            digest = hashlib.sha256(data).hexdigest()
            if self._digests.setdefault(name, digest) != digest:
                raise RecordError(f"{shorten(escape(name), MAX_NAME)} was changed while the bundle was read")
            if "/" in name:
                return data  # a record is read once, and a bundle may have thousands
            self._content[name] = data
        return self._content[name]

    def digest(self, name: str) -> str:
        """Return the sha256 of a file, in hex, in bounded memory. Errors are those of :meth:`read`."""
        if name in _DOCUMENTS:
            self.read(name)
        if name not in self._digests:
            self._digests[name] = self._open(name, _digest, MAX_ARRAYS_BYTES)
        return self._digests[name]

    def _open(self, name: str, take: Callable[[OpenedFile], T], max_bytes: int = MAX_FILE_BYTES) -> T:
        folder, _, plain = name.rpartition("/")
        if folder not in ("", RECORDS_FOLDER) or plain in ("", ".", "..") or "\\" in name or "\0" in name:
            raise RecordError(f"{name[:60]!r} is not a file name of a bundle")
        if folder and (self.directory / folder).is_symlink():
            raise RecordError(f"{folder} must be a directory, and no link")
        shown = shorten(escape(name), MAX_NAME)
        advice = "make evidence of fewer tests in one session"
        try:
            with opened(self.directory / name, max_bytes=max_bytes, advice=advice) as file:
                return take(file)
        except OSError as error:
            raise RecordError(f"{shown} cannot be read: {error.strerror or type(error).__name__}") from None
        except StoreError as error:
            raise RecordError(f"{shown}: {error}") from None


def _digest(file: OpenedFile) -> str:
    hasher = hashlib.sha256()
    for block in file.iterate():
        hasher.update(block)
    return hasher.hexdigest()
