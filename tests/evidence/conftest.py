"""A bundle of evidence that a session wrote and a key signed, and the records of its tests."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.helpers import FAILING, SOURCE, command, run_pytest


@dataclass(frozen=True)
class Signed:
    """A signed bundle with the keys to check and to forge it."""

    folder: Path
    private: Path
    public: Path


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bundle, another session's bundle, and records."""
    folder = tmp_path_factory.mktemp("written")
    run_pytest(folder, "--repro-record=records", "--repro-evidence=bundle")
    run_pytest(folder, "--repro-evidence=other", source=SOURCE + FAILING, check=False)
    return folder


@pytest.fixture(scope="session")
def signed(written: Path) -> Signed:
    """Return the signed bundle. The other one is signed with the same key."""
    from tests.unit.records.helpers import other_key, pem_of

    private, public = pem_of(other_key())
    found = Signed(written / "bundle", written / "private.pem", written / "public.pem")
    found.private.write_bytes(private)
    found.public.write_bytes(public)
    for name in ("bundle", "other"):
        status, output = command("sign", written / name, "--key", found.private)
        assert status == 0, output
    return found


@pytest.fixture
def copied(tmp_path: Path) -> Any:
    """Return a function that copies a folder, each time to another place."""
    count = iter(range(100_000))
    return lambda folder: shutil.copytree(folder, tmp_path / f"copy-{next(count)}", symlinks=True)
