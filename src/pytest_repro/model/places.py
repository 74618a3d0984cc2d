"""The place where two runs start to differ, and two traces side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How a value was seen at a statement.
ValueKind = Literal["assigned", "found", "argument", "returned", "captured", "branch", "state", "operation", "module"]


@dataclass(frozen=True, slots=True)
class FirstDivergence:
    """The first statement of the user's code whose value differs between two runs.

    Attributes
    ----------
    file : str
        Relative to the root folder where it is below it, else absolute.
    line : int
        First line of the statement, from 1.
    function : str
        Qualified name, as in ``Trainer.fit``; ``<module>`` outside any.
    name : str
        The variable with the part that differs (``model.fc1.weight``, ``clf.coef_``), ``(return)``, ``(branch)``,
        ``state of numpy.random``.
    source : str
        The statement's text, at most 2,000 characters.
    expected, actual : str
        The two values in short.
    kind : str
        A :data:`ValueKind`. ``assigned`` at the statement; ``found`` there, which means that it differed before
        anything traced had changed it; ``argument``; ``returned``; ``captured``, given to be compared; ``branch`` (the
        statement took another way); ``state`` of a global generator; ``operation`` or ``module`` of torch.
    step : int or None
        The training step: of `repro.step`, else the outermost loop's count, from 0.
    module, op : str
        torch's module, by its path in the model, and operation whose output differs while its inputs match.
    flows : bool
        Whether the value was followed to what the test returned.
    callers : tuple of (file, line, function)
        The frames of the user's code that led there, innermost first.
    reordered : str
        Where both values are sets of the same elements in another order, how the elements are hashed: by ``address``
        or by ``value``. ``iteration`` where it is a loop's variable that takes a set's elements; else empty.
    column : int or None
        At which the statement begins, from 1, where it shares its line with others.
    """

    file: str
    line: int
    function: str
    name: str
    source: str = ""
    expected: str = ""
    actual: str = ""
    kind: str = "assigned"
    step: int | None = None
    module: str = ""
    op: str = ""
    flows: bool = True
    callers: tuple[tuple[str, int, str], ...] = ()
    reordered: str = ""
    column: int | None = None


@dataclass(frozen=True, slots=True)
class PlaceFinding:
    """The result of comparing two traces.

    Attributes
    ----------
    incomplete : tuple of str
        Why something may have been missed, a phrase each; empty where every statement was seen in both runs.
    is_older : bool
        Whether its statement only found a value that differed before anything traced had changed it.
    """

    first: FirstDivergence | None
    incomplete: tuple[str, ...] = ()
    is_older: bool = False


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One line of two traces side by side.

    Attributes
    ----------
    source : str
        First line of the statement.
    expected, actual : str
        ``name = value`` of what changed there; empty where that run did not reach it.
    """

    file: str
    line: int
    function: str
    source: str
    expected: str = ""
    actual: str = ""
    differs: bool = False
