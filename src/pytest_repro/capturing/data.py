"""Digests of the data that a test names, checked against the digests that DVC or the test declares."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_repro.capturing.budget import Unavailable, unavailable
from pytest_repro.capturing.digesting import digest
from pytest_repro.capturing.registry import is_captured_by_attributes
from pytest_repro.capturing.tree import capture_tree
from pytest_repro.errors import CaptureError, DataError, ReproError, StoreError
from pytest_repro.model import JSON
from pytest_repro.model.reading import opened, read_file

#: Some 150 GB from a fast disk.
BUDGET_S = 120.0
_LFS = b"version https://git-lfs.github.com/spec/"
#: (path, size, modified, inode) -> digests, because a test names its data in every run.
_known: dict[tuple[Any, ...], tuple[str, str]] = {}
_MAX_KNOWN = 100_000
#: Largest file of DVC that is read.
_MAX_DVC_BYTES = 64 * 2**20
_SECTION = re.compile(r"\s*(?:- )?([\w.-]+):\s*")
_FIELD = re.compile(r"(\s*)(- )?([\w.-]+): (.*)")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def describe_data(name: str, value: Any, *, declared: str | None = None, budget_s: float = BUDGET_S) -> JSON:
    """Describe data by kind, size and digest.

    Parameters
    ----------
    name : str
        The test's name for it, for messages.
    value : path, array, data frame, map-style dataset, or any tree of values
        A ``str`` is a path. A dataset is anything with a length and items.
    declared : str, optional
        ``sha256:<hex>`` (or the hex alone) that a file's or directory's content must have.
    budget_s : float
        Wall time [s] after which the answer is ``{"unavailable": reason}``.

    Returns
    -------
    dict
        ``kind``, ``sha256``, and for files ``size``, ``files``, ``declared_by``.

    Raises
    ------
    DataError
        If the path does not exist, a pointer was not fetched, or a declared digest does not match.
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
    dvc = _find_declared(path)
    if not path.exists():
        pull = shlex.join(["dvc", "pull", str(path)])
        hint = f"fetch it with `{pull}`" if dvc else f"the current directory is {Path.cwd()}"
        raise DataError(f"{where}: no such file or directory; {hint}")
    files = list(_iterate_files(path, where)) if path.is_dir() else [path]
    digests = [_digest_file(file, where, deadline) for file in files]
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in files]
        lines = "".join(f"{sha}  {relative}\n" for relative, (sha, _) in zip(names, digests, strict=True))
        sha256 = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
        md5 = _tree_md5({relative: md5 for relative, (_, md5) in zip(names, digests, strict=True)})
    else:
        sha256, md5 = digests[0]
    if declared is not None and declared.removeprefix("sha256:").lower() != sha256:
        raise DataError(f"{where}: its content has the digest sha256:{sha256}, but {declared} is declared")
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
    """Yield a directory's files in the same order on every machine, and reject links to directories."""
    for entry in sorted(directory.iterdir(), key=lambda entry: os.fsencode(entry.name)):
        if entry.is_dir():
            if entry.is_symlink():
                raise DataError(f"{where}: {entry.name} is a link to a directory; name that directory itself")
            yield from _iterate_files(entry, where)
        elif entry.is_file():
            yield entry
        else:
            raise DataError(f"{where}: {entry.name} is not a file (but a broken link, a socket or a device)")


def _digest_file(path: Path, where: str, deadline: float) -> tuple[str, str]:
    """Return sha256 and MD5 of a file, both in hex."""
    status = path.stat()
    key = (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)
    if key in _known:
        return _known[key]
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with opened(path, max_bytes=sys.maxsize, follows_links=True) as file:
            for number, block in enumerate(file.iterate()):
                if not number and block.startswith(_LFS):
                    raise DataError(f"{where}: {path.name} is a git-lfs pointer; fetch the file with `git lfs pull`")
                sha256.update(block)
                md5.update(block)
                if time.monotonic() > deadline:
                    raise Unavailable("reading it took longer than its budget")
    except StoreError as error:
        raise DataError(f"{where}: {path.name}: {error}") from None
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    # After a change a moment ago, another may have the same time stamp.
    if time.time_ns() - status.st_mtime_ns > 2_000_000_000:
        _known[key] = sha256.hexdigest(), md5.hexdigest()
    return sha256.hexdigest(), md5.hexdigest()


