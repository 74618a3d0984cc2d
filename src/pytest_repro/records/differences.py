"""What differs between the circumstances of a record and those here, most likely explanation first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_repro.axes import BUILT_IN_NAMES
from pytest_repro.capturing.budget import is_unavailable
from pytest_repro.capturing.packages import is_numerical
from pytest_repro.model import JSON
from pytest_repro.records.canonical import as_document

#: How likely each part explains another result, 100 for certain; the order of a report, no probability.
WEIGHTS = {
    "data": 98,
    "config": 96,
    "condition": 94,
    "accelerators": 90,
    "package that computes": 86,
    "BLAS or OpenMP": 84,
    "instruction sets": 80,
    "threads": 78,
    "setting": 76,
    "variable": 72,
    "code": 70,
    "project": 68,
    "processor": 64,
    "C library": 58,
    "package on one side only": 56,
    "package that requires one that computes": 54,
    "python": 50,
    "platform": 48,
    "container": 30,
    "lock file": 12,
    "other package": 8,
}
#: Parts that say nothing of the environment's kernels. Other data, configuration or code give another result in the
#: same environment too, which is to be seen and not to be tolerated.
_NO_ENVIRONMENT = {"data", "config", "code", "project", "container", "lock file", "other package"}
_AXES = {
    "accelerators": "device",
    "BLAS or OpenMP": "isa",
    "instruction sets": "isa",
    "processor": "isa",
    "C library": "isa",
    "threads": "threads",
    "python": "python",
    "package that computes": "python",
    "package that requires one that computes": "python",
    "package on one side only": "python",
}
#: How documents hold a float; a reader wants it in decimal, which Python writes as exactly.
_HEXADECIMAL = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p(?:-\d{1,4}|\+(?:\d{1,3}|10[01]\d|102[0-3]))")
_THREAD_VARIABLES = ("_NUM_THREADS", "_THREAD_LIMIT")
_KERNEL_VARIABLES = ("OPENBLAS_CORETYPE", "MKL_", "ONEDNN_", "DNNL_", "ATEN_CPU", "NPY_", "GLIBC_TUNABLES", "NUMBA_CPU")


@dataclass(frozen=True, slots=True)
class Difference:
    """One circumstance that differs.

    Attributes
    ----------
    part, name : str
        ``package that computes``, ``numpy``.
    recorded, here : JSON
        None where a side has none.
    """

    part: str
    name: str
    recorded: JSON
    here: JSON

    @property
    def weight(self) -> int:
        """How likely it explains another result."""
        return WEIGHTS[self.part]

    @property
    def changes_bits(self) -> bool:
        """Whether the environment's bits are not to be expected because of it."""
        return self.part not in _NO_ENVIRONMENT

    @property
    def axis(self) -> str:
        """The axis that can vary this part here, to confirm it; empty where none can."""
        axis = _AXES.get(self.part, "")
        if self.part == "variable":
            if self.name.endswith(_THREAD_VARIABLES):
                axis = "threads"
            elif self.name.startswith(_KERNEL_VARIABLES):
                axis = "isa"
            elif self.name == "PYTHONHASHSEED":
                axis = "hash_seed"
        if self.part == "setting" and self.name.endswith("num_threads"):
            axis = "threads"
        return axis if axis in BUILT_IN_NAMES else ""

    @property
    def confirm(self) -> str:
        """The option that could confirm it here, such as ``--repro-across=isa``; empty where none can."""
        if self.axis == "threads" and isinstance(self.recorded, int) and isinstance(self.here, int):
            return f"--repro-across=threads={self.here}:{self.recorded}"
        return f"--repro-across={self.axis}" if self.axis else ""

    def describe(self) -> str:
        """Say it in a line: ``package that computes numpy: 2.3.0 -> 2.4.0``."""
        name = f" {self.name}" if self.name else ""
        return f"{self.part}{name}: {_say(self.recorded)} -> {_say(self.here)}"

    def to_json(self) -> dict[str, JSON]:
        """Return it with its rank and the axis that could confirm it."""
        return {
            "part": self.part,
            "name": self.name,
            "recorded": self.recorded,
            "here": self.here,
            "weight": self.weight,
            "changes_bits": self.changes_bits,
            "confirm": self.confirm or None,
        }


