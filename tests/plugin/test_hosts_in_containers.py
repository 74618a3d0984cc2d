"""The axis `host` in a container with another Python, C library and NumPy (`tox -e hosts`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.plugin.hosts import WANTS_HOSTS, Project, find_program, miss
from tests.plugin.trixie import RUN, list_containers, make_image

pytestmark = pytest.mark.skipif(not WANTS_HOSTS, reason="run by tox -e hosts")

SOURCE = """
    import platform, sys
    import numpy as np
    import pytest

    @pytest.mark.reproducible
    def test_draws(repro):
        drawn = repro.rng.standard_normal(1000)
        return {"drawn": drawn, "sorted": np.sort(drawn), "counts": repro.rng.integers(0, 99, 500)}

    @pytest.mark.reproducible
    def test_release():
        return {"python": list(sys.version_info[:3]), "libc": platform.libc_ver()[1]}

    @pytest.mark.reproducible(rtol=1e-12)
    def test_product(repro):
        x = repro.rng.uniform(0.1, 9.0, (100, 100))
        return {"gram": x @ x.T, "log": np.log(x)}
"""


@pytest.fixture
def trixie(project: Project) -> Iterator[Project]:
    """A project with the environment `trixie`, of which no container is left."""
    find_program("podman", "podman")
    find_program("runc", "runc")
    find_program("debootstrap", "debootstrap")
    if os.getuid() != 0:
        miss("debootstrap needs root")
    make_image()
    before = list_containers()
    project.name(trixie={"command": " ".join(RUN), "python": "python3", "sync": "true", "timeout": 120})
    yield project
    assert list_containers() == before


def test_a_test_of_numpy_runs_in_a_container_and_what_differs_there_is_shown(trixie):
    session = trixie.run(SOURCE, "trixie")
    assert session.verdicts["test_draws"] == "identical", session.text
    assert session.verdicts["test_product"] in ("identical", "within_tolerance")
    assert session.verdicts["test_release"] == "diverged"
    assert f"CPython 3.13.5 (here {sys.version.split()[0]})" in " ".join(session.test("test_draws")["notes"])
    assert session.test("test_release")["matrix"] == {"host": "diverged"}


def test_a_run_that_is_killed_in_a_container_is_an_error_of_one_test(trixie):
    source = """
        import os, signal, sys
        import pytest

        @pytest.mark.reproducible
        def test_killed():
            if sys.version_info[:2] == (3, 13):
                os.kill(1, signal.SIGTERM)  # the container's first process, which is the agent
                signal.pause()
            return 1.0

        @pytest.mark.reproducible
        def test_next(): return 2.0
    """
    session = trixie.run(source, "trixie")
    assert session.verdicts == {"test_killed": "error", "test_next": "identical"}, session.text
    assert "the environment 'trixie' was lost" in session.test("test_killed")["reason"]


def test_the_place_of_a_difference_is_found_in_a_container(trixie):
    source = """
        import sys
        import pytest

        @pytest.mark.reproducible
        def test_minor():
            offset = 2.0
            minor = sys.version_info[1]
            return {"scaled": offset + minor}
    """
    session = trixie.run(source, "trixie", "--repro-diagnose")
    first = session.test("test_minor")["diagnosis"]["first_divergence"]
    assert (first["file"], first["line"], first["name"]) == ("test_it.py", 8, "minor")
