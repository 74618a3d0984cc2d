"""Environments that are made from requirements: a folder of virtual environments, each made once and used again."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_repro.environments.environment import EnvironmentFacts, EnvironmentUnusableError
from pytest_repro.environments.probing import probe_interpreter
from pytest_repro.errors import StoreError, UsageError
from pytest_repro.model.reading import read_file
from pytest_repro.model.redaction import redact

#: Names another folder for the environments.
FOLDER_VARIABLE = "PYTEST_REPRO_ENVIRONMENTS"
#: File of an environment that is whole.
DESCRIPTION = "environment.json"
#: What the plugin itself needs. It is not installed: its own files are used.
BASE = ("numpy>=1.26", "pytest>=8.4")
#: Limits for making an environment, and for one command of it [s].
LOCK_S, INSTALL_S = 3600.0, 3600.0
SHOWN_LINES = 12
#: Requirements that are asked for one after the other, until all that no index has are named.
MAX_ABSENT = 20
_MAX_BYTES = 4 * 2**20
#: Begins the name of an environment that is not finished.
_PART = "part-"


@dataclass(frozen=True, slots=True)
class Request:
    """What an environment is to have.

    Attributes
    ----------
    text : str
        As the user wrote it.
    lines : tuple of str
        Lines of a requirements file.
    constraints : tuple of str
        Releases that other packages should have, as here. They are dropped where no solution has them.
    python : str
        Path of the interpreter that it is made with. Empty for this process' own.
    """

    text: str
    lines: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    python: str = ""

    @property
    def digest(self) -> str:
        """Identifies the request for an interpreter."""
        parts = [self.python or sys.version, sys.platform, *self.lines, "", *self.constraints]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MadeEnvironment:
    """An environment in the folder of those that were made.

    Attributes
    ----------
    digest : str
        Of the interpreter's release and all packages.
    requests, texts : tuple of str
        Digests and texts of the requests that it answers.
    is_constrained : bool
        Whether the other packages have the same releases as where it was made.
    """

    digest: str
    python: str
    packages: dict[str, str]
    requests: tuple[str, ...]
    texts: tuple[str, ...]
    made_by: str
    is_constrained: bool


class EnvironmentStore:
    """The folder of the environments that were made.

    Parameters
    ----------
    folder : Path, optional
        By default ``$PYTEST_REPRO_ENVIRONMENTS``, or a folder in the user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder: Path = folder or find_folder()

    def make(self, request: Request) -> Path:
        """Return the interpreter of an environment, which is made if there is none yet.

        Raises
        ------
        EnvironmentUnusableError
            If it cannot be made. The message has the last lines of the installer.
        """
        found = self._find(request)
        if found is None:
            with self._locked(request.digest):
                found = self._find(request) or self._make(request)
        os.utime(self.folder / found.digest / DESCRIPTION)
        return python_of(self.folder / found.digest)

    def has(self, request: Request) -> bool:
        """Return whether an environment for a request was made before."""
        return self._find(request) is not None

    def list_made(self) -> list[MadeEnvironment]:
        """Return the environments that are whole, those used last first."""
        found = [(path.parent.stat().st_mtime, path) for path in self.folder.glob(f"*/{DESCRIPTION}")]
        described = (_read_description(path) for _, path in sorted(found, reverse=True))
        return [each for each in described if each is not None]

    def remove(self, digests: Sequence[str] = ()) -> list[str]:
        """Remove environments, by default all, with what is left of those that were not finished.

        Raises
        ------
        UsageError
            If there is no such environment.
        """
        made = [each.digest for each in self.list_made()]
        if unknown := sorted(set(digests) - set(made)):
            raise UsageError(f"no environment {unknown[0]!r} was made: pytest-repro environments lists them")
        removed = [each for each in made if not digests or each in digests]
        for digest in removed:
            shutil.rmtree(self.folder / digest)
        for part in self.folder.glob(f"{_PART}*"):
            if part.stat().st_mtime < time.time() - LOCK_S:  # nobody makes it any more
                shutil.rmtree(part, ignore_errors=True)
        return removed

    def size_of(self, digest: str) -> int:
        """Return the size of an environment's files [bytes]."""
        files = (Path(base, name) for base, _, names in os.walk(self.folder / digest) for name in names)
        return sum(path.lstat().st_size for path in files)

    def _find(self, request: Request) -> MadeEnvironment | None:
        for each in self.list_made():
            if request.digest in each.requests and python_of(self.folder / each.digest).exists():
                return each
        return None

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keep two sessions from making the same environment at once."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        with (self.folder / f"{name}.lock").open("w") as file:
            deadline = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise EnvironmentUnusableError(
                            f"another session has been making the environment for {LOCK_S:.0f} s"
                        ) from None
                    time.sleep(0.1)
            yield

    def _make(self, request: Request) -> MadeEnvironment:
        part = self.folder / f"{_PART}{secrets.token_hex(6)}"
        failures = []
        try:
            for made_by, create, install in _find_installers(part, request.python or sys.executable):
                shutil.rmtree(part, ignore_errors=True)
                failure = _run(create)
                if failure is None:
                    # The releases of here where that is possible, or else any.
                    for constraints in dict.fromkeys([request.constraints, ()]):
                        failure = _install(part, install, request.lines, constraints)
                        if failure is None:
                            return self._keep(part, request, made_by, constraints == request.constraints)
                failures.append(failure)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        shown = "\n".join(map(str, dict.fromkeys(failures)))
        raise EnvironmentUnusableError(f"the environment {request.text!r} could not be made:\n{shown}")

    def _keep(self, part: Path, request: Request, made_by: str, is_constrained: bool) -> MadeEnvironment:
        """Give a finished environment its name, or use the one that has the same packages."""
        facts = probe_interpreter([str(python_of(part))], (), request.text)
        digest = _digest(facts)
        place = self.folder / digest
        earlier = _read_description(place / DESCRIPTION)
        if earlier is None:
            shutil.rmtree(place, ignore_errors=True)
            part.rename(place)
        made = MadeEnvironment(
            digest,
            facts.python,
            facts.packages,
            (*(earlier.requests if earlier else ()), request.digest),
            tuple(dict.fromkeys((*(earlier.texts if earlier else ()), redact(request.text)))),
            made_by,
            is_constrained,
        )
        temporary = place / f"{DESCRIPTION}.part"
        temporary.write_text(json.dumps(asdict(made), indent=1), encoding="utf-8")
        temporary.replace(place / DESCRIPTION)
        return made


