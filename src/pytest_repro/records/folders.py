"""Write a folder of files in place of an older one, so that a reader finds either the one or the other.

A bundle is worth something only as a whole. So the new one is written whole, next to the old one, and then takes its
place in one step. Whatever ends the writer, at least one of the two is on disk as a whole: under its name, or in a
hidden folder beside it, which ``pytest-repro prune`` finds.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from pytest_repro.records.bundle_files import RECORDS_FOLDER

Previous = Literal["set", "keep", "remove"]
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: Errors of a file system, or of a folder on which another one is mounted, that cannot exchange folders.
_UNABLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS)


def previous_folder(directory: Path) -> Path:
    """Return where the bundle of an earlier session stays while another session runs."""
    return directory.with_name(f"{directory.name}.previous")


def replace_folder(
    directory: Path, files: Mapping[str, bytes], own_names: Collection[str], *, previous: Previous = "remove"
) -> None:
    """Write files into a folder, in place of those of its own that it has.

    Parameters
    ----------
    directory : Path
    files : mapping
        Name -> content. The last one makes the others valid, and takes its place last.
    own_names : collection of str
        Names that the folder may have of its own. All other files in it stay as they are.
    previous : {"set", "keep", "remove"}
        What becomes of :func:`previous_folder`: the older files move there, unless it has some; it stays as it is; it
        is removed.

    Raises
    ------
    OSError
        If the disk is full, or the folder cannot be written. The older files are unchanged.
    """
    directory = directory.resolve()
    aside = previous_folder(directory)
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is not a directory", str(directory))
    directory.parent.mkdir(parents=True, exist_ok=True)
    is_swapped = False
    if not directory.exists() or _is_whole(directory, own_names):
        with contextlib.suppress(_UnableError):
            _swap(directory, files, aside if previous == "set" else None)
            is_swapped = True
    if not is_swapped:
        _replace_each(directory, files, own_names, aside if previous == "set" else None)
    if previous == "remove" and aside.is_dir() and _is_whole(aside, own_names):
        shutil.rmtree(aside, ignore_errors=True)


class _UnableError(Exception):
    """This folder cannot be exchanged for another one."""


def _is_whole(directory: Path, own_names: Collection[str]) -> bool:
    """Return whether a folder has no other files than its own."""
    return all(path.name in own_names or _is_records(path) for path in directory.iterdir())


def _is_records(path: Path) -> bool:
    return path.name == RECORDS_FOLDER and path.is_dir() and not path.is_symlink()


def _swap(directory: Path, files: Mapping[str, bytes], previous: Path | None) -> None:
    part = directory.with_name(f".{directory.name}.{secrets.token_hex(8)}.part")
    try:
        try:
            _fill(part, files)
        except OSError as error:
            raise _UnableError if error.errno in _UNABLE else error from None
        try:
            os.rename(part, directory)  # noqa: PTH104 - fails for a folder that is not empty
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise _UnableError from None
        else:
            _sync_folder(directory.parent)
            return
        _exchange(part, directory)
        _sync_folder(directory.parent)
        if previous is not None and not previous.exists():
            part.rename(previous)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync_folder(folder)


def _exchange(left: Path, right: Path) -> None:
    """Exchange two folders in one step where the system can, and else in two, with the older one aside between them."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is not None:
        arguments = (_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _RENAME_EXCHANGE)
        if rename(*arguments) == 0:
            return
        number = ctypes.get_errno()
        if number not in _UNABLE:
            raise OSError(number, os.strerror(number), str(right))
    aside = left.with_suffix(".old")
    try:
        right.rename(aside)
    except OSError:
        raise _UnableError from None
    try:
        left.rename(right)
    except OSError:
        aside.rename(right)
        raise
    aside.rename(left)


def _replace_each(
    directory: Path, files: Mapping[str, bytes], own_names: Collection[str], previous: Path | None
) -> None:
    """Replace the files of a folder that holds others as well. The older ones stay aside until all are in place."""
    directory.mkdir(exist_ok=True)
    token = secrets.token_hex(8)
    part, aside = directory / f".bundle.{token}.part", directory / f".bundle.{token}.old"
    placed: list[str] = []
    done = False
    try:
        _fill(part, files)
        old = [path for path in directory.iterdir() if path.name in own_names or _is_records(path)]
        if old:
            aside.mkdir()
        for path in old:
            _copy(path, aside / path.name)
        if old and previous is not None and not previous.exists():
            shutil.copytree(aside, previous)
        last = [*files][-1]
        (directory / last).unlink(missing_ok=True)  # what is mixed must not look like a whole
        for path in old:
            if path.name not in files:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        for name in files:
            placed.append(name)
            (directory / name).parent.mkdir(exist_ok=True)
            (part / name).replace(directory / name)
        _sync_folder(directory)
        done = True
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if done or (_remove_new(placed, aside, directory) and _restore(aside, directory)):
            shutil.rmtree(aside, ignore_errors=True)


def _copy(path: Path, target: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        target.mkdir()
        for each in path.iterdir():
            _copy(each, target / each.name)
        return
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, target, follow_symlinks=False)


def _remove_new(placed: Collection[str], aside: Path, directory: Path) -> bool:
    """Remove the new files that take the place of no older one, and return whether that was possible."""
    try:
        for name in placed:
            if not os.path.lexists(aside / name):
                (directory / name).unlink(missing_ok=True)
        if placed and not (aside / RECORDS_FOLDER).exists() and _is_records(directory / RECORDS_FOLDER):
            (directory / RECORDS_FOLDER).rmdir()
    except OSError:
        return False
    return True


def _restore(aside: Path, directory: Path) -> bool:
    """Put the older files back after a failure, and return whether that was possible."""
    try:
        for path in aside.iterdir() if aside.exists() else ():
            if path.is_dir() and not path.is_symlink():
                (directory / path.name).mkdir(exist_ok=True)
                for each in path.iterdir():
                    each.replace(directory / path.name / each.name)
            else:
                path.replace(directory / path.name)
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
