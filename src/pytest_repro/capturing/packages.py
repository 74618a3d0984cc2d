"""Installed packages, with a digest of their files, and whether they can change the bits of a result."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pytest_repro.model import JSON

#: Packages that compute, or contain code that does. Packages that require one of them may change bits too.
NUMERICAL = frozenset({
    "autograd", "blis", "catboost", "cupy", "dask", "ggml", "intel-openmp", "jax", "jaxlib", "keras", "lightgbm",
    "llvmlite", "ml-dtypes", "mkl", "mlx", "mxnet", "numba", "numexpr", "numpy", "onednn", "onnxruntime", "openblas",
    "opencv-python", "opencv-python-headless", "openvino", "paddlepaddle", "pillow", "polars", "pyarrow", "scipy",
    "scipy-openblas32", "scipy-openblas64", "tbb", "tensorflow", "tensorrt", "tinygrad", "tokenizers", "torch",
    "triton", "xgboost",
})  # fmt: skip
_PREFIXES = (
    "cupy-", "jax-cuda", "jax-rocm", "nvidia-", "onnxruntime-", "pytorch-triton", "tensorflow-", "tensorrt-",
    "xgboost-",
)  # fmt: skip
#: Requires NumPy for comparing, but computes no result of a test.
_OWN = "pytest-repro"
#: Written by the installer or by a first import, or containing a path of this machine.
_IGNORED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def describe_packages(found: Iterable[Distribution] | None = None) -> JSON:
    """Describe every installed distribution.

    Returns
    -------
    dict
        Name (normalised) -> ``version``, ``record`` (digest of its normalised RECORD, None if it has none) and
        ``numerical`` (whether it can change bits). ``local`` marks a package that was installed from a directory:
        the project under test, which is code and not environment. Of two with one name the first counts, which is
        the one imported.
    """
    packages: dict[str, _Package] = {}
    for package in _read_installed() if found is None else map(_read, found):
        if package is not None:
            packages.setdefault(package.name, package)
    numerical = find_numerical({name: package.needs for name, package in packages.items()})
    described: dict[str, JSON] = {}
    for name, package in sorted(packages.items()):
        described[name] = {"version": package.version, "record": package.record, "numerical": name in numerical}
        if package.is_local:
            described[name] = {"version": package.version, "record": package.record, "numerical": False, "local": True}
    return described


@dataclass(frozen=True, slots=True)
class _Package:
    """Metadata of an installed distribution, with the digest of its RECORD and the packages it requires."""

    name: str
    version: str
    record: str | None
    is_local: bool
    needs: frozenset[str]


def _read(distribution: Distribution) -> _Package | None:
    given = distribution.metadata["Name"]
    if not given:
        return None
    text = distribution.read_text("RECORD")
    needs = frozenset(normalise(m.group()) for line in distribution.requires or [] if (m := _required(line)))
    record = digest_record(text) if text else None
    return _Package(normalise(given), distribution.version, record, _is_local(distribution), needs)


def _read_installed() -> Iterator[_Package | None]:
    """Read the packages on ``sys.path``, and each directory again only after it has changed."""
    for entry in sys.path:
        if not isinstance(entry, str):  # Python's own imports ignore it too
            continue
        with contextlib.suppress(OSError):
            place = Path(entry).absolute()
            if (place.parent / "__init__.py").exists():
                continue  # a package's vendored packages: setuptools adds its own when it is imported
            changed_ns = place.stat().st_mtime_ns
            # After a change a moment ago, another may have the same time stamp.
            is_fresh = time.time_ns() - changed_ns < 2_000_000_000
            yield from (_read_directory.__wrapped__ if is_fresh else _read_directory)(place, changed_ns)


@functools.lru_cache(maxsize=64)
def _read_directory(place: Path, changed_ns: int) -> list[_Package | None]:
    return [_read(distribution) for distribution in distributions(path=[str(place)])]


def find_local(found: Iterable[Distribution] | None = None) -> set[str]:
    """Return the names of the distributions that were installed from a directory, and are not a known release."""
    given = distributions() if found is None else found
    return {normalise(d.metadata["Name"]) for d in given if d.metadata["Name"] and _is_local(d)}


def find_editable(found: Iterable[Distribution] | None = None) -> dict[str, Path]:
    """Return the directory of each distribution that is used from where its code is (PEP 660)."""
    places: dict[str, Path] = {}
    for distribution in distributions() if found is None else found:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = json.loads(distribution.read_text("direct_url.json") or "{}")
            url = urlsplit(str(entry.get("url")))
            if entry.get("dir_info", {}).get("editable") and url.scheme == "file" and distribution.metadata["Name"]:
                places.setdefault(normalise(distribution.metadata["Name"]), Path(url2pathname(url.path)))
    return places


def _is_local(distribution: Distribution) -> bool:
    """Return whether a distribution was installed from a directory, editable or not (PEP 610)."""
    text = distribution.read_text("direct_url.json")
    try:
        return text is not None and "dir_info" in json.loads(text)
    except ValueError:
        return False


def normalise(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def digest_record(text: str) -> str:
    """Digest a distribution's RECORD without entries that differ between two installations of one file.

    These are byte code, the installer's notes, and scripts, whose first line has the interpreter's path.
    """
    lines = []
    for row in csv.reader(text.splitlines()):
        path = row[0].replace("\\", "/") if row else ""
        name = path.rpartition("/")[2]
        is_note = ".dist-info/" in path and name in _IGNORED
        if path and not is_note and not path.endswith(".pyc") and not path.startswith(("../", "/")):
            lines.append(",".join([path, *row[1:2]]))
    return f"sha256:{hashlib.sha256(chr(10).join(sorted(lines)).encode('utf-8', 'surrogateescape')).hexdigest()}"


def is_numerical(name: str) -> bool:
    """Return whether a package computes, or contains code that does."""
    return name in NUMERICAL or name.startswith(_PREFIXES)


def find_numerical(needs: Mapping[str, AbstractSet[str]]) -> set[str]:
    """Return the packages that compute, and those that directly or indirectly require one."""
    found = {name for name in needs if is_numerical(name)}
    grows = True
    while grows:
        new = {name for name, required in needs.items() if name not in found and name != _OWN and required & found}
        found |= new
        grows = bool(new)
    return found


def _required(line: str) -> re.Match[str] | None:
    """Return the name in a requirement, or None if an extra requires it."""
    return None if "extra" in line.partition(";")[2] else _NAME.match(line.strip())
