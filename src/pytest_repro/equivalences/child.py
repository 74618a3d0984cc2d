"""A new interpreter's way in: ``python -m pytest_repro.equivalences.child JOB``; not for users."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run the task of a job file, and leave its answer beside it."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    sys.path[:] = job["path"]
    # Only now: the search path decides which pytest_repro and which user's modules are found.
    from pytest_repro.equivalences import callables
    from pytest_repro.equivalences.processes import TaskReport, run_and_report

    # torchrun starts every rank with the same arguments, and tells each its rank.
    rank = f"rank-{os.environ['RANK']}" if arguments[1:] == ["ranked"] else ""
    report = TaskReport(Path(job["directory"]) / rank)
    report.directory.mkdir(exist_ok=True)

    def run(report: TaskReport) -> None:
        task = callables.decode(job["task"])
        task(report, **callables.decode(job["arguments"]))

    run_and_report(run, report, {})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
