"""Run a snippet in a fresh interpreter: what depends on an import's moment can be tried nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def run_python(code: str, **environ: str) -> str:
    """Run the code in a new interpreter and return what it printed, stripped."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
