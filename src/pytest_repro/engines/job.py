"""The job of a child process and its answer, which travel as JSON files and never as pickles."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from pytest_repro.axes import EngineName
from pytest_repro.engines.base import Outcome
from pytest_repro.environments.environment import TRACE_NAME
from pytest_repro.errors import ChildError, StoreError
from pytest_repro.model import JSON, Condition
from pytest_repro.model.reading import read_file
from pytest_repro.model.secret_values import remember_secrets

#: File of the child's answer, in the job's folder.
RESULT_NAME = "result.json"
#: File with the terminal output of a child's pytest.
TERMINAL_NAME = "terminal.txt"
#: File that a child makes when it reaches its test.
BEGUN_NAME = "begun"
#: Begins the fingerprint of a test's source.
SOURCE = "source:"
#: Files with the test's captured output.
CAPTURED_NAMES = ("stdout.txt", "stderr.txt")
#: A child's answer holds reports and figures. Its arrays travel in files of their own.
MAX_ANSWER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ChildJob:
    """One run that a child is to make.

    Attributes
    ----------
    path, name : str
        The test's file, absolute, and the test within it, as in ``TestFit::test_loss[a::b]``.
    identity : str
        Fingerprint of the test's code, or of its source for another release of Python. Another test under the same
        node id is rejected.
    condition : dict of axis -> JSON
        Complete: everything that the run is given.
    base_seed : int
        The session's, for fixtures with a scope wider than the test.
    axes, keeps_locals, memory_limit_bytes, hints
        As in :class:`~pytest_repro.engines.base.RunSettings`.
    parameters : dict of name -> str
        Digests of the test's parameters in the parent. Empty where they are not to be compared.
    options : dict of name -> JSON
        Options that the parent's session settled and a child would draw again.
    coverage : dict or None
        How the lines that the run executes are measured.
    directory : str
        Folder for the child's answer and its other files. The parent removes it.
    nonce : str
        Returned in the answer, as proof that this is not an older one.
    watch : dict, optional
        ``path`` of the trace of the user's code that the run is to leave, and the limits that
        :class:`pytest_repro.tracing.watching.watched` takes.
    following : tuple of (path, name), optional
        The next test of a series, for which the fixtures that outlive this one are kept.
    probe : dict, optional
        Requests of a diagnosis (:class:`pytest_repro.sources.probing.ProbeRequest`).
    """

    path: str
    name: str
    identity: str
    index: int
    seed: int
    base_seed: int
    condition: dict[str, JSON]
    axes: list[str]
    keeps_locals: bool
    parameters: dict[str, str]
    options: dict[str, JSON]
    memory_limit_bytes: int
    coverage: dict[str, JSON] | None
    directory: str
    nonce: str
    watch: dict[str, JSON] | None = None
    probe: dict[str, Any] | None = None
    hints: bool = False
    following: tuple[str, str] | None = None

    def write(self, directory: Path | None = None) -> Path:
        """Write the job into its folder, which has another path here if `directory` is given."""
        path = (directory or Path(self.directory)) / "job.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    def elsewhere(self) -> ChildJob:
        """Return the job for a process that sees no other folder of here than its own.

        Nothing is measured there, and files of earlier runs are not looked for.
        """
        watch = None if self.watch is None else {**self.watch, "path": f"{self.directory}/{TRACE_NAME}"}
        probe = None if self.probe is None else {**self.probe, "compiled": "", "since": None}
        return replace(self, coverage=None, watch=watch, probe=probe)

    @classmethod
    def read(cls, path: Path) -> ChildJob:
        """Read a job that this process' parent wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        following = content.pop("following")
        return cls(**content, following=None if following is None else tuple(following))

    def as_condition(self) -> Condition:
        """Return the complete condition."""
        return Condition(tuple(self.condition.items()))


