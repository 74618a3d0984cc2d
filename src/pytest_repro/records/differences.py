"""Differences between the circumstances of a record and those here, most likely explanation first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pytest_repro.axes import BUILT_IN_NAMES
from pytest_repro.capturing.budget import is_unavailable
from pytest_repro.capturing.packages import is_numerical
from pytest_repro.model import JSON
from pytest_repro.model.codec import read_float
from pytest_repro.model.reported import Circumstance
from pytest_repro.model.text import escape
from pytest_repro.records.canonical import as_document

#: How likely each part explains another result, 100 for certain. It orders a report and is not a probability.
WEIGHTS = {
    "data": 98,
    "config": 96,
    "condition": 94,
    "accelerators": 90,
    "files of a package": 88,
    "package that computes": 86,
    "BLAS or OpenMP": 84,
    "instruction sets": 80,
    "threads": 78,
    "setting": 76,
    "hash seed": 74,
    "variable": 72,
    "variable that the test read": 71,
    "code": 70,
    "project": 68,
    "processor": 64,
    "C library": 58,
    "package on one side only": 56,
    "package that requires one that computes": 54,
    "python": 50,
    "platform": 48,
    "time zone": 46,
    "locale": 44,
    "tolerance": 40,
    "container": 30,
    "lock file": 12,
    "other package": 8,
}
#: Parts that have nothing to do with the environment's kernels. Other data, configuration or code give another result
#: in the same environment too, which must be shown and not tolerated.
_NO_ENVIRONMENT = {
    "data", "config", "code", "project", "container", "lock file", "other package", "hash seed", "time zone", "locale",
    "variable that the test read", "tolerance",
}  # fmt: skip
_AXES = {
    "accelerators": "device",
    "hash seed": "hash_seed",
    "time zone": "timezone",
    "locale": "locale",
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
_RANDOM = "random"
#: A release that an index may have.
_RELEASE = re.compile(r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*")
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
#: Digits of a digest that a line shows.
_SHOWN_DIGITS = 12
#: Facts that most environments do not have.
_OPTIONAL = ("container", "lock_files")
_MAX_NAMES = 5
#: Changed files that are listed.
_MAX_FILES = 20
_THREAD_VARIABLES = ("_NUM_THREADS", "_THREAD_LIMIT")
#: What is shown of a thread pool, the most telling parts first: a record has the keys in the order of the alphabet.
_POOL_PARTS = ("internal_api", "architecture", "version", "threading_layer", "num_threads")
MAX_POOL_DETAIL = 3
_KERNEL_VARIABLES = ("OPENBLAS_CORETYPE", "MKL_", "ONEDNN_", "DNNL_", "ATEN_CPU", "NPY_", "GLIBC_TUNABLES", "NUMBA_CPU")


def make_circumstance(part: str, name: str, recorded: JSON, here: JSON) -> Circumstance:
    """Return one circumstance that differs, with its weight and what could confirm that it matters."""
    axis = _axis(part, name)
    confirm = f"--repro-across={axis}" if axis else None
    if axis == "threads" and isinstance(recorded, int) and isinstance(here, int):
        confirm = f"--repro-across=threads={here}:{recorded}"
    elif axis == "python":
        confirm = option_of_releases(part, name, [recorded])
    return Circumstance(part, name, recorded, here, WEIGHTS[part], part not in _NO_ENVIRONMENT, confirm)


def option_of_releases(part: str, name: str, releases: Iterable[JSON]) -> str | None:
    """Return the option that runs a test with these releases of a package, or of Python. None if one cannot be had."""
    texts = [text for text in releases if isinstance(text, str) and _RELEASE.fullmatch(text)]
    if not texts:
        return None
    if part == "python":
        if name != "version":
            return None
        values = [f"python{'.'.join(text.split('.')[:2])}" for text in texts]
    else:
        values = [f"{name}=={text}" for text in texts]
    return f"--repro-across=python={':'.join(dict.fromkeys(values))}"


def _axis(part: str, name: str) -> str:
    """Return the axis that can vary a part here, to confirm it, or an empty text if none can."""
    axis = _AXES.get(part, "")
    if part == "variable":
        if name.endswith(_THREAD_VARIABLES):
            axis = "threads"
        elif name.startswith(_KERNEL_VARIABLES):
            axis = "isa"
    if part == "setting" and name.endswith("num_threads"):
        axis = "threads"
    return axis if axis in BUILT_IN_NAMES else ""


def describe_circumstance(found: Circumstance) -> str:
    """Return a circumstance in a line: ``package that computes numpy: 2.3.0 -> 2.4.0``."""
    name = f" {found.name}" if found.name else ""
    return escape(f"{found.part}{name}: {say_value(found.recorded)} -> {say_value(found.here)}")


def find_differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[Circumstance]:
    """Compare the circumstances of two records, or of a record and a test that is running.

    Parameters
    ----------
    recorded, here : mapping
        ``environment``, ``code``, ``data``, ``config``, ``settings``, ``condition``, ``variables_read``,
        ``policy`` as documents.

    Returns
    -------
    list of Circumstance
        By weight, then by name. A fact that is unavailable on both sides does not differ; on one side it does.
    """
    found: list[Circumstance] = []
    for part in ("data", "condition"):
        found += _by_name(part, recorded.get(part), here.get(part))
    found += _variables_read(recorded.get("variables_read"), here.get("variables_read"))
    found += _config(recorded.get("config"), here.get("config"))
    found += _settings(recorded.get("settings"), here.get("settings"))
    found += _code(recorded.get("code"), here.get("code"))
    found += _tolerances(_mapping(recorded.get("policy")), _mapping(here.get("policy")))
    found += _environment(_mapping(recorded.get("environment")), _mapping(here.get("environment")))
    # NumPy's and SciPy's pools of threads read alike.
    found = [each for index, each in enumerate(found) if each not in found[:index]]
    return sorted(found, key=lambda difference: (-difference.weight, difference.name))


def find_unrecorded(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return what may differ and is not compared, in words, with the option that varies it where there is one."""
    environments = _mapping(recorded.get("environment")), _mapping(here.get("environment"))
    found = []
    if all(side.get("hash_seed", _RANDOM) == _RANDOM for side in environments):
        found.append("the hash seed, which was random each time (vary it with --repro-across=hash_seed)")
    for key, (part, _) in _COLLECTORS.items():
        sides = [side.get(key) for side in environments]
        if key not in _OPTIONAL and all(side is None or is_unavailable(side) for side in sides):
            reason = next((str(side["unavailable"]) for side in sides if side is not None), "not collected")
            found.append(f"{part} ({reason})")
    files = [_mapping(_mapping(side.get("package_files")).get("unchecked")) for side in environments]
    if unchecked := sorted({*files[0], *files[1]}):
        more = f" and {len(unchecked) - _MAX_NAMES} more" if len(unchecked) > _MAX_NAMES else ""
        found.append(f"the files of {', '.join(unchecked[:_MAX_NAMES])}{more}")
    if not (recorded.get("data") or here.get("data")):
        found.append("data that the test reads (name it with repro.data)")
    return [*found, "services, the clock and other files that the test reads"]