def find_differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[Difference]:
    """Compare the circumstances of two records, or of a record and a test that is running.

    Parameters
    ----------
    recorded, here : mapping
        ``environment``, ``code``, ``data``, ``config``, ``settings``, ``condition`` as documents.

    Returns
    -------
    list of Difference
        By weight, then by name. A fact unavailable on both sides is no difference; on one side it is.
    """
    found: list[Difference] = []
    for part in ("data", "condition"):
        found += _by_name(part, recorded.get(part), here.get(part))
    found += _config(recorded.get("config"), here.get("config"))
    found += _settings(recorded.get("settings"), here.get("settings"))
    found += _code(recorded.get("code"), here.get("code"))
    found += _environment(_mapping(recorded.get("environment")), _mapping(here.get("environment")))
    return sorted(found, key=lambda difference: (-difference.weight, difference.name))


def document_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts in the form in which a record holds them, so that they can be compared with its."""
    return {name: as_document(value) for name, value in facts.items()}


def _by_name(part: str, recorded: Any, here: Any) -> Iterator[Difference]:
    left, right = _mapping(recorded), _mapping(here)
    for name in sorted({*left, *right}):
        if left.get(name) != right.get(name):
            yield Difference(part, name, left.get(name), right.get(name))


def _config(recorded: Any, here: Any, name: str = "") -> Iterator[Difference]:
    """Compare hyperparameters one by one, ``config.optimizer.lr``: in a long list the one that differs is lost."""
    left, right = _mapping(recorded), _mapping(here)
    of_file = isinstance(left.get("content"), dict) and isinstance(right.get("content"), dict)
    for key in sorted({*left, *right}):
        one, other, path = left.get(key), right.get(key), f"{name}.{key}".lstrip(".")
        if one == other or (of_file and key == "sha256" and left["content"] != right["content"]):
            continue  # of a file whose settings differ the digest says nothing more
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _config(one, other, name if of_file and key == "content" else path)
        else:
            yield Difference("config", path, one, other)


def _settings(recorded: Any, here: Any) -> Iterator[Difference]:
    """Compare settings that both sides have: which frameworks are loaded hangs on what ran before."""
    left, right = _mapping(recorded), _mapping(here)
    for name in sorted(left.keys() & right.keys()):
        if left[name] != right[name] and not name.endswith("print_options"):
            yield Difference("setting", name, left[name], right[name])


def _code(recorded: Any, here: Any) -> Iterator[Difference]:
    left, right = _mapping(recorded), _mapping(here)
    for name in ("commit", "diff", "submodules", "unavailable"):
        if left.get(name) != right.get(name) and (name != "commit" or left.get("tree") != right.get("tree")):
            yield Difference("code", name, left.get(name), right.get(name))


def _environment(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Difference]:
    for key, compare in _COLLECTORS.items():
        left, right = recorded.get(key), here.get(key)
        if left == right:
            continue
        # A record is not trusted: what has another form than ours is one whole that differs.
        if not (_is_sound(key, left) and _is_sound(key, right)):
            yield Difference(_WHOLE[key], "", left, right)
            continue
        if left is None or right is None or is_unavailable(left) or is_unavailable(right):
            if not (is_unavailable(left) and is_unavailable(right)):
                yield Difference(_WHOLE[key], "", left, right)
            continue
        yield from compare(left, right)


def _is_sound(key: str, value: Any) -> bool:
    if value is None or is_unavailable(value) or key in ("accelerators", "container"):
        return True
    if key == "thread_pools":
        return isinstance(value, list) and all(isinstance(pool, dict) for pool in value)
    if key == "packages":
        return isinstance(value, dict) and all(isinstance(package, dict) for package in value.values())
    sets = value.get("instruction_sets") or [] if isinstance(value, dict) else None
    return isinstance(sets, list) and all(isinstance(name, str) for name in sets)


def _platform(left: Any, right: Any) -> Iterator[Difference]:
    for difference in _by_name("platform", left, right):
        if difference.name == "libc":
            yield Difference("C library", "", difference.recorded, difference.here)
        else:
            yield difference


def _cpu(left: Any, right: Any) -> Iterator[Difference]:
    # Not the number of cores: what it changes is the number of threads, which is told by itself.
    one, other = set(left.get("instruction_sets") or ()), set(right.get("instruction_sets") or ())
    if one != other:
        yield Difference("instruction sets", "", [*sorted(one - other)], [*sorted(other - one)])
    if left.get("model") != right.get("model"):
        yield Difference("processor", "", left.get("model"), right.get("model"))


def _packages(left: Any, right: Any) -> Iterator[Difference]:
    for name in sorted({*left, *right}):
        one, other = left.get(name) or {}, right.get(name) or {}
        if one == other:
            continue
        part = "other package"
        if one.get("local") or other.get("local"):
            part = "project"
        elif one.get("numerical") or other.get("numerical"):
            part = "package that computes" if is_numerical(name) else "package that requires one that computes"
            if not (one and other):  # the test may not even know of it
                part = "package on one side only"
        versions = [side.get("version") for side in (one, other)]
        if versions[0] == versions[1]:
            if one.get("record") == other.get("record"):
                continue
            versions = [f"{side.get('version')} ({str(side.get('record'))[:14]})" for side in (one, other)]
        yield Difference(part, name, *versions)


def _pools(left: Any, right: Any) -> Iterator[Difference]:
    one, other = ([{k: v for k, v in pool.items() if k != "num_threads"} for pool in side] for side in (left, right))
    if one != other:
        yield Difference("BLAS or OpenMP", "", left, right)
        return
    for before, now in zip(left, right, strict=True):
        if before.get("num_threads") != now.get("num_threads"):
            name = str(before.get("internal_api") or before.get("user_api"))
            yield Difference("threads", name, before.get("num_threads"), now.get("num_threads"))


def _whole(part: str) -> Any:
    return lambda left, right: iter([Difference(part, "", left, right)])


_COLLECTORS: dict[str, Any] = {
    "python": lambda left, right: _by_name("python", left, right),
    "platform": _platform,
    "cpu": _cpu,
    "packages": _packages,
    "thread_pools": _pools,
    "accelerators": _whole("accelerators"),
    "variables": lambda left, right: _by_name("variable", left, right),
    "container": _whole("container"),
    "lock_files": lambda left, right: _by_name("lock file", left, right),
}
_WHOLE = {
    "python": "python",
    "platform": "platform",
    "cpu": "processor",
    "packages": "package that computes",
    "thread_pools": "BLAS or OpenMP",
    "accelerators": "accelerators",
    "variables": "variable",
    "container": "container",
    "lock_files": "lock file",
}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _say(value: JSON) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict) and "unavailable" in value:
        return f"unknown ({value['unavailable']})"
    if isinstance(value, dict) and "sha256" in value:
        return f"sha256:{str(value['sha256'])[:12]}"
    text = ", ".join(map(_short, value)) or "none" if isinstance(value, list) else str(value)
    if isinstance(value, str) and _HEXADECIMAL.fullmatch(value):
        text = repr(float.fromhex(value))
    return text if len(text) <= 100 else f"{text[:97]}..."


def _short(value: JSON) -> str:
    """Say an entry of a list: of a thread pool its kernels, of an accelerator its name and driver."""
    if not isinstance(value, dict):
        return str(value)
    return " ".join(str(item) for key, item in value.items() if key not in ("user_api", "prefix"))