def _describe_value(name: str, value: Any, deadline: float) -> JSON:
    is_object = is_captured_by_attributes(type(value))
    has_items = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    if not (is_object and has_items):
        try:
            return {"kind": type(value).__name__, "sha256": _digest_whole(value).partition(":")[2]}
        except ReproError as error:
            if not has_items:
                raise DataError(
                    f"repro.data({name!r}, ...): {error}. Give a path, arrays, a data frame, or a dataset with a length"
                ) from None
    return _describe_dataset(name, value, deadline)


def _digest_whole(value: Any) -> str:
    """Digest a value, or raise CaptureError if a part of it has no digest."""
    artifacts = capture_tree(value, copy=False)
    parts = [part for part in artifacts.not_compared if part.is_state]
    if parts:
        raise CaptureError(f"{parts[0].name} (a {parts[0].type_name}): {parts[0].reason}")
    if not artifacts.names:
        raise CaptureError(f"a {type(value).__name__} without content has no digest")
    return digest(artifacts)


def _describe_dataset(name: str, dataset: Any, deadline: float) -> JSON:
    """Digest a dataset item by item, with generators that are seeded for its transforms and restored afterwards."""
    from pytest_repro import seeding

    hasher, count = hashlib.sha256(), len(dataset)
    with seeding.seeded(0):
        for index in range(count):
            try:
                hasher.update(_digest_whole(dataset[index]).encode())
            except ReproError as error:
                raise DataError(f"repro.data({name!r}, ...): item {index}: {error}") from None
            if time.monotonic() > deadline:
                raise Unavailable(f"{index + 1:,} of {count:,} items took its whole budget; name the dataset's files")
    return {"kind": type(dataset).__name__, "items": count, "sha256": hasher.hexdigest()}


@dataclass(frozen=True, slots=True)
class _Declared:
    """The digest that a file of DVC declares for a path, which is ``<md5>.dir`` for a directory.

    `proves` is False if a different digest proves nothing: before version 3 DVC changed a text file's line ends first,
    and a ``.dvcignore`` excludes files of a directory.
    """

    md5: str
    file: Path
    proves: bool = True


def _find_declared(path: Path) -> _Declared | None:
    """Find the digest of a path in its own ``.dvc`` file, or in a ``dvc.lock`` above it."""
    target = _normal(path)
    own = target.with_name(f"{target.name}.dvc")
    for file in [own, *(parent / "dvc.lock" for parent in target.parents)]:
        for output, md5, is_legacy in _read_outputs(file):
            if _normal(file.parent / output) == target:
                return _Declared(md5, file, not (is_legacy or (md5.endswith(".dir") and _ignores(target))))
        if file is not own and ((file.parent / ".git").exists() or (file.parent / ".dvc").is_dir()):
            break
    return None


def _ignores(directory: Path) -> bool:
    """Return whether the directory or one above it has a ``.dvcignore`` with a pattern."""
    for folder in (directory, *directory.parents):
        try:
            data = read_file(folder / ".dvcignore", max_bytes=_MAX_DVC_BYTES, follows_links=True)
        except (OSError, StoreError):
            continue
        lines = data.decode("utf-8", "replace").splitlines()
        if any(line.strip() and not line.startswith("#") for line in lines):
            return True
    return False


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _read_outputs(file: Path) -> list[tuple[str, str, bool]]:
    """Read path, MD5 and whether the format is legacy of each output, without DVC or a YAML library.

    DVC writes lists of mappings with scalar values. A file of another structure declares nothing.
    """
    try:
        lines = read_file(file, max_bytes=_MAX_DVC_BYTES, follows_links=True).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError, StoreError):
        return []
    section, item = "", dict[str, str]()
    items: list[dict[str, str]] = []
    for line in lines:
        if match := _SECTION.fullmatch(line):
            section, item = match[1], {}
        elif match := _FIELD.fullmatch(line):
            if match[2]:
                item = {}
                if section == "outs":
                    items.append(item)
            item[match[3]] = match[4].strip().strip("'\"")
    return [
        (item["path"], item["md5"], "hash" not in item)
        for item in items
        if "path" in item and _MD5.fullmatch(item.get("md5", "")) and item.get("hash", "md5") == "md5"
    ]


def _tree_md5(files: Mapping[str, str]) -> str:
    """Return DVC's digest of a directory, from the MD5 of each file by its relative path (POSIX)."""
    entries = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    text = json.dumps(entries, sort_keys=True).encode("utf-8")
    return hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir"
