"""What an environment must have so that a test's file can be imported in it: packages, and folders of sources."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions, packages_distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pytest_repro.environments.imports import find_imports
from pytest_repro.environments.probing import NEEDED

#: The plugin itself, which a session gets by its search path.
_OWN = "pytest-repro"
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of a test's file.

    Attributes
    ----------
    modules : tuple of str
        Top-level modules that it imports, without the project's.
    requirements : tuple of str
        What provides them, and pytest's plugins, whose fixtures and options the project may use.
    paths : tuple of Path
        Folders of sources on the search path.
    """

    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    paths: tuple[Path, ...]


def find_needs(test_file: Path, root: Path, extra: Iterable[str] = ()) -> Needs:
    """Return what a test's file needs, as this environment provides it.

    Parameters
    ----------
    test_file : Path
    root : Path
        The project's folder.
    extra : iterable of str
        Requirements that the user adds.
    """
    modules = tuple(find_imports(test_file, root))
    names = packages_distributions()
    installed = {canonicalize_name(each.metadata["Name"] or ""): each for each in reversed([*distributions()])}
    paths = [folder for folder in (root, root / "src") if folder.is_dir()]
    wanted = [*map(canonicalize_name, NEEDED), *(each for each in installed if _is_plugin(installed[each]))]
    for module in modules:
        wanted += map(canonicalize_name, names.get(module, ()))
        if (folder := source_folder(module)) is not None:
            paths.append(folder)
    requirements = dict.fromkeys(extra)
    for name in dict.fromkeys(wanted):
        if name != _OWN and name in installed:
            requirements |= dict.fromkeys(_require(name, installed[name]))
    for each in installed.values():
        folder = _editable_folder(each)
        if folder is not None and any(path.is_relative_to(folder) for path in paths):
            requirements |= dict.fromkeys(_dependencies(each))
    return Needs(modules, tuple(requirements), tuple(dict.fromkeys(paths)))


def source_folder(module: str) -> Path | None:
    """Return the folder in which a module is found, unless it is an installed package or a part of Python."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not (path := Path(spec.origin)).is_file():
        return None
    if _INSTALLED & set(path.parts):
        return None
    return path.parent.parent if spec.submodule_search_locations else path.parent


def _is_plugin(distribution: Distribution) -> bool:
    return any(entry.group == "pytest11" for entry in distribution.entry_points)


def _require(name: str, distribution: Distribution) -> Iterator[str]:
    """Yield the requirement for a package: its folder where it was installed from one, since no index may have it."""
    origin = _origin(distribution)
    if _editable_folder(distribution) is not None:
        return
    url = str(origin.get("url", ""))
    if "dir_info" in origin and url:
        yield f"{name} @ {url}"
    else:
        yield name


def _dependencies(distribution: Distribution) -> Iterator[str]:
    """Yield what a package requires without its extras."""
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
            is_used = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        except (InvalidRequirement, UndefinedEnvironmentName):
            continue
        if is_used and canonicalize_name(requirement.name) != _OWN:
            requirement.marker = None
            yield str(requirement)


def _editable_folder(distribution: Distribution) -> Path | None:
    origin = _origin(distribution)
    info = origin.get("dir_info")
    if not isinstance(info, dict) or not info.get("editable"):
        return None
    return Path(unquote(urlsplit(str(origin.get("url", ""))).path))


def _origin(distribution: Distribution) -> dict[str, object]:
    """Return where a package was installed from, if that is not an index."""
    try:
        found = json.loads(distribution.read_text("direct_url.json") or "{}")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def named_in(requirements: Sequence[str]) -> set[str]:
    """Return the packages that requirements name."""
    return {canonicalize_name(Requirement(each).name) for each in requirements}
