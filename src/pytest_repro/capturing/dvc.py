"""What DVC declares of a path, read from ``.dvc`` files and ``dvc.lock`` without DVC or a YAML library.

DVC writes both in one plain shape: lists of mappings with scalar values. What has another shape declares nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 64 * 2**20
_SECTION = re.compile(r"\s*(?:- )?([\w.-]+):\s*")
_FIELD = re.compile(r"(\s*)(- )?([\w.-]+): (.*)")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True, slots=True)
class Declared:
    """The digest that a file of DVC declares of a path; ``<md5>.dir`` for a directory.

    `proves` is False where another digest proves nothing: before version 3 DVC changed a text file's line ends first,
    and a ``.dvcignore`` leaves files of a directory out.
    """

    md5: str
    file: Path
    proves: bool = True


def find_declared(path: Path) -> Declared | None:
    """Return what DVC declares of a path: its own ``.dvc`` file, or the outputs of a ``dvc.lock`` above it."""
    target = _normal(path)
    own = target.with_name(f"{target.name}.dvc")
    for file in [own, *(parent / "dvc.lock" for parent in target.parents)]:
        for output, md5, is_legacy in _read_outputs(file):
            if _normal(file.parent / output) == target:
                return Declared(md5, file, not (is_legacy or (md5.endswith(".dir") and _ignores(target))))
        if file is not own and ((file.parent / ".git").exists() or (file.parent / ".dvc").is_dir()):
            break
    return None


def _ignores(directory: Path) -> bool:
    """Tell whether a ``.dvcignore`` with a pattern in it stands in the directory or above."""
    for folder in (directory, *directory.parents):
        try:
            lines = (folder / ".dvcignore").read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        if any(line.strip() and not line.startswith("#") for line in lines):
            return True
    return False


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _read_outputs(file: Path) -> list[tuple[str, str, bool]]:
    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return []
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
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


def tree_md5(files: Mapping[str, str]) -> str:
    """Return DVC's digest of a directory, from relative path (POSIX) -> MD5 of each file."""
    entries = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    text = json.dumps(entries, sort_keys=True).encode("utf-8")
    return hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir"
