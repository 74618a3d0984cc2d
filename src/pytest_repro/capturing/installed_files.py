"""Files of installed packages, compared with the digests that the installer recorded (RECORD, PEP 376 and 627).

A version and a RECORD say what was installed. A file that was edited since then has another digest.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from pytest_repro.capturing.budget import Unavailable
from pytest_repro.capturing.packages import normalise
from pytest_repro.model import JSON

#: Changed files that are listed of one package.
MAX_FILES = 50
_MISSING = "missing"
_THREADS = 4
#: Files that are read before the time is checked.
_CHUNK = 64
#: A file that changed less than this ago may change again under the same time stamp [ns].
_FRESH_NS = 2_000_000_000

#: (path, size, modified, changed, inode) -> digest as RECORD writes it.
_Key = tuple[str, int, int, int, int]
_known: dict[_Key, str] = {}


def describe_installed(found: Iterable[Distribution], names: Iterable[str], *, budget_s: float) -> JSON:
    """Compare the files of packages with their RECORD.

    Parameters
    ----------
    found : iterable of Distribution
        Of two with one name the first counts.
    names : iterable of str
        Packages to look at, as :func:`normalise` writes them.
    budget_s : float
        Wall time [s]. What was read is kept for the next session.

    Returns
    -------
    dict
        ``changed``: package -> file -> its digest, or ``missing``. ``unchecked``: package -> reason.

    Raises
    ------
    Unavailable
        If it takes too long.
    """
    deadline, wanted = time.monotonic() + budget_s, set(names)
    _load_cache()
    before = len(_known)
    changed: dict[str, JSON] = {}
    unchecked: dict[str, JSON] = {}
    try:
        for distribution in found:
            name = normalise(distribution.metadata["Name"] or "")
            if name not in wanted:
                continue
            wanted.discard(name)
            reason = _why_unchecked(distribution)
            if reason:
                unchecked[name] = reason
            elif differing := _find_changed(distribution, deadline):
                listed: dict[str, JSON] = dict(sorted(differing.items())[:MAX_FILES])
                if len(differing) > MAX_FILES:
                    listed["and more"] = str(len(differing) - MAX_FILES)
                changed[name] = listed
    finally:
        if len(_known) != before:
            _save_cache()
    return {"changed": changed, "unchecked": unchecked}


def list_recorded(found: Iterable[Distribution], wanted: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the recorded digests (``sha256:...``) of files, and those of packages that cannot be compared.

    Parameters
    ----------
    found : iterable of Distribution
    wanted : collection of str
        Resolved paths.

    Returns
    -------
    tuple of dict
        Path -> digest; path -> name of a package that conda installed.
    """
    recorded: dict[str, str] = {}
    unchecked: dict[str, str] = {}
    folders: dict[str, str] = {}
    for distribution in found:
        base = str(distribution.locate_file(""))
        if base not in folders:
            folders[base] = os.path.realpath(base)
        is_checked = not _why_unchecked(distribution)
        for name, digest in _read_rows(distribution):
            path = os.path.normpath(f"{folders[base]}{os.sep}{name}")
            if path not in wanted:
                continue
            if is_checked:
                recorded.setdefault(path, f"sha256:{_as_hex(digest)}")
            else:
                unchecked.setdefault(path, normalise(distribution.metadata["Name"] or ""))
    return recorded, unchecked


def read_digests(paths: Iterable[str]) -> dict[str, str]:
    """Return the digests (``sha256:...``) of the files that exist. What was read is kept for the next session."""
    _load_cache()
    before, found = len(_known), {}
    for path in paths:
        digest = _look_up(path) or _digest(path)
        if digest != _MISSING:
            found[path] = f"sha256:{_as_hex(digest)}"
    if len(_known) != before:
        _save_cache()
    return found


def _why_unchecked(distribution: Distribution) -> str:
    if not distribution.read_text("RECORD"):
        return "it has no RECORD"
    installer = (distribution.read_text("INSTALLER") or "").strip()
    # conda writes the path of the environment into files after RECORD was made.
    return "conda installed it" if installer == "conda" else ""


def _find_changed(distribution: Distribution, deadline: float) -> dict[str, str]:
    base = str(distribution.locate_file(""))
    rows = [(name, os.path.join(base, name), digest) for name, digest in _read_rows(distribution)]  # noqa: PTH118 - 20,000
    known = [_look_up(path) for _, path, _ in rows]
    unread = [path for (_, path, _), digest in zip(rows, known, strict=True) if digest is None]
    read: dict[str, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(unread), _CHUNK):
            part = unread[start : start + _CHUNK]
            read.update(zip(part, pool.map(_digest, part), strict=True))
            if time.monotonic() > deadline:
                raise Unavailable("comparing the files of packages with their RECORD took longer than its budget")
    found = {}
    for (name, path, expected), digest in zip(rows, known, strict=True):
        actual = read[path] if digest is None else digest
        if actual != expected:
            found[name] = actual if actual == _MISSING else f"sha256:{_as_hex(actual)}"
    return found


def _key_of(path: str) -> _Key:
    status = os.stat(path)  # noqa: PTH116 - for 20,000 files
    return path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _look_up(path: str) -> str | None:
    try:
        return _known.get(_key_of(path))
    except OSError:
        return _MISSING


def _read_rows(distribution: Distribution) -> Iterator[tuple[str, str]]:
    """Yield the files that a package consists of, without scripts, byte code and the installer's notes."""
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        name = row[0].replace("\\", "/") if row else ""
        kind, _, digest = row[1].partition("=") if len(row) > 1 else ("", "", "")
        # A wheel may contain byte code (NumPy 2.2 does), which the installer compiles anew.
        is_listed = kind == "sha256" and not name.endswith(".pyc")
        if is_listed and not name.startswith(("../", "/")) and ".dist-info/" not in name:
            yield name, digest


def _digest(path: str) -> str:
    try:
        key = _key_of(path)
        with open(path, "rb") as file:  # noqa: PTH123 - see above
            digest = base64.urlsafe_b64encode(hashlib.file_digest(file, "sha256").digest()).decode().rstrip("=")
    except OSError:
        return _MISSING
    if time.time_ns() - max(key[2], key[3]) > _FRESH_NS:
        _known[key] = digest
    return digest


def _as_hex(digest: str) -> str:
    return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()


def _cache_file() -> Path:
    """Return the cache of this environment: that of all environments of a machine has no bound."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    environment = hashlib.sha256(os.fsencode(os.path.realpath(sys.prefix))).hexdigest()[:12]
    return Path(root).expanduser() / "pytest-repro" / f"installed-files-{environment}.json"


@functools.cache
def _load_cache() -> None:
    """Read the digests of earlier sessions, once. Each holds only for a file that was not touched since."""
    with contextlib.suppress(OSError, ValueError, TypeError, RuntimeError):
        entries: list[Any] = json.loads(_cache_file().read_text("utf-8"))
        for *key, digest in entries:
            path, size, modified, changed, inode = key
            if isinstance(path, str) and isinstance(digest, str):
                _known[path, int(size), int(modified), int(changed), int(inode)] = digest


def _save_cache() -> None:
    newest = {key[0]: (*key, digest) for key, digest in _known.items()}  # one entry for each path
    with contextlib.suppress(OSError, RuntimeError):
        path = _cache_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        temporary.write_text(json.dumps([*newest.values()]), "utf-8")
        temporary.replace(path)