def document_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts in the form that a record stores, so that the two can be compared."""
    return {name: as_document(value) for name, value in facts.items()}


def _by_name(part: str, recorded: Any, here: Any) -> Iterator[Circumstance]:
    left, right = _mapping(recorded), _mapping(here)
    for name in sorted({*left, *right}):
        if left.get(name) != right.get(name):
            yield make_circumstance(part, name, left.get(name), right.get(name))


def _variables_read(recorded: Any, here: Any) -> Iterator[Circumstance]:
    """Compare variables that both sides know: which ones are read also depends on the tests that are collected."""
    left, right = _mapping(recorded), _mapping(here)
    for name in sorted(left.keys() & right.keys()):
        if left[name] != right[name]:
            yield make_circumstance("variable that the test read", name, left[name], right[name])


def _tolerances(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Circumstance]:
    """Compare what the test tolerates, which decides what `within tolerance` means."""
    left, right = recorded.get("tolerance"), here.get("tolerance")
    if left is not None and right is not None and left != right:
        yield make_circumstance("tolerance", "", _say_rules(left), _say_rules(right))


def _say_rules(rules: Any) -> str:
    pairs = [rule for rule in rules if isinstance(rule, list)] if isinstance(rules, list) else []
    # A record is not trusted. Without a pattern, the bounds hold for all artifacts.
    return ", ".join(": ".join(str(part) for part in rule if part != "*") for rule in pairs) or "no difference"


def _config(recorded: Any, here: Any, name: str = "") -> Iterator[Circumstance]:
    """Compare hyperparameters one by one, as ``config.optimizer.lr``: in a long list the one that differs is lost."""
    left, right = _mapping(recorded), _mapping(here)
    of_file = isinstance(left.get("content"), dict) and isinstance(right.get("content"), dict)
    for key in sorted({*left, *right}):
        one, other, path = left.get(key), right.get(key), f"{name}.{key}".lstrip(".")
        if one == other or (of_file and key == "sha256" and left["content"] != right["content"]):
            continue  # where the settings of a file differ, its digest adds nothing
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _config(one, other, name if of_file and key == "content" else path)
        else:
            yield make_circumstance("config", path, one, other)


def _settings(recorded: Any, here: Any) -> Iterator[Circumstance]:
    """Compare settings that both sides have: which frameworks are loaded depends on what ran before."""
    left, right = _mapping(recorded), _mapping(here)
    for name in sorted(left.keys() & right.keys()):
        one, other = left[name], right[name]
        if one == other or name.endswith("print_options"):
            continue
        # One by one: in a long list, the one that differs is lost.
        keys = sorted(one.keys() & other.keys()) if isinstance(one, dict) and isinstance(other, dict) else []
        differing = [key for key in keys if one[key] != other[key]]
        for key in differing:
            yield make_circumstance("setting", f"{name}.{key}", one[key], other[key])
        if not differing and not keys:
            yield make_circumstance("setting", name, one, other)


def _code(recorded: Any, here: Any) -> Iterator[Circumstance]:
    left, right = _mapping(recorded), _mapping(here)
    for name in ("commit", "diff", "submodules", "unavailable"):
        if left.get(name) != right.get(name) and (name != "commit" or left.get("tree") != right.get("tree")):
            yield make_circumstance("code", name, left.get(name), right.get(name))
            if name == "diff":
                yield from _changed_files(left, right)


def _changed_files(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[Circumstance]:
    """Name the changed files of which one side has others than the other side."""
    one, other = _mapping(left.get("lines")), _mapping(right.get("lines"))
    for name in sorted({*one, *other})[:_MAX_FILES]:
        if one.get(name) != other.get(name):
            shown = (side.get(name, "as in the commit") for side in (one, other))
            yield make_circumstance("code", name, *shown)


def _environment(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Circumstance]:
    for key, (part, compare) in _COLLECTORS.items():
        left, right = recorded.get(key), here.get(key)
        if left == right or (is_unavailable(left) and is_unavailable(right)):
            continue
        # A record is not trusted: a fact of an unexpected form is compared as a whole.
        is_comparable = _is_comparable(key, left) and _is_comparable(key, right)
        yield from compare(part, left, right) if is_comparable else _whole(part, left, right)


def _is_comparable(key: str, value: Any) -> bool:
    if value is None or is_unavailable(value):
        return False
    if key == "thread_pools":
        return isinstance(value, list) and all(isinstance(pool, dict) for pool in value)
    if key == "hash_seed":
        return isinstance(value, str)
    if key == "packages":
        return isinstance(value, dict) and all(isinstance(package, dict) for package in value.values())
    sets = value.get("instruction_sets") or [] if isinstance(value, dict) else None
    return key == "accelerators" or (isinstance(sets, list) and all(isinstance(name, str) for name in sets))


def _platform(part: str, left: Any, right: Any) -> Iterator[Circumstance]:
    for difference in _by_name(part, left, right):
        if difference.name == "libc":
            yield make_circumstance("C library", "", difference.recorded, difference.here)
        else:
            yield difference


def _cpu(part: str, left: Any, right: Any) -> Iterator[Circumstance]:
    # Not the number of cores: it changes the number of threads, which is compared by itself.
    one, other = set(left.get("instruction_sets") or ()), set(right.get("instruction_sets") or ())
    if one != other:
        yield make_circumstance("instruction sets", "", [*sorted(one - other)], [*sorted(other - one)])
    if left.get("model") != right.get("model"):
        yield make_circumstance(part, "", left.get("model"), right.get("model"))


def _packages(_: str, left: Any, right: Any) -> Iterator[Circumstance]:
    for name in sorted({*left, *right}):
        one, other = left.get(name) or {}, right.get(name) or {}
        if one == other:
            continue
        part = "other package"
        if one.get("local") or other.get("local"):
            part = "project"
        elif one.get("numerical") or other.get("numerical"):
            part = "package that computes" if is_numerical(name) else "package that requires one that computes"
            if not (one and other):  # the test may not use it at all
                part = "package on one side only"
        versions = [side.get("version") for side in (one, other)]
        if one.get("code") != other.get("code"):
            yield make_circumstance(part, f"{name} (its code)", *(_say_code(side.get("code")) for side in (one, other)))
        if versions[0] == versions[1]:
            if one.get("record") == other.get("record"):
                continue
            versions = [f"{side.get('version')} ({str(side.get('record'))[:14]})" for side in (one, other)]
        yield make_circumstance(part, name, *versions)


def _say_code(code: Any) -> str | None:
    found = _mapping(code)
    return f"{str(found['commit'])[:12]}{' with changes' if found.get('diff') else ''}" if "commit" in found else None


def _package_files(part: str, left: Any, right: Any) -> Iterator[Circumstance]:
    one, other = (_mapping(side.get("changed")) for side in (left, right))
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            yield make_circumstance(part, name, *(_say_files(side.get(name)) for side in (one, other)))


def _say_files(files: Any) -> str:
    # With digests: both sides may have changed the same file.
    names = [
        f"{name} ({str(digest).removeprefix('sha256:')[:_SHOWN_DIGITS]})" for name, digest in _mapping(files).items()
    ]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"changed: {', '.join(names[:3])}{more}" if names else "as installed"


def _pools(part: str, left: Any, right: Any) -> Iterator[Circumstance]:
    one, other = ([{k: v for k, v in pool.items() if k != "num_threads"} for pool in side] for side in (left, right))
    if one != other:
        yield from _whole(part, left, right)
        return
    for before, now in zip(left, right, strict=True):
        if before.get("num_threads") != now.get("num_threads"):
            name = str(before.get("internal_api") or before.get("user_api"))
            yield make_circumstance("threads", name, before.get("num_threads"), now.get("num_threads"))


def _whole(part: str, left: Any, right: Any) -> Iterator[Circumstance]:
    yield make_circumstance(part, "", left, right)


#: Collector of the environment -> its part as a whole, and how two of its facts are compared.
_COLLECTORS: dict[str, tuple[str, Callable[[str, Any, Any], Iterator[Circumstance]]]] = {
    "python": ("python", _by_name),
    "platform": ("platform", _platform),
    "cpu": ("processor", _cpu),
    "packages": ("package that computes", _packages),
    "package_files": ("files of a package", _package_files),
    "thread_pools": ("BLAS or OpenMP", _pools),
    "accelerators": ("accelerators", _whole),
    "variables": ("variable", _by_name),
    "hash_seed": ("hash seed", _whole),
    "locale": ("locale", _by_name),
    "timezone": ("time zone", _by_name),
    "container": ("container", _whole),
    "lock_files": ("lock file", _by_name),
}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def say_value(value: JSON) -> str:
    """Return one side of a circumstance in short."""
    if value is None:
        return "none"
    if isinstance(value, dict) and "unavailable" in value:
        return f"unknown ({value['unavailable']})"
    if isinstance(value, dict) and "sha256" in value:
        return f"sha256:{str(value['sha256'])[:12]}"
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value[: len("sha256:") + _SHOWN_DIGITS]
    text = ", ".join(map(_short, value)) or "none" if isinstance(value, list) else str(value)
    if (number := read_float(value)) is not None:
        text = repr(number)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _short(value: JSON) -> str:
    """Return an entry of a list in short: a thread pool's kernels, an accelerator's name and driver."""
    if not isinstance(value, dict):
        return str(value)
    if is_pools([value]):
        return say_pools([value])
    return " ".join(str(item) for key, item in value.items() if key not in ("user_api", "prefix"))


def is_pools(value: JSON) -> bool:
    """Return whether a fact is the list of thread pools."""
    return isinstance(value, list) and all(isinstance(pool, dict) and "internal_api" in pool for pool in value)


def say_pools(pools: Any, detail: int = MAX_POOL_DETAIL) -> str:
    """Return thread pools in short, each once: the libraries with their kernels, and by detail more."""
    keys = _POOL_PARTS[: 2 + detail]
    found = dict.fromkeys(" ".join(str(pool[key]) for key in keys if pool.get(key) is not None) for pool in pools)
    return ", ".join(found) or "none"
