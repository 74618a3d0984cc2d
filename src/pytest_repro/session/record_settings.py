"""The options about records, of the command line and the ini file. Loads no NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pytest_repro.errors import UsageError

MAX_REASON = 1000


@dataclass(frozen=True)
class RecordSettings:
    """The use of records in a session.

    Attributes
    ----------
    mode : {"record", "verify"}
    directory : Path
    shown : str
        The directory as the user wrote it, for commands.
    reason : str
        Why records may be overwritten. Empty if they may not.
    """

    mode: Literal["record", "verify"]
    directory: Path
    shown: str
    reason: str = ""

    @property
    def updates(self) -> bool:
        """Whether a record that differs may be overwritten."""
        return bool(self.reason)


def read_record_settings(config: pytest.Config) -> RecordSettings | None:
    """Read ``--repro-record``, ``--repro-verify``, ``--repro-update`` and ``--repro-reason``, or None without them."""
    record, verify = config.getoption("repro_record"), config.getoption("repro_verify")
    update, reason = config.getoption("repro_update"), (config.getoption("repro_reason") or "").strip()
    if record is not None and verify is not None:
        raise UsageError("--repro-record and --repro-verify exclude each other: record first, then verify")
    if update and not reason:
        raise UsageError('--repro-update overwrites records: give the reason with --repro-reason="..."')
    if reason and not update:
        raise UsageError("--repro-reason is stored in the records that --repro-update overwrites; add --repro-update")
    if len(reason) > MAX_REASON:
        raise UsageError(f"--repro-reason has {len(reason):,} characters; {MAX_REASON:,} are enough")
    base = config.invocation_params.dir
    given = record if record is not None else verify
    if given is None:
        given = config.getini("repro_verify") or None
        base = config.inipath.parent if config.inipath is not None else config.rootpath
    if given is None:
        if update:
            raise UsageError("--repro-update needs the directory of the records: --repro-record=DIR")
        return None
    if not given.strip():
        raise UsageError("--repro-record and --repro-verify need a directory")
    directory = base / Path(given)
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"records: {given} is not a directory")
    return RecordSettings("record" if record is not None or update else "verify", directory, given, reason)
