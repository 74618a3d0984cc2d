#!/usr/bin/env python3
"""Measure `pytest-repro merge` on collections of real records: CPU time and the largest memory.

    python benchmarks/merge.py                       # 20 environments x 2,000 tests, of which 1 in 50 differs somewhere
    python benchmarks/merge.py --tests 200 --differing 2

One pytest session collects the tests. Its folder is copied for each environment. In the copies, some environments have
another BLAS, and the differing tests have other results there, written by the record's own writer. The merge runs in a
new process, whose CPU time includes Python's start. The exit status is 1 if a figure exceeds its limit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

LIMIT_CPU_S, LIMIT_MB = 5.0, 500
TESTS = """\
import numpy as np
import pytest


@pytest.mark.reproducible(rtol=1e-6)
@pytest.mark.parametrize("n", range({tests}))
def test_fit(repro, n):
    repro.config({{"n": n}})
    return {{"w": repro.rng.standard_normal(200), "accuracy": 0.5 + n}}
"""


def collect(folder: Path, tests: int) -> Path:
    """Collect real tests, and return their folder."""
    (folder / "test_bench.py").write_text(TESTS.format(tests=tests), encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-p", "pytest_repro.plugin", "--repro-collect=out/env-00"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return folder / "out" / "env-00"


def derive(source: Path, number: int, every: int) -> None:
    """Copy a collection under another label; every third has another BLAS, and other results of some tests."""
    from pytest_repro.records.collection import CollectedTest, fact_digest, read_collection
    from pytest_repro.records.collection_writer import CollectionWriter, describe_file
    from pytest_repro.records.files import read_record, write_record

    folder = source.with_name(f"env-{number:02}")
    found = read_collection(source)
    environment = dict(found.manifest.environment)
    is_other = number % 3 == 1
    if is_other:
        environment["variables"] = {"OPENBLAS_CORETYPE": "Haswell"}
    digest = hashlib.sha256(repr(environment).encode()).hexdigest()
    empty = replace(found.manifest, tests=(), facts={}, outcome=None, is_finished=False)
    manifest = replace(empty, label=folder.name, environment=environment, fingerprint=f"sha256:{digest}")
    writer = CollectionWriter(folder, manifest)
    writer.begin()
    here = fact_digest(environment)
    for position, test in enumerate(found.tests.values()):
        assert test.record is not None
        path = folder / test.record.name
        if not is_other:
            shutil.copyfile(source / test.record.name, path)
            made: CollectedTest = replace(test, record=describe_file(path))
        else:
            stored = read_record(source / test.record.name)
            artifacts = stored.load()
            if position % every == 0:
                leaf = artifacts.leaves["w"]
                artifacts.leaves["w"] = replace(leaf, data=leaf.data * (1 + 1e-9))
            facts = {**stored.record.facts, "environment": environment}
            write_record(folder, test.test, test.seed, artifacts, facts)
            digest = read_record(path).record.digest
            facts_of = {**test.facts, "environment": here}
            made = replace(test, record=describe_file(path), digest=digest, facts=facts_of)
        writer.add(made, found.facts)
    assert found.manifest.outcome is not None
    writer.finish(found.manifest.outcome, (), is_finished=True)


def measure(folders: list[Path]) -> tuple[float, float, int]:
    """Run the merge, and return its CPU time [s], largest memory [MB] and exit status."""
    command = [sys.executable, "-m", "pytest_repro.cli", "merge", *map(str, folders)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode


def main() -> int:
    """Make the collections, merge them three times, and print the best figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=int, default=20)
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--differing", type=int, default=50, help="one test in so many differs (default 50)")
    parser.add_argument("--keep", type=Path, help="folder for the collections, which are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "out").exists():
            os.fsync = lambda handle: None  # 15,000 files need not survive a power failure
            source = collect(folder, options.tests)
            for number in range(1, options.environments):
                derive(source, number, options.differing)
        folders = sorted((folder / "out").iterdir())
        size = sum(path.stat().st_size for each in folders for path in each.iterdir()) / 1e6
        figures = [measure(folders) for _ in range(3)]
    cpu_s, memory_mb = min(figure[0] for figure in figures), max(figure[1] for figure in figures)
    print(f"{len(folders)} environments x {options.tests:,} tests, {size:,.0f} MB of files")
    print(f"CPU time  {cpu_s:6.2f} s   limit {LIMIT_CPU_S:g} s")
    print(f"memory    {memory_mb:6.0f} MB  limit {LIMIT_MB:g} MB")
    assert {figure[2] for figure in figures} == {0}, "all differences are within the tolerance"
    return int(cpu_s > LIMIT_CPU_S or memory_mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
