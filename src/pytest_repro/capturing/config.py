"""Hyperparameters as plain values."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from pytest_repro.errors import StoreError, UsageError
from pytest_repro.model import JSON
from pytest_repro.model.reading import read_file
from pytest_repro.model.redaction import digest_secrets

MAX_DEPTH = 20
MAX_BYTES = 16 * 2**20
MAX_KEY_PARTS = 200
#: How OmegaConf writes a value that is still to be given.
_MISSING = "???"
#: What separates keys from values and values from each other, as the numbers of a list.
_TOML_ITEMS = re.compile(r"[,=\"']")


def describe_config(value: Any) -> JSON:
    """Describe hyperparameters, those under names of secrets by a digest.

    Parameters
    ----------
    value : mapping, dataclass, argparse.Namespace, OmegaConf node, or path of a file
        A file is described by its digest, and by its content if it is JSON or TOML.

    Raises
    ------
    UsageError
        If a value in it has no plain form, an interpolation cannot be resolved, or the file cannot be read. The
        message names it.

    Notes
    -----
    A value that is missing in an OmegaConf node is described as ``???``, as :func:`list_missing` reports.
    """
    described: JSON = digest_secrets(_describe(value))
    return described


def list_missing(value: Any) -> list[str]:
    """List the values that are missing (``???``) in OmegaConf nodes, by their place."""
    if "omegaconf" not in sys.modules or isinstance(value, (str, os.PathLike)):
        return []
    return list(_iterate_missing(_describe(value), "config"))


def _iterate_missing(described: JSON, where: str) -> Iterator[str]:
    if isinstance(described, dict):
        for key, item in described.items():
            yield from _iterate_missing(item, _place(where, key))
    elif isinstance(described, list):
        for number, item in enumerate(described):
            yield from _iterate_missing(item, f"{where}[{number}]")
    elif described == _MISSING:
        yield where


def _describe(value: Any) -> JSON:
    if isinstance(value, (str, os.PathLike)):
        return _describe_file(Path(os.fspath(value)))
    resolved = _resolve(value, "config")
    if resolved is not value:
        return _plain(resolved, "config", 0)
    is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
    if not (isinstance(value, (Mapping, argparse.Namespace)) or is_record):
        raise UsageError(
            "repro.config takes a mapping, a dataclass, an argparse.Namespace, an OmegaConf node or a path, "
            f"got {type(value).__name__}"
        )
    return _plain(value, "config", 0)


def _resolve(value: Any, where: str) -> Any:
    """Return the plain values of an OmegaConf node, and any other value as it is."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is None or not omegaconf.OmegaConf.is_config(value):
        return value
    try:
        plain = omegaconf.OmegaConf.to_container(value, resolve=True)
    except omegaconf.errors.OmegaConfBaseException as error:
        problem = str(error).partition("\n")[0][:200]
        raise UsageError(f"repro.config: {_place(where, error.full_key)} cannot be resolved: {problem}") from None
    return plain


def _place(where: str, key: object) -> str:
    text = str(key or "")[:200]
    return f"{where}{text}" if text.startswith("[") or not text else f"{where}.{text}"


def _describe_file(path: Path) -> JSON:
    where = f"repro.config({str(path)!r})"
    try:
        data = read_file(path, max_bytes=MAX_BYTES, advice="name a file of settings", follows_links=True)
        found: dict[str, JSON] = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
        if path.suffix == ".json":
            found["content"] = _plain(json.loads(data), path.name, 0)
        elif path.suffix == ".toml":
            found["content"] = _plain(tomllib.loads(_check_toml(data.decode("utf-8"))), path.name, 0)
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError, StoreError) as error:
        raise UsageError(f"{where}: cannot read it: {error}") from None
    return found


def _check_toml(text: str) -> str:
    """Return a document, unless it has a key of so many parts that Python's parser takes quadratic time."""
    for line in text.splitlines():
        parts = max(part.count(".") for part in _TOML_ITEMS.split(line))
        if parts > MAX_KEY_PARTS:
            raise UsageError(f"repro.config: a key of {parts:,} parts; at most {MAX_KEY_PARTS} are read")
    return text


def _plain(value: Any, where: str, depth: int) -> JSON:
    if depth > MAX_DEPTH:
        raise UsageError(f"repro.config: {where[:200]} is nested more than {MAX_DEPTH} deep, or contains itself")
    if value is None or type(value) in (bool, int, float, str):
        return value  # type: ignore[no-any-return]
    value = _resolve(value, where)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{number}]", depth + 1) for number, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, where, depth + 1) for item in value), key=repr)
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    return _plain_other(value, where)


def _plain_other(value: Any, where: str) -> JSON:
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, type) or callable(value):
        name = getattr(value, "__qualname__", "")
        if name and "<" not in name:
            return f"{value.__module__}.{name}"
    for plain in (bool, int, float, str):  # their subclasses
        if isinstance(value, plain):
            return plain(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _plain(value.item(), where, MAX_DEPTH)
    if type(value).__module__ == "torch" and type(value).__name__ in ("dtype", "device"):
        return str(value)
    raise UsageError(
        f"repro.config: {where} is a {type(value).__name__}; give numbers, text, lists or mappings of these"
    )
