"""What a value of the axis ``python`` names: an interpreter, a virtual environment, requirements, or a named one."""

from __future__ import annotations

import hashlib
import re
import shutil
import tomllib
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pytest_repro.environments.environment import Environment
from pytest_repro.environments.made import BASE, EnvironmentStore, Request, python_of
from pytest_repro.errors import UsageError

_COMMAND = re.compile(r"(python|pypy)[0-9.]*")
#: Between two requirements: a comma within one stands before a comparison. The command line has commas for itself.
_BETWEEN = re.compile(r"\s*;\s*(?![^;]*\b(?:python_version|sys_platform|platform_\w+|os_name)\b)|,\s*(?=[A-Za-z])")
MAX_BYTES = 16 * 2**20


def find_interpreter(
    text: str, root: Path, declared: Mapping[str, Environment], store: EnvironmentStore
) -> Environment:
    """Return the environment that a text names, which is made first where it is a requirement.

    Parameters
    ----------
    text : str
        A name of `declared`, an interpreter's path or command, a virtual environment's folder, a requirements or lock
        file, or requirements as pip takes them, separated by commas.
    root : Path
        Folder of relative paths.

    Raises
    ------
    UsageError
        If the text names nothing of that.
    EnvironmentUnusableError
        If the environment cannot be made.
    """
    if text in declared:
        environment = declared[text]
        if not environment.is_local:
            return environment
        found = find_interpreter(environment.python, root, {}, store)
        return Environment(text, found.python, (), False, environment.directory, environment.timeout_s)
    path = (root / Path(text).expanduser()) if text else root
    if path.is_dir():
        python = python_of(path)
        if not python.exists():
            name = python.relative_to(path)
            raise UsageError(f"python={text!r} is a folder without {name}: name a virtual environment")
        return Environment(text, str(python.absolute()))
    if path.is_file():
        if path.suffix in (".txt", ".in", ".toml", ".lock"):
            return Environment(text, str(store.make(_read_file(text, path))))
        return Environment(text, str(path.absolute()))
    if _COMMAND.fullmatch(text):
        command = shutil.which(text)
        if command is None:
            raise UsageError(f"python={text!r}: there is no such command here; give the path of an interpreter")
        return Environment(text, command)
    if "/" in text or "\\" in text or text.startswith("."):
        raise UsageError(f"python={text!r}: there is no such file or folder in {root.name or root}")
    return Environment(text, str(store.make(request_of(text))))


def request_of(text: str) -> Request:
    """Return the request for requirements that a text lists. All other packages are to have the releases of here."""
    parsed = [_parse(part.strip(), text) for part in _BETWEEN.split(text) if part and part.strip()]
    named = {canonicalize_name(each.name) for each in parsed}
    base = [line for line in BASE if canonicalize_name(Requirement(line).name) not in named]
    found = {canonicalize_name(each.metadata["Name"] or ""): each.version for each in reversed([*distributions()])}
    pins = sorted(f"{name}=={version}" for name, version in found.items() if name and name not in named)
    return Request(text, (*sorted(map(str, parsed)), *base), tuple(pins))


def _parse(part: str, text: str) -> Requirement:
    try:
        return Requirement(part)
    except InvalidRequirement as error:
        raise UsageError(
            f"python={text!r} names no environment: {part!r} is neither a named environment, an interpreter or folder "
            f"that exists, nor a requirement ({str(error).splitlines()[0]})"
        ) from None


def _read_file(text: str, path: Path) -> Request:
    """Return the request for a file of requirements or a lock file, which states all releases itself."""
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"python={text!r}: the file has more than {MAX_BYTES // 2**20} MB")
    content = path.read_text(encoding="utf-8")
    if path.suffix in (".txt", ".in"):
        # Its lines may refer to files beside it.
        return Request(text, (f"-r {path.absolute()}", *BASE), (f"# {_hash(content)}",))
    try:
        return Request(text, (*_read_lock(content, path.name), *BASE))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, InvalidMarker) as error:
        raise UsageError(f"python={text!r} is no lock file that can be read: {error}") from None


def _hash(content: str) -> str:
    """Return the digest of a file's text, so that a changed file is another request."""
    return hashlib.sha256(content.encode()).hexdigest()


def _read_lock(content: str, name: str) -> list[str]:
    """Return the releases of ``pylock.toml`` (PEP 751), ``uv.lock`` and ``poetry.lock`` for this interpreter."""
    locked = tomllib.loads(content)
    packages = locked["packages"] if "packages" in locked else locked["package"]
    lines = []
    for package in packages:
        source = package.get("source", {})
        is_own = isinstance(source, dict) and not {"virtual", "editable", "directory"}.isdisjoint(source)
        if is_own or "directory" in package or "version" not in package:
            continue
        marker = package.get("marker") or package.get("markers")
        if isinstance(marker, str) and not _holds(marker):
            continue
        lines.append(str(Requirement(f"{package['name']}=={package['version']}")))
    if not lines:
        raise UsageError(f"{name} locks no packages")
    return lines


def _holds(marker: str) -> bool:
    try:
        return Marker(marker).evaluate({"extra": ""})
    except UndefinedEnvironmentName:
        return True