@dataclass(slots=True)
class ChildAnswer:
    """A child's run as it leaves it for the parent: its outcome, its reports, and facts for the next run.

    Attributes
    ----------
    where : str
        File and line where a run that did not pass ended.
    cpu_s : float
        CPU time of the child and of the processes that it has waited for [s].
    imported : list of str
        Modules that only the run imported, which a fork server may import before the next run.
    sources : list of str
        Files whose lines the run has read, for a fork server to keep.
    warnings : list of dict
        As :func:`pytest_repro.engines.relay.describe_warning` returns them.
    peak_kib : int
        Largest memory of the child or of a process that it has waited for.
    subtests : list of dict
        Reports of the test's subtests, as pytest serializes them.
    seen : dict
        Sources and changed state that a diagnosis requested, as built-in types.
    refused : list of (name, type, reason)
        Captures that were refused.
    tests_before : int
        Number of the tests that the process had run before, as a fork that runs a series of tests has.
    engine, interpreter : str
        What made the run, and what its interpreter was started for. Filled in by the parent.
    reached : list of (kind, place)
        What the run was seen to reach.
    secrets : list of (name, value)
        What the environment held under names of secrets, for the parent to hide.
    judgements : list of (assertion, verdict, message, count)
        What this package's assertions found.
    """

    nonce: str
    outcome: Outcome
    reason: str = ""
    where: str = ""
    wasxfail: bool = False
    took_locals: bool = False
    has_artifacts: bool = False
    longrepr: str = ""
    sections: list[list[str]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, JSON] = field(default_factory=dict)
    inputs: dict[str, dict[str, JSON]] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_s: float = 0.0
    imported: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    peak_kib: int = 0
    equivalences: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)
    subtests: list[dict[str, Any]] = field(default_factory=list)
    refused: list[list[str]] = field(default_factory=list)
    tests_before: int = 0
    engine: EngineName = "spawn"
    interpreter: str = ""
    reached: list[list[str]] = field(default_factory=list)
    secrets: list[list[str]] = field(default_factory=list)
    judgements: list[list[Any]] = field(default_factory=list)

    def write(self, directory: Path) -> None:
        """Write the complete answer or none: half of one must not be taken for a run."""
        temporary = directory / f"{RESULT_NAME}.part"
        # Not asdict(), which would copy every value: the answer holds only built-in types.
        content = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        temporary.write_bytes(json.dumps(content).encode())
        temporary.replace(directory / RESULT_NAME)


#: Fields of an answer that a report shows.
_SHOWN = ("reason", "where", "longrepr", "sections", "warnings", "subtests", "refused", "reached", "judgements", "seen")


def translate(answer: ChildAnswer, change: Callable[[str], str]) -> None:
    """Change the texts of an answer that a report shows."""
    try:
        for name in _SHOWN:
            setattr(answer, name, _translate(getattr(answer, name), change))
    except RecursionError:
        raise ChildError("the answer cannot be read: it is nested too deeply") from None


def _translate(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_translate(each, change) for each in value]
    return {name: _translate(each, change) for name, each in value.items()} if isinstance(value, dict) else value


_PLAIN = ChildAnswer("", "passed")


def take_traces(directory: Path, path: Path) -> None:
    """Move the traces that came back from elsewhere to where they were asked for."""
    for found in directory.glob(f"{TRACE_NAME}*"):
        found.replace(path.with_name(path.name + found.name.removeprefix(TRACE_NAME)))


def read_answer(directory: Path, nonce: str) -> ChildAnswer | None:
    """Return a child's answer, or None if it left none.

    Raises
    ------
    ChildError
        If the file is not an answer to this job.
    """
    path = directory / RESULT_NAME
    try:
        data = read_file(path, max_bytes=MAX_ANSWER_BYTES)
        answer = ChildAnswer(**json.loads(data.decode("utf-8")))
        _check_types(answer)
        secrets = [(str(name), str(value)) for name, value in answer.secrets]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError, StoreError) as error:
        raise ChildError(f"the answer cannot be read: {error}") from None
    if answer.nonce != nonce:
        raise ChildError("the answer belongs to another run")
    remember_secrets(secrets)
    return answer


def _check_types(answer: ChildAnswer) -> None:
    """Raise TypeError for an answer that another machine made up."""
    if answer.outcome not in ("passed", "failed", "skipped", "error"):
        raise TypeError(f"it has the outcome {str(answer.outcome)[:40]!r}")
    for entry in fields(answer):
        default = getattr(_PLAIN, entry.name)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(getattr(answer, entry.name), wanted):
            raise TypeError(f"its {entry.name} is no {type(default).__name__}")


def address_of(item: pytest.Item) -> tuple[str, str]:
    """Return a test's file and its name within it.

    The node id would not do: it is relative to the root, and xdist appends the name of a group to it.
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


def identify_source(item: pytest.Function) -> str:
    """Return a fingerprint of a test's source, the same for every release of Python."""
    function = inspect.unwrap(getattr(item.obj, "__func__", item.obj))
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = ""
    parts = [repr((item.location[0], item.originalname, getattr(function, "__qualname__", ""))), source]
    return SOURCE + hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _describe_code(code: CodeType) -> Iterator[str]:
    """Yield a code object's instructions, their names, and the values that they load."""
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _describe_code(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant)))  # in an order that the hash seed does not decide
        else:
            yield repr(constant)
