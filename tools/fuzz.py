"""Fuzz every reader with atheris (``tox -e fuzz``); the quick laws are in tests/properties/test_readers.py.

Each reader may give a value or raise an error of ours; anything else is a crash, and so is what takes 20 seconds or
2 GiB. An input that crashed is written to the folder named by --artifacts, and the exit status counts the readers.
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

#: The fuzzer's own last words.
_DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")
_KEPT = re.compile(r"Test unit written to (\S+)")
#: What of a crash is shown: its traceback stands at the end.
_SHOWN_LINES = 40


@dataclass(frozen=True)
class Outcome:
    """What fuzzing one reader came to; `kept` is the input that crashed it."""

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
    """Fuzz each reader for a while, in a process of its own; return the number of those that crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="for each reader")
    parser.add_argument("--reader", action="append", metavar="NAME", help="only this one; may be given again")
    parser.add_argument("--artifacts", type=Path, default=Path(), help="where an input that crashed is kept")
    parser.add_argument("--verbose", action="store_true", help="show all that the fuzzer says")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        fuzz(args.one, args.seconds, args.artifacts)
    from tests.properties.readers import make_temporary_readers

    known = list(make_temporary_readers())
    if unknown := sorted(set(args.reader or ()) - set(known)):
        parser.error(f"no reader {', '.join(unknown)}; there are {', '.join(known)}")
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
    """Read what a fuzzer printed; one that made no run has shown nothing, and counts as crashed."""
    ended, covered, kept = _DONE.search(output), _COVERED.findall(output), _KEPT.search(output)
    runs = int(ended[1]) if ended else 0
    return Outcome(
        runs, int(covered[-1]) if covered else 0, kept[1] if kept else "", returncode != 0 or runs < 2, output
    )


def fuzz(name: str, seconds: int, artifacts: Path) -> None:
    """Fuzz one reader; does not return."""
    import atheris

    ours = ["records", "capturing", "reporting"]
    with atheris.instrument_imports(include=[*(f"pytest_repro.{layer}" for layer in ours), "json", "tomllib"]):
        from pytest_repro.errors import ReproError
        from tests.properties.readers import make_temporary_readers
    reader = make_temporary_readers()[name]
    # One that refuses a sound file would be fuzzed at its door alone.
    reader.read(reader.sound)
    corpus = Path(tempfile.mkdtemp(prefix="pytest-repro-corpus-"))
    (corpus / "sound").write_bytes(reader.sound)

    def attempt(data: bytes) -> None:
        try:
            reader.read(data)
        except ReproError:
            return

    options = [f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=20", f"-artifact_prefix={artifacts}/"]
    atheris.Setup([sys.argv[0], *options, "-max_len=20000", str(corpus)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
