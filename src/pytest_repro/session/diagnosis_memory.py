"""What the diagnoses of a session, and of earlier ones with the same code, leave for the next.

A cause that one test had is tried first for the next that differs at the same line. A search that ran out of time goes
on where it stopped, as long as the code is the same: pytest's cache keeps what it ruled out.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.diagnosis.observing import Known, Memory, Search
from pytest_repro.errors import StoreError
from pytest_repro.model import Location
from pytest_repro.model.reading import parse_json, read_file
from pytest_repro.model.redaction import redact_name
from pytest_repro.reporting.json_report import write_atomically
from pytest_repro.tracing.user_code import is_user_file

#: In the folder of pytest's cache for files of plugins. `Cache.get` would wait for the writer of a FIFO, and end the
#: session by deeply nested content.
_FOLDER, _FILE = "pytest_repro", "diagnosis.json"
MAX_BYTES = 32 * 2**20
#: Tests, names and characters kept.
MAX_TESTS, MAX_NAMES, MAX_CHARACTERS = 1000, 100, 200


class DiagnosisMemory:
    """Keeps findings and searches that did not end.

    Parameters
    ----------
    config : pytest.Config
        Its cache is used where the plugin for it is on.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)
        self._known: list[Known] = []
        self._code = ""

    def recall(self, nodeid: str) -> Memory:
        """Return what is known when the search for a test begins."""
        return Memory(tuple(self._known), self._read_ruled_out(redact_name(nodeid)))

    def keep(self, nodeid: str, search: Search, place: Location | None) -> None:
        """Keep what a search found, or what it ruled out before its time ran out."""
        for finding in search.findings:
            if place is not None:
                state = str(finding.state["name"]) if finding.state is not None else ""
                known = Known(search.where, finding.pins, state, place.file, place.line)
                if known not in self._known:
                    self._known.append(known)
        self._write_ruled_out(redact_name(nodeid), search.ruled_out if search.is_out_of_time else [])

    def _read_ruled_out(self, nodeid: str) -> frozenset[str]:
        entry = self._read().get(nodeid)
        if not isinstance(entry, dict) or entry.get("code") != self._identify_code():
            return frozenset()
        names = entry.get("ruled_out")
        return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()

    def _write_ruled_out(self, nodeid: str, ruled_out: list[str]) -> None:
        entries = dict(self._read())
        if self._cache is None or not (ruled_out or nodeid in entries):
            return
        entries.pop(nodeid, None)
        if ruled_out:
            names = [name[:MAX_CHARACTERS] for name in dict.fromkeys(ruled_out)][:MAX_NAMES]
            entries[nodeid] = {"code": self._identify_code(), "ruled_out": names}
        kept = dict(list(entries.items())[-MAX_TESTS:])
        with suppress(OSError):  # without its cache, the next session searches from the start
            write_atomically(self._cache.mkdir(_FOLDER) / _FILE, json.dumps(kept, ensure_ascii=True, indent=1))

    def _read(self) -> Mapping[str, Any]:
        """Return the entries. A file that the plugin did not write has none, whatever it is."""
        if self._cache is None:
            return {}
        try:
            data = read_file(self._cache.mkdir(_FOLDER) / _FILE, max_bytes=MAX_BYTES)
            found = parse_json(data, max_bytes=MAX_BYTES)
        except (OSError, StoreError):
            return {}
        return found if isinstance(found, dict) else {}

    def _identify_code(self) -> str:
        """Return a digest of every file of the user's code that is loaded."""
        if not self._code:
            found = hashlib.sha256()
            files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
            for file in sorted(file for file in files if isinstance(file, str) and is_user_file(file)):
                content = hashlib.sha256(Path(file).read_bytes()).hexdigest() if Path(file).is_file() else ""
                found.update(f"{file}\0{content}\n".encode("utf-8", "surrogatepass"))
            self._code = found.hexdigest()
        return self._code
