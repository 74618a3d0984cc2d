"""Other pytest plugins that are installed here, and what each does to a reproducible test. Each sentence was tried."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

#: Distribution -> whether it can keep a test from being judged, and what happens with it.
BEHAVIOUR: dict[str, tuple[bool, str]] = {
    "pytest-randomly": (
        False,
        "shuffles tests and reseeds before each phase of one; a reproducible test keeps the seed of this plugin",
    ),
    "pytest-random-order": (False, "shuffles tests; the verdict of a test does not depend on it unless state leaks"),
    "pytest-rerunfailures": (False, "does not rerun a reproducible test: one that passes at a second try is not"),
    "flaky": (False, "does not rerun a reproducible test: one that passes at a second try is not"),
    "pytest-repeat": (
        False,
        "--count makes copies with names and seeds of their own; each is judged alone",
    ),
    "pytest-flakefinder": (
        False,
        "--flake-finder makes copies with names and seeds of their own; each is judged alone",
    ),
    "pytest-run-parallel": (
        True,
        "--parallel-threads calls the test in threads and drops what it returns, so that the test is inconclusive: run "
        "reproducible tests without it (@pytest.mark.parallel_threads(1))",
    ),
    "pytest-xdist": (
        False,
        "-n works, and all results reach one summary; --dist=each judges every test once in each worker",
    ),
    "pytest-forked": (False, "--forked runs a reproducible test, with all its runs, in one child"),
    "pytest-timeout": (False, "its limit applies to each run; a run that exceeds it makes the test an error"),
    "pytest-cov": (False, "measures the runs in this process"),
    "pytest-benchmark": (False, "measures in each run; what it returns is compared"),
    "pytest-asyncio": (False, "async tests are repeated, each run in a loop of its own"),
}


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An installed pytest plugin that this plugin is known to meet."""

    name: str
    interferes: bool
    text: str


def find_neighbours() -> list[Neighbour]:
    """Return the installed plugins of pytest that are known, without importing them."""
    names = {
        each.dist.name.lower().replace("_", "-") for each in entry_points(group="pytest11") if each.dist is not None
    }
    return [Neighbour(name, *BEHAVIOUR[name]) for name in BEHAVIOUR if name in names]
