"""The axis `host` behind a queue (`tox -e hosts`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.plugin.hosts import WANTS_HOSTS, Project, find_program, miss
from tests.plugin.slurm import SlurmCluster

pytestmark = pytest.mark.skipif(not WANTS_HOSTS, reason="run by tox -e hosts")

SOURCE = """
    import os
    import pytest

    @pytest.mark.reproducible
    def test_same(repro): return {"drawn": repro.rng.random(3)}

    @pytest.mark.reproducible
    def test_job(): return {"job": [len(os.environ.get("SLURM_JOB_ID", ""))]}
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A cluster of one node."""
    for program in ("slurmctld", "slurmd", "srun"):
        find_program(program, "slurm-wlm")
    find_program("munged", "munge")
    if os.getuid() != 0:
        miss("a cluster needs root")
    with SlurmCluster() as cluster:
        monkeypatch.setenv("SLURM_CONF", str(cluster.config))
        yield cluster
        assert cluster.call("squeue", "-h").strip() == ""


def test_runs_are_made_by_jobs_of_a_queue_with_and_without_the_projects_files(project: Project, cluster: SlurmCluster):
    for sync in ("false", "true"):
        project.name(gpu={"command": f"srun -n1 {project.other}", "sync": sync, "timeout": 120})
        session = project.run(SOURCE, "gpu")
        assert session.verdicts == {"test_same": "identical", "test_job": "diverged"}, session.text


def test_a_job_that_is_cancelled_is_an_error_of_one_test(project: Project, cluster: SlurmCluster):
    source = """
        import os, subprocess, time
        import pytest

        @pytest.mark.reproducible
        def test_cancelled():
            if "SLURM_JOB_ID" in os.environ:
                subprocess.run(["scancel", os.environ["SLURM_JOB_ID"]])
                time.sleep(600)
            return 1.0

        @pytest.mark.reproducible
        def test_next(): return 2.0
    """
    project.name(gpu={"command": f"srun -n1 {project.other}", "timeout": 120})
    session = project.run(source, "gpu")
    assert session.verdicts == {"test_cancelled": "error", "test_next": "identical"}, session.text
    assert "run 2 with host=gpu: the environment 'gpu' was lost" in session.test("test_cancelled")["reason"]


def test_a_job_that_never_starts_is_given_up_with_what_the_queue_says(project: Project, cluster: SlurmCluster):
    project.name(gpu={"command": "srun -n1 --begin=now+1hour", "timeout": 5}, box=project.other)
    session = project.run(SOURCE, "gpu:box", "-k", "same")
    test = session.test("test_same")
    assert test["verdict"] == "error"
    assert "run 2 with host=gpu: the environment 'gpu' did not answer within 5 s, its timeout" in test["reason"]
    assert "queued and waiting for resources" in test["reason"]
    assert [run["outcome"] for run in test["runs"]] == ["passed", "error", "passed"]
    assert sys.platform == "linux"