def find_folder() -> Path:
    """Return the folder of the environments that were made."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    caches = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "pytest-repro" / "environments"


def python_of(folder: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def _digest(facts: EnvironmentFacts) -> str:
    lines = [facts.python, *(f"{name}=={version}" for name, version in sorted(facts.packages.items()))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _read_description(path: Path) -> MadeEnvironment | None:
    """Return what a whole environment says of itself."""
    try:
        content: Any = json.loads(read_file(path, max_bytes=_MAX_BYTES))
        assert isinstance(content, Mapping)
        packages = {str(name): str(version) for name, version in content["packages"].items()}
        requests, texts = (tuple(map(str, content[key])) for key in ("requests", "texts"))
        digest, python, made_by = (str(content[key]) for key in ("digest", "python", "made_by"))
        return MadeEnvironment(digest, python, packages, requests, texts, made_by, bool(content["is_constrained"]))
    except (OSError, StoreError, ValueError, KeyError, TypeError, AttributeError, AssertionError):
        return None


def _find_installers(folder: Path, base: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what can make an environment: its name, the command that creates it, and the one that installs into it."""
    python = str(python_of(folder))
    if (tool := shutil.which("uv")) is not None:
        create = [tool, "venv", "--quiet", "--python", base, str(folder)]
        yield "uv", create, [tool, "pip", "install", "--quiet", "--python", python]
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    yield "pip", [base, "-m", "venv", str(folder)], [python, "-m", "pip", "install", *options]


def find_absent(lines: Sequence[str], python: str = "") -> list[str]:
    """Return those of the requirements that pip finds in no index for an interpreter.

    pip names one at a time, so it is asked again without it.
    """
    left, absent = list(lines), list[str]()
    with tempfile.TemporaryDirectory(prefix="pytest-repro-absent-") as folder:
        while left and len(absent) < MAX_ABSENT:
            command = [python or sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--retries=1"]
            options = _write_files(Path(folder), left, ())
            output = _run([*command, "--ignore-installed", "--quiet", "--no-input", *options])
            named = [line for line in left if output is not None and _is_named(line, output)]
            if not named:
                break
            absent += named
            left = [line for line in left if line not in named]
    return absent


def _is_named(line: str, output: str) -> bool:
    return any(
        each.partition("No matching distribution found for ")[2].split() == [line] for each in output.splitlines()
    )


def _install(folder: Path, command: list[str], lines: Sequence[str], constraints: Sequence[str]) -> str | None:
    return _run([*command, *_write_files(folder, lines, constraints)])


def _write_files(folder: Path, lines: Sequence[str], constraints: Sequence[str]) -> list[str]:
    """Write requirements and constraints into files, and return the options that name them."""
    required, limits = folder / "requirements.txt", folder / "constraints.txt"
    required.write_text("\n".join(lines) + "\n", encoding="utf-8")
    limits.write_text("\n".join(constraints) + "\n", encoding="utf-8")
    return ["-r", str(required), "-c", str(limits)]


def _run(command: list[str]) -> str | None:
    """Run an installer, and return None or the end of what it printed."""
    environment = {
        name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_S,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"    {redact(str(error))}"
    if not done.returncode:
        return None
    lines = redact(done.stdout.decode("utf-8", "replace")).strip().splitlines()
    return "\n".join(f"    {line[:300]}" for line in lines[-SHOWN_LINES:]) or f"    exit code {done.returncode}"
