"""The options about records, of the command line and the ini file. Loads no NumPy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pytest_repro.errors import UsageError
from pytest_repro.records.labels import describe_label_problem
from pytest_repro.session.ini_values import ini_folder, read_key
from pytest_repro.session.option_values import parse_size

MAX_REASON = 1000


@dataclass(frozen=True)
class RecordSettings:
    """The use of records in a session.

    Attributes
    ----------
    mode : {"record", "verify", "collect"}
    directory : Path
    shown : str
        The directory as the user wrote it, for commands.
    reason : str
        Why records may be overwritten. Empty if they may not.
    label : str
        Name of the environment that is collected.
    max_array_bytes : int or None
        Largest arrays of a test that are collected; -1 for none, None for all.
    """

    mode: Literal["record", "verify", "collect"]
    directory: Path
    shown: str
    reason: str = ""
    label: str = ""
    max_array_bytes: int | None = None

    @property
    def updates(self) -> bool:
        """Whether a record that differs may be overwritten."""
        return bool(self.reason)


def read_record_settings(config: pytest.Config) -> RecordSettings | None:
    """Read the options about records, or return None without them."""
    record, verify = config.getoption("repro_record"), config.getoption("repro_verify")
    update, reason = config.getoption("repro_update"), (config.getoption("repro_reason") or "").strip()
    if config.getoption("repro_collect") is not None:
        return _read_collect_settings(config)
    if config.getoption("repro_collect_arrays") is not None:
        raise UsageError("--repro-collect-arrays needs --repro-collect=DIR")
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
        given = read_key(config, "repro_verify")
        base = ini_folder(config)
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


def _read_collect_settings(config: pytest.Config) -> RecordSettings:
    given = config.getoption("repro_collect")
    for name in ("repro_record", "repro_verify", "repro_update", "repro_reason"):
        if config.getoption(name) is not None:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"--repro-collect and {option} exclude each other: use one session for each")
    if read_key(config, "repro_verify"):
        raise UsageError(
            "--repro-collect cannot verify in the same session, and the ini file has repro_verify: add -o repro_verify="
        )
    if not given.strip() or "\0" in given:
        raise UsageError("--repro-collect needs a folder: --repro-collect=out/LABEL")
    limit = _read_array_limit(config.getoption("repro_collect_arrays"))
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        directory = Path(worker["repro_collect"])
        return RecordSettings("collect", directory, given, label=directory.name, max_array_bytes=limit)
    directory = config.invocation_params.dir / Path(given)
    if given.endswith(("/", os.sep)) or Path(given).name in ("", ".."):
        directory, given = directory / _fingerprint_label(config), str(given).rstrip("/" + os.sep)
    if problem := describe_label_problem(directory.name):
        raise UsageError(f"--repro-collect: the last part of {given!r} is the environment's label; {problem}")
    if os.path.lexists(directory) and not directory.is_dir():
        raise UsageError(f"--repro-collect: {given} is not a folder")
    return RecordSettings("collect", directory, given, label=directory.name, max_array_bytes=limit)


def _fingerprint_label(config: pytest.Config) -> str:
    """Return the label of an environment that was given none: the same for all that can change no bits."""
    from pytest_repro.capturing.environment import describe_environment
    from pytest_repro.records.fingerprint import fingerprint_environment

    digest = fingerprint_environment(describe_environment(config.rootpath))
    return f"env-{digest.removeprefix('sha256:')[:12]}"


def _read_array_limit(text: str | None) -> int | None:
    if text is None or text.strip().lower() == "all":
        return None
    if text.strip().lower() == "none":
        return -1
    try:
        return parse_size(text)
    except UsageError as error:
        raise UsageError(f"--repro-collect-arrays takes all, none or a size: {error}") from None
