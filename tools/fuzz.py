"""Fuzz every reader of files with atheris (``tox -e fuzz``). Faster tests are in tests/properties/test_readers.py.

A reader may return a value or raise an error of pytest-repro. Anything else is a crash, as are 5 seconds or 1 GiB for
one input. An input that crashed is written to the folder given by --artifacts. The exit status is the number of readers
that crashed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: The fuzzer's output at its end.
_DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")
_KEPT = re.compile(r"Test unit written to (\S+)")
#: Last lines of a crash that are shown, because the traceback is at the end.
_SHOWN_LINES = 40


@dataclass(frozen=True)
class Outcome:
    """Result of fuzzing one reader, with the file of the input that crashed it in `kept`."""

    runs: int
    covered: int
    kept: str
    crashed: bool
    output: str

    def describe(self, name: str) -> str:
        """Return the line of the summary."""
        state = f"CRASHED, input in {self.kept or 'no file'}" if self.crashed else "sound"
        return f"{name:<20} {self.runs:>9,} runs {self.covered:>6,} edges  {state}"


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz each reader in a separate process, and return the number of readers that crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="time for each reader [s]")
    parser.add_argument("--reader", action="append", metavar="NAME", help="only this reader (may be repeated)")
    parser.add_argument("--artifacts", type=Path, default=Path(), help="folder for inputs that crashed")
    parser.add_argument("--verbose", action="store_true", help="show the whole output of the fuzzer")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        fuzz(args.one, args.seconds, args.artifacts)
    from tests.properties.readers import make_temporary_readers

    known = list(make_temporary_readers())
    if unknown := sorted(set(args.reader or ()) - set(known)):
        parser.error(f"unknown reader {', '.join(unknown)}; the readers are {', '.join(known)}")
    crashed = []
    for name in args.reader or known:
        outcome = watch(name, args.seconds, args.artifacts.resolve())
        if args.verbose or outcome.crashed:
            lines = outcome.output.splitlines()
            print("\n".join(lines if args.verbose else lines[-_SHOWN_LINES:]))
        print(outcome.describe(name), flush=True)
        crashed += [name] if outcome.crashed else []
    print(f"{len(args.reader or known)} readers, {len(crashed)} crashed: {', '.join(crashed) or 'none'}")
    return len(crashed)


def watch(name: str, seconds: int, artifacts: Path) -> Outcome:
    """Fuzz one reader in another process."""
    artifacts.mkdir(parents=True, exist_ok=True)
    command = ["--one", name, "--seconds", str(seconds), "--artifacts", str(artifacts)]
    done = subprocess.run(
        [sys.executable, "-m", "tools.fuzz", *command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return read_outcome(done.stdout, done.returncode)


def read_outcome(output: str, returncode: int) -> Outcome:
    """Read the output of a fuzzer. A fuzzer without runs proved nothing, and counts as crashed."""
    ended, covered, kept = _DONE.search(output), _COVERED.findall(output), _KEPT.search(output)
    runs = int(ended[1]) if ended else 0
    return Outcome(
        runs, int(covered[-1]) if covered else 0, kept[1] if kept else "", returncode != 0 or runs < 2, output
    )


def fuzz(name: str, seconds: int, artifacts: Path) -> None:
    """Fuzz one reader, without returning."""
    import atheris

    ours = ["records", "capturing", "reporting", "model", "tracing.trace_file", "diagnosis.trace_reading"]
    ours += ["engines.job", "session.auditing", "session.diagnosis_memory", "equivalences.processes"]
    with atheris.instrument_imports(include=[*(f"pytest_repro.{layer}" for layer in ours), "json", "tomllib"]):
        from pytest_repro.errors import ReproError
        from tests.properties.readers import make_temporary_readers
    reader = make_temporary_readers()[name]
    reader.read(reader.sound)  # if the sound file were rejected, only the first checks of the reader would be fuzzed
    corpus = Path(tempfile.mkdtemp(prefix="pytest-repro-corpus-"))
    (corpus / "sound").write_bytes(reader.sound)

    def attempt(data: bytes) -> None:
        try:
            reader.read(data)
        except ReproError:
            return

    options = [f"-max_total_time={seconds}", "-rss_limit_mb=1024", "-timeout=5", f"-artifact_prefix={artifacts}/"]
    atheris.Setup([sys.argv[0], *options, "-max_len=20000", str(corpus)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
