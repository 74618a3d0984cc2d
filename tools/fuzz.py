"""Fuzz every reader with atheris (``tox -e fuzz``); the quick laws are in tests/properties/test_readers.py.

Each reader may give a value or raise an error of ours; anything else is a crash, which is written to the folder named
by --artifacts, and ends with another exit status than 0.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz each reader for a while, in a process of its own; return the number of those that crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="for each reader")
    parser.add_argument("--reader", action="append", metavar="NAME", help="only this one; may be given again")
    parser.add_argument("--artifacts", type=Path, default=Path(), help="where an input that crashed is kept")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        fuzz(args.one, args.seconds, args.artifacts)
    from tests.properties.readers import make_temporary_readers

    names = args.reader or list(make_temporary_readers())
    crashed = []
    for name in names:
        options = ["--one", name, "--seconds", str(args.seconds), "--artifacts", str(args.artifacts.resolve())]
        if subprocess.run([sys.executable, "-m", "tools.fuzz", *options], check=False).returncode:
            crashed.append(name)
    print(f"{len(names)} readers, {len(crashed)} crashed: {', '.join(crashed) or 'none'}")
    return len(crashed)


def fuzz(name: str, seconds: int, artifacts: Path) -> None:
    """Fuzz one reader; does not return."""
    import atheris

    with atheris.instrument_imports(include=["pytest_repro.records", "pytest_repro.capturing", "json"]):
        from pytest_repro.errors import ReproError
        from tests.properties.readers import make_temporary_readers
    reader = make_temporary_readers()[name]
    corpus = Path(tempfile.mkdtemp(prefix="pytest-repro-corpus-"))
    (corpus / "sound").write_bytes(reader.sound)

    def attempt(data: bytes) -> None:
        try:
            reader.read(data)
        except ReproError:
            return

    options = [f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=20", f"-artifact_prefix={artifacts}/"]
    atheris.Setup([sys.argv[0], *options, "-max_len=20000", "-verbosity=0", str(corpus)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
