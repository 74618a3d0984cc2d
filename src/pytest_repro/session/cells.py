"""Run a notebook's cell several times and compare the variables that it assigns. Knows no IPython."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_repro import seeding
from pytest_repro.engines.current import Repro
from pytest_repro.errors import ChildError, UsageError
from pytest_repro.model import Verdict
from pytest_repro.session.cell_names import find_assigned, find_read, find_stored
from pytest_repro.session.cell_state import State
from pytest_repro.session.own_session import run_sent
from pytest_repro.session.sent_source import SentSource, source_of_names
from pytest_repro.session.standalone import NOT_ELSEWHERE, Examination, examine, explain_by, needs_processes, with_note
from pytest_repro.session.written_values import NotSendableError

NAME = "the cell"
#: Name of the artifact that holds the value of a last line without an assignment.
RESULT = "Out"
#: Of a reason [characters].
WIDTH = 96
SHARED = (
    "all runs were in this kernel. What the cell keeps outside its variables, such as a cache in a module, was not "
    "reset between them; --across=process runs it in new processes"
)

AGAIN = "each run began with the earlier values; a cell that you execute again does not, of what it reads and assigns:"
NOTHING = (
    "the cell assigns no variable, and its last line has no value, so there was nothing to compare: assign the "
    "results, or name the variables that hold them, as in %%reproducible model"
)


@dataclass(slots=True)
class Cell:
    """A cell, parsed.

    Attributes
    ----------
    file : str
        What tracebacks call it.
    assigned : list of str
        Variables that it assigns, without functions, classes and modules.
    """

    tree: ast.Module
    file: str
    assigned: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str, file: str) -> Cell:
        """Parse a cell. An error of its syntax is raised as it is."""
        tree = ast.parse(text, file)
        compile(tree, file, "exec", dont_inherit=True)  # for errors that the parser does not find
        return cls(tree, file, [name for name in find_assigned(tree) if name != "_"])

    def execute(self, namespace: dict[str, Any]) -> Any:
        """Execute it, and return the value of a last line that is an expression."""
        __tracebackhide__ = True
        body = self.tree.body
        last = body[-1] if body and isinstance(body[-1], ast.Expr) else None
        body = body if last is None else body[:-1]
        exec(compile(ast.Module(body, []), self.file, "exec", dont_inherit=True), namespace)
        if last is None:
            return None
        return eval(compile(ast.Expression(last.value), self.file, "eval", dont_inherit=True), namespace)


@dataclass(frozen=True, slots=True)
class CellRequest:
    """How a cell is examined.

    Attributes
    ----------
    names : list of str
        Variables to compare. Empty for all that the cell assigns.
    arguments : mapping
        Further arguments of :func:`~pytest_repro.examine`.
    """

    runs: int
    seed: int
    across: Mapping[str, Any] | None
    names: list[str]
    diagnose: bool
    arguments: Mapping[str, Any]


def examine_cell(
    cell: Cell,
    namespace: dict[str, Any],
    request: CellRequest,
    *,
    show: Callable[[Any], object],
    silenced: Callable[[], AbstractContextManager[Any]],
) -> Examination:
    """Run a cell several times, and leave the variables as run 1 left them.

    Parameters
    ----------
    cell : Cell
    namespace : dict
        The notebook's variables.
    request : CellRequest
    show : callable
        Shows the value of the last line, once.
    silenced : callable
        Returns the context in which the output of a repeated run is dropped.

    Raises
    ------
    UsageError
        If an argument is wrong, or the cell has to be sent to another process and cannot be.
    Exception
        Any error that the cell raises.
    """
    __tracebackhide__ = True
    function = _CellRuns(cell, namespace, request.names, show, silenced)
    arguments = {"runs": request.runs, "seed": request.seed, **request.arguments}
    if request.across is not None and needs_processes(function, across=request.across, **arguments):
        found = _examine_elsewhere(cell, namespace, request, arguments)
        function.show_once(request.seed)
        return found
    sent = _try_to_send(cell, namespace) if request.diagnose else None
    try:
        found = examine(function, across=request.across, **arguments)
    finally:
        function.restore_first()
    found = function.judge_state(found)
    if found.verdict is not Verdict.DIVERGED or not request.diagnose:
        return found
    if function.changed:
        return found  # the cause is known: the runs began with different values
    if not isinstance(sent, SentSource):
        return with_note(found, f"not diagnosed: {sent}")
    return _explain(found, cell, sent, request, arguments)


class _CellRuns:
    """The function that :func:`examine` calls: a run of the cell in the notebook's own variables."""

    __name__ = __qualname__ = NAME

    def __init__(
        self,
        cell: Cell,
        namespace: dict[str, Any],
        names: list[str],
        show: Callable[[Any], object],
        silenced: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._cell, self._namespace, self._names = cell, namespace, names
        self._show, self._silenced = show, silenced
        self._before = dict(namespace)
        self._first: dict[str, Any] | None = None
        self._state = State(find_read(cell.tree), namespace)
        #: Variables that an earlier run changed and that the cell reads.
        self.changed: list[str] = []

    def __call__(self, repro: Repro) -> None:
        """Make a run, and capture what it assigned."""
        __tracebackhide__ = True
        if repro.run == 1:
            value = self._cell.execute(self._namespace)
            self._first = dict(self._namespace)
            if value is not None:
                self._show(value)
        else:
            self.changed = self._state.find_changed()
            self._restore(self._before)
            try:
                with self._silenced():
                    value = self._cell.execute(self._namespace)
            except Exception as error:
                error.add_note(f"This was run {repro.run} of the cell, with the same seed; run 1 raised no error.")
                raise
        capture_cell(repro, self._namespace, self._cell.assigned, self._names, value)

    def show_once(self, seed: int) -> None:
        """Execute the cell for its effect on the notebook, seeded like the runs in other processes."""
        state = seeding.save_state()
        try:
            seeding.seed_everything(seed)
            value = self._cell.execute(self._namespace)
        finally:
            seeding.restore_state(state)
        if value is not None:
            self._show(value)

    def restore_first(self) -> None:
        """Give the variables the values of run 1."""
        if self._first is not None:
            self._restore(self._first)

    def _restore(self, kept: Mapping[str, Any]) -> None:
        for name in [name for name in self._namespace if name not in kept]:
            del self._namespace[name]
        self._namespace.update(kept)

    def _name_nothing(self, found: Examination) -> Examination:
        """Say in a cell's own words that it left nothing to compare."""
        is_empty = not (self._cell.assigned or found.result.compared.artifacts or found.result.not_compared)
        if found.verdict is not Verdict.INCONCLUSIVE or not is_empty:
            return found
        result = replace(found.result, reason=NOTHING)
        return Examination(found.verdict, _inconclusive(NOTHING), result)

    def judge_state(self, found: Examination) -> Examination:
        """Lower a pass to INCONCLUSIVE if the runs did not begin with the same values, and say so in any case."""
        for unread in self._state.unread:
            found = with_note(found, unread)
        if again := [name for name in find_read(self._cell.tree) if name in find_stored(self._cell.tree)]:
            found = with_note(found, f"{AGAIN} {', '.join(again)}")
        if not self.changed:
            return with_note(found, SHARED) if found else self._name_nothing(found)
        names = ", ".join(self.changed)
        reason = (
            f"the cell changes {names}, which it reads, so run 2 began with what run 1 had left: "
            "make what it changes inside the cell"
        )
        if not found:
            return with_note(found, reason)
        result = replace(found.result, verdict=Verdict.INCONCLUSIVE, reason=reason)
        return Examination(Verdict.INCONCLUSIVE, _inconclusive(reason), result)


def _inconclusive(reason: str) -> str:
    return textwrap.fill(f"Inconclusive: {reason}", WIDTH)


def capture_cell(
    repro: Repro, namespace: Mapping[str, Any], assigned: Iterable[str], names: Iterable[str], value: Any = None
) -> None:
    """Capture the variables of a run: those that were asked for, or all that it assigned and that can be compared."""
    asked = list(names)
    for name in asked:
        if name not in namespace:
            raise UsageError(f"the cell is to be compared by {name!r}, and there is no variable of this name after it")
        repro.capture(name, namespace[name])
    if not asked:
        found = {name: namespace[name] for name in assigned if name in namespace}
        repro.capture_variables(found | ({RESULT: value} if value is not None else {}))


def _try_to_send(cell: Cell, namespace: Mapping[str, Any]) -> SentSource | NotSendableError:
    try:
        return _send(cell, namespace)
    except NotSendableError as error:
        return error


def _send(cell: Cell, namespace: Mapping[str, Any]) -> SentSource:
    return source_of_names(find_read(cell.tree), namespace, NAME)


def _examine_elsewhere(
    cell: Cell, namespace: dict[str, Any], request: CellRequest, arguments: Mapping[str, Any]
) -> Examination:
    try:
        return _run_sent(cell, _send(cell, namespace), request, arguments, diagnose=request.diagnose)
    except NotSendableError as error:
        raise UsageError(f"the axes need processes of their own, and the cell cannot be sent there: {error}") from None


def _explain(
    found: Examination, cell: Cell, sent: SentSource, request: CellRequest, arguments: Mapping[str, Any]
) -> Examination:
    try:
        other = _run_sent(cell, sent, request, arguments, diagnose=True)
    except (NotSendableError, ChildError) as error:
        return with_note(found, f"not diagnosed: {error}")
    return explain_by(found, other) if other.verdict is Verdict.DIVERGED else with_note(found, _elsewhere(other))


def _elsewhere(other: Examination) -> str:
    return NOT_ELSEWHERE.format(verdict=other.verdict)


def _run_sent(
    cell: Cell, source: SentSource, request: CellRequest, arguments: Mapping[str, Any], *, diagnose: bool
) -> Examination:
    across = {} if request.across is None else {"across": request.across}
    found = run_sent(
        SentSource(f"from {__name__} import capture_cell as _capture_cell\n{source.text}", source.arrays),
        NAME,
        _body_of(cell, request.names),
        {**arguments, **across},
        parameters="repro",
        diagnose=diagnose,
        isolate=True,
    )
    return Examination(found.test.verdict, found.message, found.test)


def _body_of(cell: Cell, names: list[str]) -> str:
    """Return the statements of a function that does what the cell does to the variables of its module."""
    for node in ast.walk(cell.tree):
        if isinstance(node, ast.ImportFrom) and ("*" in {alias.name for alias in node.names}):
            raise NotSendableError(f"{NAME} has an import of *, which only a module can have: import the names")
    tree = ast.parse(ast.unparse(cell.tree))  # a copy, whose annotations are removed
    body = [_WithoutAnnotations().visit(statement) for statement in tree.body]
    if body and isinstance(body[-1], ast.Expr):
        body[-1] = ast.Assign([ast.Name("_out", ast.Store())], body[-1].value)
    captured = f"_capture_cell(repro, globals(), {cell.assigned!r}, {names!r}, _out)"
    stored = find_stored(cell.tree)
    begin: list[ast.stmt] = [ast.Global(stored)] if stored else []
    begin += ast.parse("_out = None").body
    function = ast.parse("def cell(): pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = [*begin, *body, *ast.parse(captured).body]
    # Unparsed as a whole: indenting the lines would change texts of several lines.
    return ast.unparse(ast.fix_missing_locations(function)).partition("\n")[2]


class _WithoutAnnotations(ast.NodeTransformer):
    """Removes the annotations of variables, which a global variable of a function cannot have."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None:
            return ast.Pass()
        return ast.Assign([node.target], node.value)

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave  # noqa: N815 - see above
