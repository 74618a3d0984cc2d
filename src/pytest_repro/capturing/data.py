"""Digests of the data that a test names, reconciled with what DVC or the test itself declares of it."""

from __future__ import annotations

import hashlib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_repro.capturing.budget import Unavailable, unavailable
from pytest_repro.capturing.digesting import digest
from pytest_repro.capturing.dvc import find_declared, tree_md5
from pytest_repro.capturing.tree import capture_tree
from pytest_repro.errors import DataError, ReproError
from pytest_repro.model import JSON

#: Some 150 GB from a fast disk.
BUDGET_S = 120.0
_BLOCK = 1 << 20
_LFS = b"version https://git-lfs.github.com/spec/"
#: (path, size, modified, inode) -> answer: a test names its data once a run.
_known: dict[tuple[Any, ...], tuple[str, str]] = {}
_MAX_KNOWN = 100_000


def describe_data(name: str, value: Any, *, declared: str | None = None, budget_s: float = BUDGET_S) -> JSON:
    """Describe data by kind, size and digest.

    Parameters
    ----------
    name : str
        As the test calls it; for messages.
    value : path, array, data frame, map-style dataset, or any tree of values
        A ``str`` is a path. A dataset is anything with a length and items.
    declared : str, optional
        ``sha256:<hex>`` (or the hex alone) that a file's or directory's content must have.
    budget_s : float
        Wall time [s]; what takes longer is answered by ``{"unavailable": reason}``.

    Returns
    -------
    dict
        ``kind``, ``sha256``, and for files ``size``, ``files``, ``declared_by``.

    Raises
    ------
    DataError
        If the path leads nowhere, a pointer was not fetched, or a declared digest does not match.
    """
    deadline = time.monotonic() + budget_s
    try:
        if isinstance(value, (str, os.PathLike)):
            return _describe_path(name, Path(os.fspath(value)), declared, deadline)
        if declared is not None:
            raise DataError(f"repro.data({name!r}): sha256= declares a file's or a directory's content, not a value's")
        return _describe_value(name, value, deadline)
    except Unavailable as error:
        return unavailable(str(error))


def _describe_path(name: str, path: Path, declared: str | None, deadline: float) -> JSON:
    where = f"repro.data({name!r}, {str(path)!r})"
    dvc = find_declared(path)
    if not path.exists():
        pull = shlex.join(["dvc", "pull", str(path)])
        hint = f"fetch it with `{pull}`" if dvc else f"the current directory is {Path.cwd()}"
        raise DataError(f"{where}: there is no such file or directory; {hint}")
    files = list(_iterate_files(path, where)) if path.is_dir() else [path]
    digests = [_digest_file(file, where, deadline) for file in files]
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in files]
        lines = "".join(f"{sha}  {relative}\n" for relative, (sha, _) in zip(names, digests, strict=True))
        sha256 = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
        md5 = tree_md5({relative: md5 for relative, (_, md5) in zip(names, digests, strict=True)})
    else:
        sha256, md5 = digests[0]
    if declared is not None and declared.removeprefix("sha256:").lower() != sha256:
        raise DataError(f"{where}: its content has the digest sha256:{sha256}, declared is {declared}")
    if dvc is not None and dvc.md5 != md5 and not dvc.proves:
        dvc = None
    if dvc is not None and dvc.md5 != md5:
        raise DataError(
            f"{where}: its content has the MD5 {md5}, {dvc.file.name} declares {dvc.md5}: "
            "run `dvc checkout` for the declared data, or `dvc add` to declare this"
        )
    found: dict[str, JSON] = {
        "kind": "directory" if path.is_dir() else "file",
        "size": sum(file.stat().st_size for file in files),
        "files": len(files),
        "sha256": sha256,
    }
    declarers: list[JSON] = [*(["the test"] if declared else []), *([dvc.file.name] if dvc else [])]
    return {**found, "declared_by": declarers} if declarers else found


def _iterate_files(directory: Path, where: str) -> Iterator[Path]:
    """Yield a directory's files, in an order that is the same everywhere; links to directories are refused."""
    for entry in sorted(directory.iterdir(), key=lambda entry: os.fsencode(entry.name)):
        if entry.is_dir():
            if entry.is_symlink():
                raise DataError(f"{where}: {entry.name} is a link to a directory; name that directory itself")
            yield from _iterate_files(entry, where)
        elif entry.is_file():
            yield entry
        else:
            raise DataError(f"{where}: {entry.name} is no file (a broken link, a socket or a device)")


def _digest_file(path: Path, where: str, deadline: float) -> tuple[str, str]:
    """Return sha256 and MD5 of a file, both in hex."""
    status = path.stat()
    key = (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)
    if key in _known:
        return _known[key]
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        first = True
        while block := file.read(_BLOCK):
            if first and block.startswith(_LFS):
                raise DataError(f"{where}: {path.name} is a git-lfs pointer; fetch the file with `git lfs pull`")
            first = False
            sha256.update(block)
            md5.update(block)
            if time.monotonic() > deadline:
                raise Unavailable("reading it took longer than its budget")
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    # Written to in the last moments, it may change again within one tick of its clock.
    if time.time_ns() - status.st_mtime_ns > 2_000_000_000:
        _known[key] = sha256.hexdigest(), md5.hexdigest()
    return sha256.hexdigest(), md5.hexdigest()


def _describe_value(name: str, value: Any, deadline: float) -> JSON:
    try:
        return {"kind": type(value).__name__, "sha256": digest(capture_tree(value, copy=False)).partition(":")[2]}
    except ReproError as error:
        if not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
            raise DataError(
                f"repro.data({name!r}, ...): {error}. Give a path, arrays, a data frame, or a dataset with a length"
            ) from None
    return _describe_dataset(name, value, deadline)


def _describe_dataset(name: str, dataset: Any, deadline: float) -> JSON:
    """Digest a dataset item by item; its transforms draw from generators seeded for this, put back afterwards."""
    from pytest_repro import seeding

    hasher, count = hashlib.sha256(), len(dataset)
    with seeding.seeded(0):
        for index in range(count):
            try:
                artifacts = capture_tree(dataset[index], copy=False)
            except ReproError as error:
                raise DataError(f"repro.data({name!r}, ...): item {index}: {error}") from None
            hasher.update(digest(artifacts).encode())
            if time.monotonic() > deadline:
                raise Unavailable(f"{index + 1:,} of {count:,} items took its whole budget; name the dataset's files")
    return {"kind": type(dataset).__name__, "items": count, "sha256": hasher.hexdigest()}
