"""What a child process is told to run, and what it answers; both travel as JSON files, never as pickles."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from pytest_repro.errors import ChildError
from pytest_repro.model import JSON, Condition

#: Names the job's file for a child; its presence makes the plugin a child's.
JOB_VARIABLE = "PYTEST_REPRO_JOB"
RESULT_NAME = "result.json"
#: A child's answer holds reports and figures; its arrays travel beside it.
LARGEST_ANSWER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ChildJob:
    """One run that a child is to make.

    Attributes
    ----------
    path : str
        The test's file, absolute.
    name : str
        The test within its file, by its classes' names and its own, as in ``TestFit::test_loss[a::b]``.
    identity : str
        Fingerprint of the test's code; another test under the same node id is refused.
    index, seed : int
    condition : dict of axis -> JSON
        Complete: everything that the run is given.
    axes : list of str
        Axes whose effect is read back, also where this run leaves them as they are.
    keeps_locals : bool
    options : dict of name -> JSON
        Options that the parent's session settled and a child would draw anew.
    memory_limit_bytes : int
        Captured arrays beyond it go to disk at once.
    coverage : dict or None
        How the lines that the run executes are measured.
    watch : dict or None
        ``path`` of the trace of the user's code that the run is to leave, and the limits that
        :func:`pytest_repro.tracing.watched` takes.
    directory : str
        Where the child leaves its answer, and may leave anything else: the parent removes it.
    nonce : str
        Comes back in the answer, which so cannot be an older one.
    probe : dict, optional
        What a diagnosis asks for beyond the run (:class:`pytest_repro.sources.probing.ProbeRequest`).
    """

    path: str
    name: str
    identity: str
    index: int
    seed: int
    condition: dict[str, JSON]
    axes: list[str]
    keeps_locals: bool
    options: dict[str, JSON]
    memory_limit_bytes: int
    coverage: dict[str, JSON] | None
    directory: str
    nonce: str
    watch: dict[str, JSON] | None = None
    probe: dict[str, Any] | None = None

    def write(self) -> Path:
        """Write the job where the child finds it."""
        path = Path(self.directory) / "job.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> ChildJob:
        """Read a job that this process' parent wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def as_condition(self) -> Condition:
        """Return the complete condition."""
        return Condition(tuple(self.condition.items()))


@dataclass(slots=True)
class ChildAnswer:
    """What a child has run: its reports, what it read back, how it ended.

    Attributes
    ----------
    imported : list of str
        Modules that only the run imported, and that a server of forks may import before the next one.
    sources : list of str
        Files whose lines the run has read, for a server of forks to keep.
    warnings : list of dict
        As :func:`pytest_repro.engines.warned.describe_warning` gives them.
    peak_kib : int
        Largest memory of the child or of a process that it has waited for.
    trace : str
        Where the trace of a watched run lies; empty if there is none.
    seen : dict
        What a diagnosis asked to look at: sources and changed state, as built-in types.
    """

    nonce: str
    outcome: str
    reason: str = ""
    wasxfail: bool = False
    took_locals: bool = False
    has_artifacts: bool = False
    longrepr: str = ""
    phase: str = "call"
    sections: list[list[str]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, JSON] = field(default_factory=dict)
    inputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    imported: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    peak_kib: int = 0
    equivalences: list[dict[str, Any]] = field(default_factory=list)
    trace: str = ""
    seen: dict[str, Any] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write the answer whole or not at all: a half-written one must not be taken for a run."""
        temporary = directory / f"{RESULT_NAME}.part"
        # Shallow: it holds built-in types alone, which asdict() would copy one by one.
        content = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        temporary.write_bytes(json.dumps(content).encode())
        temporary.replace(directory / RESULT_NAME)


def read_answer(directory: Path, nonce: str) -> ChildAnswer | None:
    """Return a child's answer, checked; None if it left none.

    Raises
    ------
    ChildError
        If the answer is not one to this job.
    """
    path = directory / RESULT_NAME
    try:
        if path.stat().st_size > LARGEST_ANSWER_BYTES:
            raise ChildError(f"the answer is larger than {LARGEST_ANSWER_BYTES >> 20} MiB")
        answer = ChildAnswer(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ChildError(f"the answer cannot be read: {error}") from None
    if answer.nonce != nonce:
        raise ChildError("the answer belongs to another run")
    return answer


def address_of(item: pytest.Item) -> tuple[str, str]:
    """Return a test's file and its name within it.

    Not its node id: that is relative to the root, and xdist appends the name of a group to it.
    """
    names = [node.name for node in item.listchain() if isinstance(node, (pytest.Class, pytest.Function))]
    return str(item.path), "::".join(names)


def identify(item: pytest.Function) -> str:
    """Return a fingerprint of a test's code, the same in every process that imports the same source."""
    function = inspect.unwrap(getattr(item.obj, "__func__", item.obj))
    code = getattr(function, "__code__", None)
    where = (item.location[0], code.co_firstlineno, code.co_name) if code is not None else item.location
    parts = [repr(where), *(_describe_code(code) if code is not None else ())]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _describe_code(code: CodeType) -> Iterator[str]:
    """Yield what a code object does: its instructions, what they name, and the values that they load."""
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _describe_code(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant)))  # in an order that the hash seed does not decide
        else:
            yield repr(constant)
