"""The releases of a package: which ones there are, and an environment for each."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_repro.bisecting.needs import Needs, named_in
from pytest_repro.bisecting.observing import Seat
from pytest_repro.environments.environment import EnvironmentUnusableError
from pytest_repro.environments.interpreters import request_of
from pytest_repro.environments.made import EnvironmentStore, Request
from pytest_repro.environments.probing import check_facts, probe_interpreter, show_end
from pytest_repro.errors import UsageError

#: Time for the index to answer [s].
INDEX_S = 300.0
#: Releases that a message names.
MAX_NAMED = 8
_LISTED = re.compile(r"^Available versions:(.*)$", re.MULTILINE)
_ASK = "list them yourself: --releases=2.2.6,2.3.5,2.4.0"


def read_package(text: str) -> NormalizedName:
    """Return the name of a package.

    Raises
    ------
    UsageError
        If the text is something else, such as a requirement with a release.
    """
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        parsed = None
    if parsed is None or str(parsed) != parsed.name:
        raise UsageError(f"--package must be the name of a package, got {text!r}; its releases are --good and --bad")
    return canonicalize_name(parsed.name)


def list_releases(package: str) -> list[Version]:
    """Return the releases that the index has for this interpreter, oldest first, without pre- and withdrawn releases.

    Raises
    ------
    UsageError
        If they cannot be listed.
    """
    # A source distribution would be built here, with this machine's compilers: another build gives other bits.
    options = [f"--only-binary={package}", "--disable-pip-version-check", "--no-input"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "index", "versions", package, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INDEX_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"the releases of {package} cannot be listed: {error}; {_ASK}") from None
    found = _LISTED.search(done.stdout.decode("utf-8", "replace"))
    if done.returncode or found is None:
        shown = show_end(done.stderr.decode("utf-8", "replace"), lines=3)
        raise UsageError(f"the releases of {package} cannot be listed with pip: {_ASK}\n{shown}")
    return parse_releases(found[1])


def parse_releases(text: str) -> list[Version]:
    """Return the releases in a text, separated by commas, oldest first and without pre-releases."""
    found = set()
    for part in text.split(","):
        try:
            found.add(Version(part.strip()))
        except InvalidVersion:
            if part.strip():
                raise UsageError(f"{part.strip()!r} is not a release") from None
    return sorted(each for each in found if not each.is_prerelease)


def choose_releases(package: str, releases: Sequence[Version], good: str | None, bad: str | None) -> list[Version]:
    """Return the releases from `good` to `bad`, with both.

    Parameters
    ----------
    bad : str, optional
        By default the installed release.

    Raises
    ------
    UsageError
        If one of the two is not among the releases, or they are in the wrong order.
    """
    if good is None:
        raise UsageError(f"--good=RELEASE is required: one in which the result was right. {_say_some(releases)}")
    first, last = _find(package, releases, good, "good"), _find(package, releases, bad or _installed(package), "bad")
    if first >= last:
        raise UsageError(f"--good={first} must be older than --bad={last}; exchange them to find what changed back")
    return [each for each in releases if first <= each <= last]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise UsageError(f"{package} is not installed here: name a release with --bad") from None


def _find(package: str, releases: Sequence[Version], text: str, option: str) -> Version:
    named = parse_releases(text)
    if len(named) != 1:
        raise UsageError(f"--{option} must be one final release, got {text!r}")
    wanted = named[0]
    found = [each for each in releases if each == wanted or each.public == str(wanted)]
    if not found:
        close = sorted(releases, key=lambda each: (abs(_distance(each, wanted)), each))[:MAX_NAMED]
        raise UsageError(f"{package} {text} (--{option}) is not among the releases. {_say_some(sorted(close))}")
    return found[0]


def _distance(one: Version, other: Version) -> float:
    """Return how far two releases are apart, by their first three numbers."""
    return (one.major - other.major) * 1e6 + (one.minor - other.minor) * 1e3 + (one.micro - other.micro)


def _say_some(releases: Sequence[Version]) -> str:
    shown = [str(each) for each in releases[-MAX_NAMED:]]
    more = f" and {len(releases) - MAX_NAMED} older ones" if len(releases) > MAX_NAMED else ""
    return f"There are {', '.join(shown)}{more}." if shown else "There are none with a wheel for this interpreter."


@dataclass(frozen=True, slots=True)
class ReleaseSeries:
    """The releases of a package, in each of which a test can be run.

    Parameters
    ----------
    package : str
    releases : sequence of Version
    needs : Needs
        Of the test's file. All packages but `package` get the releases of this environment, where that is possible.
    directory : Path
        Where sessions are started.
    store : EnvironmentStore
    """

    package: NormalizedName
    releases: Sequence[Version]
    needs: Needs
    directory: Path
    store: EnvironmentStore

    @property
    def names(self) -> list[str]:
        """The releases as text."""
        return [str(each) for each in self.releases]

    @contextmanager
    def open(self, index: int) -> Iterator[Seat]:
        """Yield the environment of a release, which is made if there is none yet.

        Raises
        ------
        EnvironmentUnusableError
            If it cannot be made, or lacks what the test's file imports.
        """
        request = self._request(index)
        origin: Literal["made", "kept"] = "kept" if self.store.has(request) else "made"
        python = str(self.store.make(request))
        facts = probe_interpreter([python], self.needs.modules, request.text)
        release = facts.packages.get(self.package, "")
        if not release or Version(release).public != self.releases[index].public:
            raise EnvironmentUnusableError(f"the environment has {self.package} {release or 'not at all'}")
        check_facts(facts, request.text, self.needs.modules, "the test's file")
        paths = tuple(map(str, self.needs.paths))
        yield Seat(python, facts, self.directory, paths, (self.package, release), origin)

    def _request(self, index: int) -> Request:
        text = f"{self.package}=={self.releases[index]}"
        others = [each for each in self.needs.requirements if self.package not in named_in([each])]
        request = request_of("; ".join([text, *others]))
        return replace(request, text=text, lines=(f"--only-binary {self.package}", *request.lines))


def differing_packages(before: Seat, after: Seat, package: str) -> tuple[str, ...]:
    """Return what else differs between two environments, as in ``scipy 1.15.3 -> 1.17.1``."""
    one, other = before.facts.packages, after.facts.packages
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name) and name != package)
    return tuple(f"{name} {one.get(name, 'none')} -> {other.get(name, 'none')}" for name in names)
