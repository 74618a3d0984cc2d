"""What ``pytest-repro bisect`` does with its options."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from pytest_repro.bisecting.bisection import Bisection, Request
from pytest_repro.bisecting.commits import CommitSeries, list_commits, with_files
from pytest_repro.bisecting.describing import describe_plan, describe_step
from pytest_repro.bisecting.needs import Needs, find_needs
from pytest_repro.bisecting.releases import (
    ReleaseSeries,
    choose_releases,
    differing_packages,
    list_releases,
    parse_releases,
    read_package,
)
from pytest_repro.bisecting.results import Bisected
from pytest_repro.environments.made import EnvironmentStore
from pytest_repro.environments.probing import probe_interpreter
from pytest_repro.errors import UsageError

#: Files by which a project's folder is known.
_MARKS = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", "setup.py", ".git")
#: Takes a line while the bisection runs.
Say = Callable[[str], object]


def bisect(options: argparse.Namespace, say: Say) -> Bisected:
    """Find the release or the commit that changed a test's result.

    Raises
    ------
    ReproError
        If an option is wrong, or there is nothing to compare.
    """
    if options.runs < 2:
        raise UsageError(f"--runs must be an integer >= 2, got {options.runs}")
    if not 0 < options.timeout < 1e7:
        raise UsageError(f"--timeout must be a number of seconds above 0, got {options.timeout:g}")
    directory = Path.cwd().resolve()
    test_file = _find_file(options.nodeid, directory)
    needs = find_needs(test_file, _find_root(test_file.parent), map(_check_requirement, options.extra))
    with tempfile.TemporaryDirectory(prefix="pytest-repro-bisect-") as folder:
        subject = "commits" if options.commits is not None else read_package(options.package)
        request = Request(options.nodeid, subject, Path(folder), options.runs, options.exact, options.timeout)
        if options.commits is not None:
            return _bisect_commits(options, request, needs, test_file, directory, say)
        return _bisect_releases(options, request, needs, directory, say)


def _bisect_releases(
    options: argparse.Namespace, request: Request, needs: Needs, directory: Path, say: Say
) -> Bisected:
    package = read_package(options.package)
    listed = parse_releases(options.releases) if options.releases is not None else list_releases(package)
    good, bad = options.good, options.bad
    if options.releases is not None and listed:
        good, bad = good or str(listed[0]), bad or str(listed[-1])
    chosen = choose_releases(package, listed, good, bad)
    series = ReleaseSeries(package, chosen, needs, directory, EnvironmentStore())
    found, bisection = _run(series, request, say)
    if found.status == "same":
        return found
    border = found.last_same, found.first_different
    with series.open(bisection.index_of(border[0])) as before, series.open(bisection.index_of(border[1])) as after:
        found = replace(
            found,
            other_packages=differing_packages(before, after, package),
            repeat_command=_say_command(package, border, request.nodeid) if found.differences else "",
        )
    if not options.diagnose:
        return found
    say("  finding the first operation that differs between the two")
    first, why = bisection.find_operation(border)
    notes = (*found.notes, f"the first operation that differs was not found: {why}") if why else found.notes
    return replace(found, first_divergence=first, notes=notes)


def _say_command(package: str, border: tuple[str, str], nodeid: str) -> str:
    """Return a command that runs the test here and with a release of the other side, if one is installed here."""
    try:
        has_old = Version(version(package)) < Version(border[1])
    except (PackageNotFoundError, InvalidVersion):
        return ""
    other = border[1] if has_old else border[0]
    # A test without the marker is varied only with --repro-all.
    return f"pytest {shlex.quote(nodeid)} --repro-all --repro-across=python={package}=={other}"


def _bisect_commits(
    options: argparse.Namespace, request: Request, needs: Needs, test_file: Path, directory: Path, say: Say
) -> Bisected:
    if named := [name for name in ("good", "bad", "releases") if getattr(options, name) is not None]:
        raise UsageError(f"--{named[0]} is for --package; --commits has both ends in it")
    commits = list_commits(directory, options.commits)
    facts = probe_interpreter([sys.executable], (), "here")
    series = CommitSeries(commits, test_file, directory, needs, facts, request.folder)
    found, bisection = _run(series, request, say)
    if found.status == "same":
        return found
    return replace(found, commit=with_files(directory, commits[bisection.index_of(found.first_different)]))


def _run(series: ReleaseSeries | CommitSeries, request: Request, say: Say) -> tuple[Bisected, Bisection]:
    names = series.names
    say(describe_plan(request.nodeid, request.subject, names[0], names[-1], len(names)))
    bisection = Bisection(series, request, lambda step: say(describe_step(step)))
    return bisection.run(), bisection


def _find_file(nodeid: str, directory: Path) -> Path:
    name, separator, _ = nodeid.partition("::")
    path = directory / name
    if not path.is_file():
        raise UsageError(f"there is no file {name!r} here: name a test, as in tests/test_train.py::test_fit")
    if not separator:
        raise UsageError(f"{nodeid!r} names a file; a bisection follows one test, as in {name}::test_fit")
    return path.resolve()


def _find_root(folder: Path) -> Path:
    """Return the project's folder: the nearest one with a file that says so, or the current one."""
    found = (each for each in (folder, *folder.parents) if any((each / mark).exists() for mark in _MARKS))
    return next(found, folder)


def _check_requirement(text: str) -> str:
    try:
        return str(Requirement(text))
    except InvalidRequirement as error:
        raise UsageError(f"--with={text!r} is no requirement: {str(error).splitlines()[0]}") from None
